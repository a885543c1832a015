package probe

import (
	"time"

	"privnet/probe/check"
	"privnet/probe/health"
)

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
