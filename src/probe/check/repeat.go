package check

import (
	"context"
	"time"
)

// Repeat asks once after the delay and then at every interval, until the context ends. A question has
// until the next one is due, so that two never overlap; delays spread targets over the interval.
func Repeat(ctx context.Context, interval, delay time.Duration, ask func(context.Context) Result, deliver func(Result)) {
	select {
	case <-ctx.Done():
		return
	case <-time.After(delay):
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, min(interval, MaxWait))
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

// Splay is the delay of the target number i of n, so that their questions are spread evenly.
func Splay(interval time.Duration, i, n int) time.Duration {
	return interval / time.Duration(n) * time.Duration(i)
}
