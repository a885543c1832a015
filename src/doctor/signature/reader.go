package signature

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Limits of what is kept: lines come from strangers.
const (
	maxExchanges = 1024
	maxUnknown   = 50
	maxFindings  = 256
)

// The times by which an exchange is judged.
const (
	// settled is how long an exchange may rest before its next packet is missed.
	settled = 2 * time.Second
	// lost is how many repetitions of one packet mean that its answers do not arrive.
	lost = 2
	// atOnce is how soon after phase 1 an endpoint closes that does not like the gateway's identity.
	atOnce = 3 * time.Second
	// insists is how often a device tries that wants a tunnel, passing how long one counts that knocked less often.
	insists = 3
	passing = 5 * time.Minute
	// flap is how many duplicates within flapTime mean two devices; one is a device that came back.
	flap     = 3
	flapTime = 10 * time.Minute
)

// Contact is what was seen of one endpoint.
type Contact struct {
	// Packets counts the IKE packets that charon received, Last is when the last one came.
	Packets int       `json:"packets"`
	Last    time.Time `json:"last,omitzero"`
}

// Reader puts lines together. It is for one goroutine.
type Reader struct {
	Expect Expect

	exchanges map[string]*exchange
	order     []string
	findings  []Finding
	unknown   []Line
	contacts  map[netip.Addr]*Contact
	passed    map[netip.Addr]map[stage]time.Time
	repeats   map[repetition][]time.Time
}

// NewReader makes a reader that compares with what was agreed.
func NewReader(expect Expect) *Reader {
	return &Reader{
		Expect: expect, exchanges: map[string]*exchange{},
		contacts: map[netip.Addr]*Contact{}, passed: map[netip.Addr]map[stage]time.Time{},
		repeats: map[repetition][]time.Time{},
	}
}

// Read takes the next line.
func (r *Reader) Read(l Line) {
	l.Text = Clean(l.Text)
	row, match := Match(l.Text)
	if row == nil {
		if !ordinaryLines.MatchString(l.Text) {
			r.unknown = append(r.unknown[max(0, len(r.unknown)-maxUnknown+1):], l)
		}
		return
	}
	if row.effect == restarted {
		r.exchanges, r.order = map[string]*exchange{}, nil
		return
	}
	x := r.exchange(l)
	x.apply(*row, match)
	r.note(*row, x, l)
	switch {
	case row.effect == failure, row.effect == refusedByPeer:
		r.fail(*row, x, l, match)
	case row.effect == established && x.inPort == "500" && r.Expect.Userland:
		// With NAT traversal both sides have moved to port 4500 by now.
		r.add(Finding{
			Signature: noNATTraversal, Time: l.Time, Endpoint: x.remote, IKE: x.ike, Parameter: NATTraversal, Side: Customer, Got: "off", Want: "on",
			Meaning: "the endpoint stays on UDP 500: without NAT traversal it sends ESP that the gateway cannot take", Evidence: l.Text, stage: stageEstablished,
		})
	case row.effect == childRenewed, row.effect == ikeRenewed:
		r.again(*row, x, l, match)
	case row.effect != closedByPeer || x.established.IsZero() || x.failed || x.renewed:
	case x.children > 0:
		r.again(*row, x, l, match)
	case l.Time.Sub(x.established) <= atOnce:
		r.fail(*row, x, l, match)
	}
}

// Match finds the row of a line and the parts that its pattern names; nil if no row knows the line.
func Match(text string) (*Row, map[string]string) {
	for i := range Rows {
		groups := Rows[i].Pattern.FindStringSubmatch(text)
		if groups == nil {
			continue
		}
		match := map[string]string{}
		for j, name := range Rows[i].Pattern.SubexpNames() {
			if name != "" {
				match[name] = groups[j]
			}
		}
		return &Rows[i], match
	}
	return nil, nil
}

// exchange is the one that a line is about; a line about none gets one that is forgotten.
func (r *Reader) exchange(l Line) *exchange {
	x := r.exchanges[l.SA]
	if x == nil || l.SA == "" {
		x = &exchange{begun: l.Time}
		if l.SA != "" {
			if len(r.order) == maxExchanges {
				delete(r.exchanges, r.order[0])
				r.order = r.order[1:]
			}
			r.exchanges[l.SA] = x
			r.order = append(r.order, l.SA)
		}
	}
	x.last = l.Time
	return x
}

// apply takes from a line what belongs to the exchange.
func (x *exchange) apply(row Row, match map[string]string) {
	if remote, err := netip.ParseAddr(match["remote"]); err == nil && (row.effect == packetIn || !x.remote.IsValid()) {
		x.remote = remote
	}
	switch row.effect {
	case packetIn:
		x.inPort = match["port"]
	case packetOut:
		x.outPort = match["port"]
	case initiating:
		x.ike = 2
		if match["mode"] != "" {
			x.ike = 1
		}
	case parsed:
		x.parsed, x.repeats = match["exchange"], 0
		x.transport = strings.Contains(match["payloads"], "N(USE_TRANSP)")
		x.ike = version(x.parsed, x.ike)
	case retransmitted:
		x.repeats++
	case proposalsReceived:
		x.received = match["proposals"]
	case proposalsConfigured:
		x.configured = match["proposals"]
	case lookingFor:
		x.method, x.local, x.id = match["method"], match["local"], match["id"]
	case established:
		x.established = x.last
	case childUp, childRenewed:
		x.children++
	case ikeRenewed:
		x.renewed = true
	case certificateNamed:
		x.subject = match["subject"]
	case certificateRefused:
		x.refuse(match)
	}
}

// version tells it by the kind of message; both have INFORMATIONAL in a form of their own.
func version(exchange string, known int) int {
	switch exchange {
	case "ID_PROT", "AGGRESSIVE", "QUICK_MODE", "INFORMATIONAL_V1", "TRANSACTION":
		return 1
	case "IKE_SA_INIT", "IKE_AUTH", "CREATE_CHILD_SA", "INFORMATIONAL", "IKE_INTERMEDIATE", "IKE_FOLLOWUP_KE":
		return 2
	}
	return known
}

// note keeps what outlives the exchange.
func (r *Reader) note(row Row, x *exchange, l Line) {
	if _, declared := r.Expect.endpoint(x.remote); !declared {
		return
	}
	if row.effect == packetIn {
		if r.contacts[x.remote] == nil {
			r.contacts[x.remote] = &Contact{}
		}
		r.contacts[x.remote].Packets++
		r.contacts[x.remote].Last = l.Time
	}
	if reached, ok := map[effect]stage{proposalChosen: stageProposal, established: stageEstablished, childUp: stageChild, childRenewed: stageChild}[row.effect]; ok {
		if row.effect == proposalChosen && !x.established.IsZero() {
			return // phase 2's
		}
		if r.passed[x.remote] == nil {
			r.passed[x.remote] = map[stage]time.Time{}
		}
		r.passed[x.remote][reached] = l.Time
	}
}

func (r *Reader) fail(row Row, x *exchange, l Line, match map[string]string) {
	found := []Finding{{Parameter: row.Parameter}}
	if row.refine != nil {
		found = row.refine(r, x, match)
	}
	x.failed = x.failed || !row.Warning
	_, stood := r.passed[x.remote][stageEstablished]
	for _, f := range found {
		f.Signature, f.Time, f.IKE, f.Evidence, f.stage, f.Warning = row.Name, l.Time, x.ike, l.Text, row.stage, row.Warning
		f.Endpoint, f.Renewal = x.remote, stood && row.stage < stageEstablished
		f.Got, f.Want = Clean(f.Got), Clean(f.Want)
		if f.Side == "" {
			f.Side = row.Side
		}
		if f.Meaning == "" {
			f.Meaning = row.Meaning
		}
		r.add(f)
	}
}

func (r *Reader) add(f Finding) {
	f.Count = 1
	same := func(o Finding) bool {
		return o.Signature == f.Signature && o.Endpoint == f.Endpoint && o.Parameter == f.Parameter && o.Got == f.Got
	}
	if i := slices.IndexFunc(r.findings, same); i >= 0 {
		if f.Time.Sub(r.findings[i].Time) <= flapTime {
			f.Count += r.findings[i].Count
		}
		r.findings = slices.Delete(r.findings, i, i+1)
	}
	r.findings = append(r.findings[max(0, len(r.findings)-maxFindings+1):], f)
}

// Findings are those that no later success of the same endpoint has overtaken, the earliest stage first and
// warnings last.
// now tells which exchanges wait for a packet that does not come.
func (r *Reader) Findings(now time.Time) []Finding {
	var out []Finding
	for _, f := range r.findings {
		switch {
		case f.Parameter == OneBox && f.Count < flap:
		case f.Parameter == SourceAddress && (len(r.contacts) > 0 || f.Count < insists && now.Sub(f.Time) > passing):
			// Strangers knock everywhere: the declared endpoint was heard, or this one knocked and went on.
		case !f.Warning && r.overtaken(f):
		default:
			out = append(out, f)
		}
	}
	// What this stops is missed, too, and not for want of a packet.
	if !slices.ContainsFunc(out, func(f Finding) bool { return f.Parameter == GatewayFirewall }) {
		hammered := slices.ContainsFunc(out, func(f Finding) bool { return f.Parameter == Retries })
		out = append(out, r.waiting(now, hammered)...)
	}
	rank := func(f Finding) int {
		if f.Warning {
			return int(stageChild) + 1
		}
		return int(f.stage)
	}
	slices.SortStableFunc(out, func(a, b Finding) int { return rank(a) - rank(b) })
	return out
}

func (r *Reader) overtaken(f Finding) bool {
	for reached, at := range r.passed[f.Endpoint] {
		if reached >= f.stage && at.After(f.Time) && f.stage < stageChild {
			return true
		}
	}
	// A child that comes up says nothing of another that does not, unless phase 1 was made anew.
	again, up := r.passed[f.Endpoint][stageEstablished], r.passed[f.Endpoint][stageChild]
	if f.Parameter == ESPGroup && f.IKE == 2 && r.renewedSince(f.Endpoint, f.Time) {
		return true
	}
	return f.stage == stageChild && again.After(f.Time) && up.After(again)
}

// waiting are the exchanges that stopped for want of a packet, the newest of each endpoint. Of an endpoint that
// hammers, packets come again because there was no time for them.
func (r *Reader) waiting(now time.Time, hammered bool) []Finding {
	newest := map[netip.Addr]*exchange{}
	for _, id := range r.order {
		x := r.exchanges[id]
		if !x.remote.IsValid() || x.failed || hammered && x.repeats > 0 {
			continue
		}
		// An endpoint that gives up and begins anew has not got further.
		if before := newest[x.remote]; before != nil && before.repeats >= lost && before.inPort == x.inPort && x.established.IsZero() {
			continue
		}
		newest[x.remote] = x
	}
	var out []Finding
	for _, e := range r.Expect.Endpoints {
		x := newest[e.Address]
		if x == nil {
			continue
		}
		f := Finding{Endpoint: e.Address, Time: x.last, IKE: x.ike, Side: Between, Count: 1, stage: stageAuth}
		switch {
		case x.repeats >= lost && x.inPort == "500":
			f.Signature, f.Parameter = answersLost, AnswersOn500
			f.Meaning = "the endpoint repeats its first packets: the gateway's answers on UDP 500 do not reach it"
		case x.repeats >= lost:
			f.Signature, f.Parameter, f.stage = answersLost, AnswersOn4500, stageEstablished
			f.Meaning = "the endpoint repeats its packets: the gateway's answers on UDP 4500 do not reach it" + r.largeToo()
		case x.established.IsZero() && x.repeats == 0 && x.inPort == "500" && x.outPort == "500" && now.Sub(x.last) >= settled &&
			(x.parsed == "IKE_SA_INIT" || x.parsed == "ID_PROT"):
			f.Signature, f.Parameter = stoppedAfterAnswer, RequestsOn4500
			f.Meaning = "the endpoint has taken the gateway's first answer, and its next packet, on UDP 4500, does not arrive" + r.largeToo() +
				"; if the device's own log says that it holds no key for this gateway, it sends none"
		default:
			continue
		}
		f.Evidence = "the last packet from " + e.Address.String() + " was " + x.parsed
		if r.passed[e.Address][stageEstablished].After(x.last) {
			continue
		}
		out = append(out, f)
	}
	return out
}

// largeToo is what else may be where packets of phase 1 are large.
func (r *Reader) largeToo() string {
	if !r.Expect.Certificates {
		return ""
	}
	return ", or only the small ones do: those with a certificate are large"
}

// Known says whether a row or an ordinary exchange has such a line.
func Known(text string) bool {
	row, _ := Match(text)
	return row != nil || ordinaryLines.MatchString(text)
}

// Unknown are the last lines that no row knows.
func (r *Reader) Unknown() []Line { return slices.Clone(r.unknown) }

// Contact is what was seen of an endpoint.
func (r *Reader) Contact(endpoint netip.Addr) Contact {
	if c := r.contacts[endpoint]; c != nil {
		return *c
	}
	return Contact{}
}
