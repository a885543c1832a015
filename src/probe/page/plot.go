package page

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"privnet/probe/health"
	"privnet/probe/roundtrip"
)

// The size of drawings in their own units; the page scales them.
const (
	width      = 1440 // a unit is a minute
	plotHeight = 120
	// least is the width of a span that is too short to be seen.
	least = 3
)

// mark is an hour on the axis of time; X is in hundredths of its length.
type mark struct {
	X    float64
	Text string
}

// hours are the marks of the last day, every six hours.
func hours(now time.Time) []mark {
	var out []mark
	for t := now.UTC().Truncate(6 * time.Hour); ; t = t.Add(-6 * time.Hour) {
		x := at(t, now)
		if x < 0 {
			return out
		}
		out = append(out, mark{100 * x / width, t.Format("15:04")})
	}
}

// at is where a time is, from 0, a day ago, to width, now.
func at(t, now time.Time) float64 { return width - now.Sub(t).Minutes() }

// timeline is the last day of one pair.
type timeline struct {
	Spans []bar
	// Summary says the same in words, and Changes the last changes.
	Summary string
	Changes []changeRow
}

type bar struct {
	X, W  float64
	State health.State
	Title string
}

type changeRow struct {
	When, Lasted, Reason string
	State                health.State
}

// maxChanges is how many changes are told in words.
const maxChanges = 8

func newTimeline(spans []health.Span, now time.Time) timeline {
	var out timeline
	length := map[health.State]time.Duration{}
	var watched time.Duration
	begin := now.Add(-health.Kept)
	for _, s := range spans {
		from, to := later(s.From, begin), s.To
		if to.Before(from) {
			continue
		}
		length[s.State] += to.Sub(from)
		watched += to.Sub(from)
		title := fmt.Sprintf("%s from %s to %s", s.State, clock(from), clock(to))
		if s.Reason != "" {
			title += ": " + s.Reason
		}
		out.Spans = append(out.Spans, bar{at(from, now), max(to.Sub(from).Minutes(), least), s.State, title})
	}
	// What was bad for a moment must be seen: it is drawn last.
	slices.SortStableFunc(out.Spans, func(a, b bar) int { return slices.Index(health.States, a.State) - slices.Index(health.States, b.State) })
	for i := len(spans) - 1; i >= 0 && len(out.Changes) < maxChanges; i-- {
		s := spans[i]
		out.Changes = append(out.Changes, changeRow{clock(s.From), lasting(s.To.Sub(s.From)), s.Reason, s.State})
	}
	if watched < time.Minute {
		out.Summary = "watched for less than a minute so far"
		return out
	}
	var parts []string
	for _, state := range health.States {
		if length[state] > 0 {
			parts = append(parts, fmt.Sprintf("%s %s", state, lasting(length[state])))
		}
	}
	out.Summary = "of " + lasting(watched) + " watched: " + strings.Join(parts, ", ")
	return out
}

func clock(t time.Time) string { return t.UTC().Format("2 Jan 15:04:05") }

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// plot is the last day of one target's round trips.
type plot struct {
	// Band is a polygon from the shortest to the longest answer of each slot, Lines are the means; where
	// nothing was asked there is a gap.
	Band, Lines []string
	Losses      []loss
	// Top is the time at the upper edge.
	Top     string
	Summary string

	least, most, mean time.Duration
	asked, lost       int
}

type loss struct {
	X, H  float64
	Title string
}

func newPlot(day roundtrip.Day, now time.Time) plot {
	var p plot
	var longest []time.Duration
	var sum time.Duration
	slots := slices.DeleteFunc(slices.Clone(day), func(s roundtrip.Slot) bool { return now.Sub(s.Start) > roundtrip.Kept })
	for _, s := range slots {
		p.asked += s.Asked
		p.lost += s.Lost
		if s.Asked == s.Lost {
			continue
		}
		longest = append(longest, s.Most)
		sum += s.Sum
		p.most = max(p.most, s.Most)
		if p.least == 0 || s.Least < p.least {
			p.least = s.Least
		}
	}
	if p.asked > p.lost {
		p.mean = sum / time.Duration(p.asked-p.lost)
	}
	// One answer that took long must not press all others to the ground.
	slices.Sort(longest)
	var top time.Duration
	if n := len(longest); n > 0 {
		top = longest[n*95/100] * 6 / 5
	}
	p.draw(slots, now, max(top, time.Microsecond))
	if p.asked == 0 {
		p.Summary = "not asked yet"
		return p
	}
	p.Top = duration(top)
	p.Summary = fmt.Sprintf("%d questions, %d without an answer", p.asked, p.lost)
	if p.mean > 0 {
		p.Summary += fmt.Sprintf("; answers took %s on average, from %s to %s", duration(p.mean), duration(p.least), duration(p.most))
	}
	return p
}

func (p *plot) draw(slots []roundtrip.Slot, now time.Time, top time.Duration) {
	y := func(d time.Duration) float64 { return plotHeight - min(float64(d)/float64(top), 1)*(plotHeight-10) }
	var upper, lower, middle []string
	flush := func() {
		if len(middle) > 0 {
			slices.Reverse(lower)
			p.Band = append(p.Band, strings.Join(append(upper, lower...), " "))
			p.Lines = append(p.Lines, strings.Join(middle, " "))
		}
		upper, lower, middle = nil, nil, nil
	}
	for i, s := range slots {
		if i > 0 && s.Start.Sub(slots[i-1].Start) > roundtrip.Width {
			flush()
		}
		from, to := max(at(s.Start, now), 0), min(at(s.Start.Add(roundtrip.Width), now), width)
		if s.Lost > 0 {
			share := float64(s.Lost) / float64(s.Asked)
			p.Losses = append(p.Losses, loss{from, max(share*plotHeight, 6), fmt.Sprintf("%s: %d of %d without an answer", clock(s.Start), s.Lost, s.Asked)})
		}
		if s.Asked == s.Lost {
			flush()
			continue
		}
		for _, x := range []float64{from, to} {
			point := func(d time.Duration) string { return fmt.Sprintf("%.0f,%.1f", x, y(d)) }
			upper, lower, middle = append(upper, point(s.Most)), append(lower, point(s.Least)), append(middle, point(s.Mean()))
		}
	}
	flush()
}

func (p plot) facts() []fact {
	if p.asked == 0 {
		return nil
	}
	out := []fact{{"Lost in a day", fmt.Sprintf("%d of %d (%.2f %%)", p.lost, p.asked, 100*float64(p.lost)/float64(p.asked))}}
	if p.mean > 0 {
		out = append(out, fact{"Mean", duration(p.mean)}, fact{"Shortest to longest", duration(p.least) + " to " + duration(p.most)})
	}
	return out
}
