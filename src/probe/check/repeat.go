package check

import (
	"context"
	"time"
)

// Repeat asks once after the delay and then at every interval, until the context ends. A question waits for
// four fifths of the interval, so that it is over when the next one is due, and no two overlap; delays
// spread targets over the interval.
func Repeat(ctx context.Context, interval, delay time.Duration, ask func(context.Context) Result, deliver func(Result)) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(delay):
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, min(interval*4/5, MaxWait))
		result := ask(limited)
		cancel()
		if ctx.Err() != nil {
			return
		}
		deliver(result)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// MaxWait is the longest that a question waits for its answer.
const MaxWait = 5 * time.Second

// step is what delays are multiples of. Questions that are asked at the same moment wake the process once.
const step = 50 * time.Millisecond

// Splay is the delay of the target number i of n, so that their questions are spread over the interval, in steps:
// the questions to a hundred targets in a second cost half as much in twenty groups as one by one.
func Splay(interval time.Duration, i, n int) time.Duration {
	return step * (interval / step * time.Duration(i) / time.Duration(n))
}
