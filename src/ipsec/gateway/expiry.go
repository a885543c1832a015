package gateway

import (
	"context"
	"errors"
	"time"

	"privnet/ipsec"
)

const (
	// reminder is how often a running gateway says what is about to end or has ended.
	reminder = time.Hour
	// notice is how long before its end something is reported as about to end.
	notice = 30 * 24 * time.Hour
)

// refuseExpired refuses to load what has ended. A gateway that starts does not ask it: a date is no reason
// to leave a customer without a tunnel after a reboot. (Endpoints may ask: they refuse an old certificate.)
func refuseExpired(config ipsec.Config, now time.Time) error {
	var errs []error
	for _, e := range config.Expiries() {
		if e.Expired(now) {
			errs = append(errs, errors.New(e.String()))
		}
	}
	return errors.Join(errs...)
}

// remind says at once, then again and again, and when something ends, what is weak and what has ended, in the
// log and in the status.
func (g Gateway) remind(ctx context.Context) {
	var config ipsec.Config
	for ; ctx.Err() == nil; pause(ctx, g.untilReminder(config)) {
		err := g.locked(func() error {
			good, err := g.readLastGood()
			if err != nil {
				return err
			}
			config = good.config
			g.warn(config)
			return g.tellConfigured(config)
		})
		if err != nil {
			g.Log.Error("the status does not say what expires", "reason", err.Error())
		}
	}
}

// warn logs what is weak, and what has ended or is about to.
func (g Gateway) warn(config ipsec.Config) {
	for _, c := range config.Connections {
		for _, w := range c.Waivers {
			g.Log.Warn("a weak algorithm is offered by waiver", "org", c.Org, "algorithm", w.Algorithm,
				"reason", w.Reason, "until", w.Until.UTC().Format(time.RFC3339), "weakness", w.Why())
		}
	}
	for _, e := range config.Expiries() {
		switch {
		case e.Expired(g.Now()):
			g.Log.Error("something has expired and is still in use; no deploy is accepted", "org", e.Org, "expiry", e.String())
		case e.Expired(g.Now().Add(notice)):
			g.Log.Warn("something expires soon; after that no deploy is accepted", "org", e.Org, "expiry", e.String())
		}
	}
}

// untilReminder is until something ends, at most an hour.
func (g Gateway) untilReminder(config ipsec.Config) time.Duration {
	until := reminder
	for _, e := range config.Expiries() {
		if left := e.At.Sub(g.Now()); left > 0 {
			until = min(until, left)
		}
	}
	return until
}
