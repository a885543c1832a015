package signature

import (
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
		f.Meaning = "the endpoint closes a tunnel that works, again and again, and opens it for new traffic: it has an idle timeout, or authenticates anew far too often"
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
