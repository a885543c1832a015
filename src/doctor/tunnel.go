package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"privnet/connection"
	"privnet/doctor/advice"
	"privnet/doctor/signature"
	"privnet/ipsec/vici"
	"privnet/probe/coverage"
	"privnet/probe/health"
)

// silence is how long an endpoint without a tunnel may send nothing. Devices that want a tunnel try again
// within a minute or two.
const silence = 5 * time.Minute

// The checks of phase 1, each with the parameters that belong to it, in the order of an exchange.
var phase1 = []struct {
	name       string
	parameters []signature.Parameter
}{
	{"IKE packets from the endpoint", []signature.Parameter{signature.SourceAddress, signature.GatewayFirewall, signature.GatewayConnection, signature.AnswersOn500, signature.RequestsOn4500, signature.AnswersOn4500, signature.LargePackets, signature.Retries}},
	{"phase 1", []signature.Parameter{signature.Refusal, signature.IKEVersion, signature.IKEEncryption, signature.IKEHash, signature.IKEPRF, signature.IKEGroup, signature.ExchangeMode, signature.Path, signature.OneBox, signature.IKELifetime, signature.IdleTimeout, signature.NATTraversal}},
	{"identity", []signature.Parameter{signature.AuthMethod, signature.OwnIdentityType, signature.OwnIdentityValue, signature.PeerIdentity}},
	{proof, []signature.Parameter{signature.PreSharedKey, signature.GatewayKey, signature.Certificate, signature.Clock, signature.CertificateCA, signature.CertificateName, signature.Revoked, signature.GatewayTrust}},
}

// proof is the check of what the endpoint proves its identity with, which has another name where that is a
// certificate.
const (
	proof            = "pre-shared key"
	certificateProof = "certificate"
)

// lostAnyway are the parameters that keep a tunnel from working though the gateway thinks that it stands.
var lostAnyway = []signature.Parameter{signature.AnswersOn4500, signature.GatewayFirewall, signature.NATTraversal}

func (x *examination) ike() {
	switch {
	case x.failed("service", "ipsec-gateway"):
		x.check("connection in charon", "", NotReached, "")
	case x.IKE.Problem != "" || x.IKE.Missing != "":
		problem := x.IKE.Problem
		if problem == "" {
			problem = x.IKE.Missing
		}
		x.judge("connection in charon", "", problem, Problem{Parameter: signature.GatewayConnection, Side: signature.Platform})
		x.blocked = true
	default:
		x.check("connection in charon", "", OK, "")
	}
	if x.IKE.LogProblem != "" {
		x.check("charon's log", "", Unknown, x.IKE.LogProblem)
	}
	up := slices.ContainsFunc(x.IKE.SAs, vici.SA.IsEstablished)
	findings := slices.Clone(x.IKE.Findings)
	for _, group := range phase1 {
		var mine []signature.Finding
		for _, f := range findings {
			// A tunnel that stands has overcome whatever was wrong before it.
			if slices.Contains(group.parameters, f.Parameter) && (!up || f.Warning || f.Renewal || slices.Contains(lostAnyway, f.Parameter)) {
				mine = append(mine, f)
			}
		}
		name := group.name
		if name == proof && x.IKE.Certificates {
			name = certificateProof
		}
		x.phase1(name, mine, up)
	}
	for _, f := range findings {
		// The endpoint closes each phase 1 in turn; between two, one may stand.
		if up && (f.Parameter == signature.PeerIdentity || f.Parameter == signature.GatewayTrust) {
			x.found(f)
		}
	}
}

func (x *examination) phase1(name string, findings []signature.Finding, up bool) {
	first := slices.IndexFunc(findings, func(f signature.Finding) bool { return !f.Warning })
	switch {
	case x.blocked:
		x.check(name, "", NotReached, "")
		return
	case first >= 0:
		x.check(name, "", Failed, describe(findings[first]))
		x.blocked = !up || !findings[first].Renewal
	case up:
		x.check(name, "", OK, x.established(name))
	case name == phase1[0].name:
		x.packets()
	case name == proof, name == certificateProof:
		// The last of phase 1: nothing wrong was found, and it is not up.
		x.check(name, "", Unknown, "phase 1 is not complete, and charon's log does not tell why")
		x.blocked = true
	default:
		x.check(name, "", OK, "nothing found against it")
	}
	for _, f := range findings {
		x.found(f)
	}
}

func (x *examination) established(name string) string {
	for _, sa := range x.IKE.SAs {
		if !sa.IsEstablished() {
			continue
		}
		switch name {
		case "phase 1":
			return fmt.Sprintf("IKEv%d, %s, for %s", sa.Version, sa.Algorithms, sa.Established)
		case "identity":
			return sa.RemoteID
		case phase1[0].name:
			return fmt.Sprintf("%s[%d]", sa.RemoteHost, sa.RemotePort)
		}
	}
	return ""
}

// packets says whether the endpoint was heard at all.
func (x *examination) packets() {
	name := phase1[0].name
	for _, e := range x.Connection.Endpoints {
		if x.IKE.Stale[e.Address] > 0 && x.IKE.Wire[e.Address] == 0 {
			x.judge(name, "", fmt.Sprintf("%s sends packets of a tunnel that the gateway does not have, and opens no new one", e.Address), Problem{
				Parameter: DeadPeer, Side: signature.Customer, Device: e.Device, Change: advice.For(e.Device, DeadPeer, ""),
				What: "the endpoint still uses a tunnel that ended here, as when the gateway was started anew, and opens no new one: its dead peer detection is off or has not found out yet",
			})
			x.blocked = true
			return
		}
		contact := x.IKE.Contacts[e.Address]
		if contact.Packets > 0 && x.Now.Sub(contact.Last) < silence {
			x.check(name, "", OK, fmt.Sprintf("%d packets from %s, the last %s ago", contact.Packets, e.Address, x.Now.Sub(contact.Last).Round(time.Second)))
			return
		}
	}
	if len(x.IKE.Findings) > 0 {
		x.check(name, "", OK, "silent now; what it tried last follows")
		return
	}
	for _, e := range x.Connection.Endpoints {
		if x.IKE.Wire[e.Address] > 0 {
			x.judge(name, "", fmt.Sprintf("IKE packets from %s reach the interface and not charon: a rule on this VM drops them", e.Address),
				Problem{Parameter: signature.GatewayFirewall, Side: signature.Platform})
			x.blocked = true
			return
		}
	}
	e := x.Connection.Endpoints[0]
	what := fmt.Sprintf("no IKE packet from %s arrives: it does not initiate, or UDP 500 is blocked on the way to the gateway", e.Address)
	if last := x.IKE.Contacts[e.Address].Last; !last.IsZero() {
		what = fmt.Sprintf("no IKE packet from %s has arrived since %s: it no longer initiates, or UDP 500 is blocked on the way", e.Address, last.UTC().Format(time.RFC3339))
	}
	x.judge(name, "", what, Problem{
		Parameter: NoPackets, Side: signature.Customer, Device: e.Device, Change: advice.For(e.Device, NoPackets, x.gatewayAddress()),
		Evidence: x.unheard(),
	})
	x.blocked = true
}

// unheard says what of our own could keep the packets away, since the VM cannot see it.
func (x *examination) unheard() string {
	text := fmt.Sprintf("nothing on this VM's interfaces within %s; on our side, see that the IaaS lets UDP 500 and 4500 in", x.IKE.Listened)
	for _, g := range x.Connection.Gateways {
		if g.Address == x.Source && !slices.Contains(x.Network.Addresses, g.PublicAddress) {
			text += fmt.Sprintf(" and maps %s to %s", g.PublicAddress, g.Address)
		}
	}
	return text
}

func (x *examination) gatewayAddress() string {
	for _, g := range x.Connection.Gateways {
		if g.Address == x.Source {
			return g.PublicAddress.String()
		}
	}
	return "the gateway"
}

func describe(f signature.Finding) string {
	text := string(f.Parameter)
	if f.Got != "" {
		text += ": received " + f.Got
	}
	if f.Want != "" {
		text += ", right is " + f.Want
	}
	return text
}

func (x *examination) found(f signature.Finding) {
	what := f.Meaning
	evidence := f.Evidence
	if f.Count > 1 {
		evidence = fmt.Sprintf("%s (%d times)", evidence, f.Count)
	}
	if f.Renewal {
		what += "; a tunnel that still stands ends when its lifetime does"
	}
	device := ""
	for _, e := range x.Connection.Endpoints {
		if e.Address == f.Endpoint && f.Side != signature.Platform {
			device = e.Device
		}
	}
	x.problem(Problem{
		Parameter: f.Parameter, Side: f.Side, What: what, Got: f.Got, Want: f.Want, Device: device,
		Evidence: evidence, Warning: f.Warning, Since: f.Time,
	})
}

// recent is how long a refused wish of an endpoint counts whose tunnel stands. Devices repeat it with the
// traffic.
const recent = time.Hour

// pairs are the checks of phase 2, one for each selector pair.
func (x *examination) pairs() {
	var findings []signature.Finding
	for _, f := range x.IKE.Findings {
		if x.isPhase2(f) && !f.Warning {
			findings = append(findings, f)
		}
	}
	missing := x.blocked
	for _, pair := range x.Connection.Pairs() {
		missing = !x.pair(pair, findings) || missing
	}
	for _, f := range x.IKE.Findings {
		switch {
		case !x.isPhase2(f) || x.blocked:
		case f.Warning, f.Parameter == signature.ESPGroup:
			// A tunnel that stands will end at its next rekeying if the group is wrong.
			x.found(f)
		case !missing && x.Now.Sub(f.Time) < recent:
			f.Meaning += "; what was agreed stands"
			f.Warning = true
			x.found(f)
		}
	}
}

// pair judges one, and says whether its tunnel stands whole.
func (x *examination) pair(pair connection.Pair, findings []signature.Finding) bool {
	name := fmt.Sprintf("%s = %s", pair.Segment, pair.PrivateNetwork)
	if x.blocked {
		x.check("phase 2", name, NotReached, "")
		return false
	}
	c := coverage.Of(pair, x.Connection.Endpoints, x.IKE.SAs)
	if c.Extent == health.Whole {
		x.check("phase 2", name, OK, c.Children[0].Algorithms.String())
		return true
	}
	x.check("phase 2", name, Failed, c.Detail)
	switch {
	case c.Extent == health.Part:
		x.narrow(c.Children)
	case len(findings) > 0:
		for _, f := range findings {
			x.found(f)
		}
	default:
		x.problem(Problem{
			Parameter: PairMissing, Side: signature.Customer, Got: "no tunnel for it", Want: signature.Offered(pair),
			What: "phase 1 is up, and the endpoint has asked for no tunnel for this pair of networks",
		})
	}
	return false
}

func (x *examination) isPhase2(f signature.Finding) bool {
	return strings.HasPrefix(string(f.Parameter), "phase 2") ||
		slices.Contains([]signature.Parameter{signature.PrivateSelector, signature.SegmentSelector, signature.Selectors, signature.VirtualAddress}, f.Parameter)
}

// narrow names what was agreed narrower than declared.
func (x *examination) narrow(children []vici.Child) {
	expect := signature.Expect{Segment: x.Connection.Segment, PrivateNetworks: x.Connection.PrivateNetworks}
	for _, child := range children {
		for _, f := range expect.Compare(child.LocalTS, child.RemoteTS) {
			x.problem(Problem{
				Parameter: f.Parameter, Side: signature.Customer, Got: f.Got, Want: f.Want,
				What: "the endpoint asked for less than was agreed: the tunnel stands and carries only a part",
			})
		}
	}
}

// traffic says how many bytes of a pair passed while the probes were asked, and since the tunnel stands.
func (x *examination) traffic(pair connection.Pair) (in, out, totalIn, totalOut uint64) {
	sum := func(sas []vici.SA) (in, out uint64) {
		for _, sa := range sas {
			for _, child := range sa.Children {
				if child.Carries() && coverage.Touches(pair, child) {
					in, out = in+child.PacketsIn, out+child.PacketsOut
				}
			}
		}
		return in, out
	}
	beforeIn, beforeOut := sum(x.IKE.Before)
	totalIn, totalOut = sum(x.IKE.SAs)
	return less(totalIn, beforeIn), less(totalOut, beforeOut), totalIn, totalOut
}

func less(a, b uint64) uint64 {
	if a < b { // rekeyed in between: the counters start anew
		return a
	}
	return a - b
}
