package probe

import (
	"net/netip"
	"time"

	"privnet/connection"
	"privnet/probe/check"
	"privnet/probe/health"
)

// sample is the address whose path stands for the pair's: that of a target that is measured, if there is one, because
// a kernel keeps what routers tell by address.
func (p *pairSeen) sample() netip.Addr {
	for _, t := range p.targets {
		if t.target.Check == connection.CheckICMP {
			return t.target.Address
		}
	}
	return connection.Host(p.pair.PrivateNetwork)
}

// sawAnswer takes in what asking a target came to.
func (t *targetSeen) sawAnswer(r check.Result) {
	t.last = r
	switch {
	case !r.Asked:
		t.answer = health.NotAsked
		return
	case r.Reached:
		t.answer, t.missed, t.missing = health.Reached, 0, time.Time{}
	default:
		if t.missed == 0 {
			t.missing = r.At
		}
		t.missed++
		t.losses++
		switch {
		case t.missed >= LostAfter:
			t.answer = health.Lost
		case t.answer == health.NotAsked:
			t.answer = health.Waiting
		}
	}
	t.questions++
	t.day.Add(r.At, r.Took, !r.Reached)
}
