// Package roundtrip keeps what became of a target's questions for a day, in slots of some minutes: how many
// were asked and lost, and how long the answers took. It is pure: time is given to it.
package roundtrip

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

const (
	// Width is the length of a slot.
	Width = 10 * time.Minute
	// Kept is how long slots are kept.
	Kept = 24 * time.Hour
)

// Slot is what happened from Start for Width.
type Slot struct {
	Start       time.Time
	Asked, Lost int
	// Least and Most are the shortest and the longest answer, Sum is all of them; 0 if none came.
	Least, Most, Sum time.Duration
}

// Mean is how long an answer took on average; 0 if none came.
func (s Slot) Mean() time.Duration {
	if s.Asked == s.Lost {
		return 0
	}
	return s.Sum / time.Duration(s.Asked-s.Lost)
}

// MarshalJSON writes [start in Unix seconds, asked, lost, least, most, sum in microseconds]: there are many.
func (s Slot) MarshalJSON() ([]byte, error) {
	return json.Marshal([]int64{s.Start.Unix(), int64(s.Asked), int64(s.Lost), s.Least.Microseconds(), s.Most.Microseconds(), s.Sum.Microseconds()})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (s *Slot) UnmarshalJSON(data []byte) error {
	var n []int64
	if err := json.Unmarshal(data, &n); err != nil {
		return fmt.Errorf("reading a slot: %w", err)
	}
	if len(n) != 6 {
		return fmt.Errorf("reading a slot: it has %d numbers, not 6", len(n))
	}
	micro := func(n int64) time.Duration { return time.Duration(n) * time.Microsecond }
	*s = Slot{time.Unix(n[0], 0).UTC(), int(n[1]), int(n[2]), micro(n[3]), micro(n[4]), micro(n[5])}
	return nil
}

// Day is the slots of the last Kept, the oldest first.
type Day []Slot

// Add counts a question; lost says that no answer came.
func (d *Day) Add(at time.Time, took time.Duration, lost bool) {
	start := at.UTC().Truncate(Width)
	current := func() bool { n := len(*d); return n > 0 && (*d)[n-1].Start.Equal(start) }
	if !current() {
		// What lies ahead, after a clock was set back, is forgotten, too.
		*d = slices.DeleteFunc(*d, func(s Slot) bool { return s.Start.Before(at.Add(-Kept)) || s.Start.After(start) })
	}
	if !current() {
		*d = append(*d, Slot{Start: start})
	}
	s := &(*d)[len(*d)-1]
	s.Asked++
	if lost {
		s.Lost++
		return
	}
	if s.Least == 0 || took < s.Least {
		s.Least = took
	}
	s.Most = max(s.Most, took)
	s.Sum += took
}
