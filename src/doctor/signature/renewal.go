package signature

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// The numbers by which repetitions are judged. A device that renews as agreed does so once an hour; twice
// that in a few minutes is what an engineer does by hand.
const (
	often     = 5
	oftenTime = 10 * time.Minute
	// idle is how many closings of a working tunnel within idleTime are a habit.
	idle     = 3
	idleTime = time.Hour
	// shortest is the shortest lifetime in seconds that makes sense.
	shortest = 300
	// maxRepeats bounds what is kept of each repetition.
	maxRepeats = 64
)

// repetition is something that an endpoint does again and again: of a child, if it is named.
type repetition struct {
	endpoint netip.Addr
	effect   effect
	child    string
}

// again keeps that it was done, and makes a finding of it if that is too often.
func (r *Reader) again(row Row, x *exchange, l Line, match map[string]string) {
	if _, declared := r.Expect.endpoint(x.remote); !declared {
		return
	}
	key := repetition{x.remote, row.effect, match["child"] + match["ours"] + match["theirs"]}
	if len(r.repeats) >= maxExchanges && r.repeats[key] == nil {
		return
	}
	times := append(r.repeats[key], l.Time)
	r.repeats[key] = times[max(0, len(times)-maxRepeats):]
	f := Finding{
		Signature: row.Name, Time: l.Time, Endpoint: x.remote, IKE: x.ike, Side: Customer, Evidence: l.Text, Warning: true, stage: stageChild,
	}
	switch row.effect {
	case childRenewed, ikeRenewed:
		n := r.within(key, l.Time, oftenTime)
		if n < often {
			return
		}
		f.Parameter, f.Want = ESPLifetime, "3600 seconds"
		f.Meaning = "the endpoint renews phase 2 all the time: its lifetime is too short, or limited by volume"
		if row.effect == ikeRenewed {
			f.Parameter, f.Want = IKELifetime, "28800 seconds"
			f.Meaning = "the endpoint renews phase 1 all the time: its lifetime is too short"
		}
		f.Got = fmt.Sprintf("%d renewals in %d minutes", often, int(oftenTime.Minutes()))
	case closedByPeer:
		n := r.within(key, l.Time, idleTime)
		renewals := 0
		for other := range r.repeats {
			if other.endpoint == x.remote && other.effect != closedByPeer {
				renewals += r.within(other, l.Time, idleTime)
			}
		}
		if n < idle || n <= renewals {
			return
		}
		f.Parameter, f.Want = IdleTimeout, "none"
		f.Got = fmt.Sprintf("%d closings within an hour", idle)
		f.Meaning = "the endpoint closes a tunnel that works, again and again, and opens it for new traffic: it has an idle timeout"
	}
	r.add(f)
}

// within counts how often something was done in the time before now.
func (r *Reader) within(key repetition, now time.Time, span time.Duration) int {
	n := 0
	for _, at := range r.repeats[key] {
		if now.Sub(at) <= span {
			n++
		}
	}
	return n
}

// renewedSince says whether the endpoint has renewed a child after a time.
func (r *Reader) renewedSince(endpoint netip.Addr, at time.Time) bool {
	for key, times := range r.repeats {
		if key.endpoint == endpoint && key.effect == childRenewed && slices.ContainsFunc(times, at.Before) {
			return true
		}
	}
	return false
}

// lifetime is of a row that warns only of what does harm: charon takes the endpoint's.
func lifetime(_ *Reader, _ *exchange, match map[string]string) []Finding {
	var got, want int
	if _, err := fmt.Sscan(match["got"]+" "+match["want"], &got, &want); err != nil {
		return nil
	}
	f := Finding{Parameter: ESPLifetime, Got: fmt.Sprintf("%d seconds", got), Want: "3600 seconds"}
	switch {
	case got > want:
		f.Meaning = fmt.Sprintf("the endpoint keeps a phase 2 key longer than the gateway allows (%d seconds)", want)
	case got < shortest:
		f.Meaning = "the endpoint renews phase 2 all the time: its lifetime is too short"
	default:
		return nil
	}
	return []Finding{f}
}

// dates is how charon prints a time.
const dates = "Jan _2 15:04:05 2006"

// refuse keeps why a certificate is refused. The failure follows on a line of its own.
func (x *exchange) refuse(match map[string]string) {
	f := Finding{Parameter: CertificateCA, Got: match["issuer"], Want: "a CA that was given to us (property endpoint_ca)",
		Meaning: "the endpoint's certificate is of a CA that was not agreed"}
	switch {
	case match["revoked"] != "":
		f = Finding{Parameter: Revoked, Got: "revoked on " + match["revoked"], Want: "a certificate that is not on the CA's revocation list",
			Meaning: "the CA has revoked the endpoint's certificate"}
	case match["until"] != "":
		f = Finding{Parameter: Certificate, Got: "valid from " + match["from"] + " to " + match["until"], Want: "a certificate that is valid now",
			Meaning: "the endpoint's certificate has ended"}
		if from, err := time.Parse(dates, match["from"]); err == nil && x.last.Before(from) {
			f.Parameter, f.Want = Clock, "the gateway's time is "+x.last.UTC().Format(dates)
			f.Meaning = "the endpoint's certificate is not valid yet: the clock of who issued it is ahead, or it was issued for later"
		}
	}
	x.refusal = &f
}

// certificate is the failure of an endpoint that proves itself by a certificate.
func certificate(r *Reader, x *exchange, match map[string]string) []Finding {
	switch {
	case !r.Expect.Certificates:
		return method(r, x, map[string]string{"method": "certificate"})
	case x.refusal != nil:
		return []Finding{*x.refusal}
	}
	return []Finding{{Parameter: CertificateName, Got: cmp.Or(x.subject, "none"), Want: match["id"]}}
}

const otherMethod = "the endpoint wants to authenticate by another method than was agreed"

// noKey is the failure of an endpoint that wants a pre-shared key.
func noKey(r *Reader, _ *exchange, _ map[string]string) []Finding {
	if r.Expect.Certificates {
		return []Finding{{Parameter: AuthMethod, Side: Customer, Got: "pre-shared key", Want: "certificate", Meaning: otherMethod}}
	}
	return []Finding{{Parameter: GatewayKey}}
}

// refused is of an endpoint that does not take what the gateway showed it.
func refused(r *Reader, _ *exchange, _ map[string]string) []Finding {
	if r.Expect.Certificates {
		return []Finding{{Parameter: GatewayTrust, Want: r.Expect.Gateway.String(),
			Meaning: "the endpoint closes phase 1 as soon as the gateway has shown its certificate: it does not know the CA, expects another identity, or its clock is wrong"}}
	}
	return []Finding{{Parameter: PeerIdentity, Want: r.Expect.Gateway.String()}}
}
