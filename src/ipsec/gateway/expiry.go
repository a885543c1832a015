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
		good, err := g.readLastGood()
		if err != nil {
			g.Log.Error("it is not known what expires", "reason", err.Error())
			continue
		}
		config = good.config
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
		if err := g.tellExpiries(config); err != nil {
			g.Log.Error("the status is not told", "reason", err.Error())
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

// tellExpiries puts what is configured into the status: waivers, ends, FIPS, what is offered and the ages of keys.
func (g Gateway) tellExpiries(config ipsec.Config) error {
	waivers, expiries := []WaiverStatus{}, []ExpiryStatus{}
	for _, c := range config.Connections {
		for _, w := range c.Waivers {
			waivers = append(waivers, WaiverStatus{w.Algorithm, w.Reason, w.Until.UTC()})
		}
	}
	for _, e := range config.Expiries() {
		expiries = append(expiries, ExpiryStatus{e.What, e.At.UTC(), e.Expired(g.Now())})
	}
	offer := OfferStatus{Phase1: []string{}, Phase2: []string{}}
	keys := []KeyStatus{}
	for _, c := range config.Connections {
		offer.IKE, offer.Certificates = c.IKE, c.Certificates != nil
		phase1, phase2 := c.Offer()
		offer.Phase1, offer.Phase2 = append(offer.Phase1, phase1...), append(offer.Phase2, phase2...)
		ages, err := g.keyAges(c.Keys)
		if err != nil {
			return err
		}
		keys = append(keys, ages...)
	}
	return g.updateStatus(func(s *Status) {
		s.Offer, s.Keys = offer, keys
		s.Waivers, s.Expiries, s.FIPS = waivers, expiries, config.FIPS
		if expired := refuseExpired(config, g.Now()); expired != nil && s.Healthy {
			s.Healthy, s.Problem = false, expired.Error()
		}
	})
}
