package health

import (
	"slices"
	"time"
)

const (
	// Kept is how long a history goes back.
	Kept = 24 * time.Hour
	// maxSpans bounds what is kept of a thing that changes all the time; the oldest goes first.
	maxSpans = 512
	// FlapTime is the time in which changes are counted: from FlapChanges on a thing flaps, until no more
	// than calm are left in it.
	FlapTime    = 10 * time.Minute
	FlapChanges = 6
	calm        = 1
)

// Condition is a verdict and since when its state holds.
type Condition struct {
	Verdict
	Since time.Time `json:"since"`
	// Flapping says that the state changes all the time, whatever it is now.
	Flapping bool `json:"flapping,omitempty"`
	// Changes counts the changes of state, but for those between up and idle.
	Changes uint64 `json:"changes"`
}

// Span is a time in which a state held and somebody looked.
type Span struct {
	State  State     `json:"state"`
	Reason string    `json:"reason,omitempty"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
}

// Record is what is known of one thing: how it is, how it was, and when it last changed.
type Record struct {
	Condition
	// Spans are those of the last Kept, the oldest first. Between two of them nobody looked.
	Spans []Span `json:"spans"`
	// Changed are the times of the last changes, as far as they matter for flapping.
	Changed []time.Time `json:"changed,omitempty"`
	// open says that the last span goes on.
	open bool
}

// History keeps the records of named things, so that each knows since when it holds. The zero History
// is empty and ready; it is not safe for concurrent use.
type History struct {
	records map[string]*Record
}

// Restore is a history that continues an earlier one. A state that is observed again keeps its time;
// until then it is not reported.
func Restore(earlier map[string]Record) History {
	h := History{records: map[string]*Record{}}
	for name, r := range earlier {
		r.open = false
		h.records[name] = &r
	}
	return h
}

// Observe records a verdict and gives the conditions before and after; before is zero the first time. A
// new reason for the same state is no change.
func (h *History) Observe(name string, v Verdict, now time.Time) (before, after Condition) {
	// A history is of the clock on the wall, which may be set, and not of the one that only counts.
	now = now.Round(0)
	if h.records == nil {
		h.records = map[string]*Record{}
	}
	r := h.records[name]
	if r == nil {
		r = &Record{}
		h.records[name] = r
	}
	before = r.Condition
	if before.State != v.State || before.Since.After(now) {
		r.Since = now
	}
	if before.State != "" && before.State != v.State && !(before.State.Works() && v.State.Works()) {
		r.Changes++
		r.Changed = append(r.Changed, now)
	}
	r.Verdict = v
	r.extend(now)
	r.flap(now)
	return before, r.Condition
}

// extend brings the spans up to date. What lies ahead, after a clock was set back, is forgotten.
func (r *Record) extend(now time.Time) {
	old := now.Add(-Kept)
	if n := len(r.Spans); n > 0 && r.Spans[n-1].From.After(now) {
		r.open = false
	}
	r.Spans = slices.DeleteFunc(r.Spans, func(s Span) bool { return s.To.Before(old) || s.From.After(now) })
	last := len(r.Spans) - 1
	if last >= 0 && r.open {
		r.Spans[last].To = now
	}
	if last >= 0 && r.open && r.Spans[last].State == r.State {
		r.Spans[last].Reason = r.Reason
	} else {
		r.Spans = append(r.Spans, Span{r.State, r.Reason, now, now})
		r.open = true
	}
	r.Spans = r.Spans[max(0, len(r.Spans)-maxSpans):]
}

func (r *Record) flap(now time.Time) {
	old := now.Add(-FlapTime)
	r.Changed = slices.DeleteFunc(r.Changed, func(t time.Time) bool { return t.Before(old) || t.After(now) })
	r.Changed = r.Changed[max(0, len(r.Changed)-FlapChanges):]
	r.Flapping = len(r.Changed) >= FlapChanges || r.Flapping && len(r.Changed) > calm
}

// Spans are those of one thing, the oldest first.
func (h *History) Spans(name string) []Span {
	if r := h.records[name]; r != nil {
		return slices.Clone(r.Spans)
	}
	return nil
}

// Records are those of all names, for Restore. They stay as they are while the history goes on.
func (h *History) Records() map[string]Record {
	out := map[string]Record{}
	for name, r := range h.records {
		copied := *r
		copied.Spans, copied.Changed = slices.Clone(r.Spans), slices.Clone(r.Changed)
		out[name] = copied
	}
	return out
}
