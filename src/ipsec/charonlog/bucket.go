package charonlog

import "time"

// Whoever sends packets to charon makes it log. Lines about a tunnel are all kept: there are as many as the
// endpoint, which has authenticated, gives cause to. Of the others so many are kept at once, and then so many a
// second, that a flood of packets does not fill the disk.
const (
	burst     = 5000
	perSecond = 200
)

// bucket holds what may be logged now.
type bucket struct {
	lines float64
	since time.Time
	// spilled counts what was left out and not told yet.
	spilled int
}

// take says whether a line may be logged.
func (b *bucket) take(now time.Time) bool {
	if b.since.IsZero() {
		b.lines = burst
	} else {
		b.lines = min(burst, b.lines+now.Sub(b.since).Seconds()*perSecond)
	}
	b.since = now
	if b.lines < 1 {
		b.spilled++
		return false
	}
	b.lines--
	return true
}
