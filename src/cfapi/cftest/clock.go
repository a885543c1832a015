package cftest

import (
	"context"
	"sync"
	"time"
)

// Clock is a time that goes on when somebody waits for it.
type Clock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

// Now is the time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Sleep lets the time go on at once.
func (c *Clock) Sleep(ctx context.Context, pause time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(pause)
	c.slept = append(c.slept, pause)
	return ctx.Err()
}

// Slept are the times that were waited for.
func (c *Clock) Slept() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]time.Duration(nil), c.slept...)
}
