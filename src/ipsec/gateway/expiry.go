package gateway

import (
	"context"
	"errors"
	"strings"
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
// to leave a customer without a tunnel after a reboot.
func refuseExpired(config ipsec.Config, now time.Time) error {
	if expired := config.ExpiredWaivers(now); len(expired) > 0 {
		return errors.New(strings.Join(expired, "\n"))
	}
	return nil
}

// remind says at once, and then again and again, what is weak and what has ended, in the log and in the
// status.
func (g Gateway) remind(ctx context.Context) {
	for ; ctx.Err() == nil; pause(ctx, reminder) {
		config, _, err := g.render()
		if err != nil {
			continue // whoever loads it says so
		}
		now := g.Now()
		for _, c := range config.Connections {
			for _, w := range c.Waivers {
				log := g.Log.With("org", c.Org, "algorithm", w.Algorithm, "reason", w.Reason, "until", w.Until.UTC().Format(time.RFC3339), "weakness", w.Why())
				switch {
				case w.Expired(now):
					log.Error("a waiver for a weak algorithm has expired, and the algorithm is still offered")
				case w.Expired(now.Add(notice)):
					log.Warn("a waiver for a weak algorithm expires soon; after that no deploy is accepted")
				default:
					log.Warn("a weak algorithm is offered by waiver")
				}
			}
		}
		err = g.updateStatus(func(s *Status) {
			s.Waivers = waiverStatuses(config, now)
			if expired := refuseExpired(config, now); expired != nil && s.Healthy {
				s.Healthy, s.Problem = false, expired.Error()
			}
		})
		if err != nil {
			g.Log.Error("the status is not told", "reason", err.Error())
		}
	}
}

func waiverStatuses(config ipsec.Config, now time.Time) []WaiverStatus {
	out := []WaiverStatus{}
	for _, c := range config.Connections {
		for _, w := range c.Waivers {
			out = append(out, WaiverStatus{w.Algorithm, w.Reason, w.Until.UTC(), w.Expired(now)})
		}
	}
	return out
}
