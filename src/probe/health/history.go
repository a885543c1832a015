package health

import (
	"maps"
	"time"
)

// Condition is a verdict and since when its state holds.
type Condition struct {
	Verdict
	Since time.Time `json:"since"`
}

// History keeps the conditions of named things, so that each knows since when it holds. The zero History
// is empty and ready; it is not safe for concurrent use.
type History struct {
	conditions map[string]Condition
}

// Restore is a history that continues an earlier one. A state that is observed again keeps its time;
// until then it is not reported.
func Restore(earlier map[string]Condition) History {
	return History{conditions: maps.Clone(earlier)}
}

// Observe records a verdict. changed is true when the state differs from the one before; a new reason for
// the same state is no change.
func (h *History) Observe(name string, v Verdict, now time.Time) (condition Condition, changed bool) {
	if h.conditions == nil {
		h.conditions = map[string]Condition{}
	}
	before, known := h.conditions[name]
	changed = !known || before.State != v.State
	condition = Condition{Verdict: v, Since: before.Since}
	if changed || before.Since.After(now) {
		condition.Since = now
	}
	h.conditions[name] = condition
	return condition, changed
}

// Conditions are the conditions of all names, for Restore.
func (h *History) Conditions() map[string]Condition { return maps.Clone(h.conditions) }
