package gateway

import (
	"context"
	"net/netip"
	"time"

	"privnet/ipsec"
	"privnet/ipsec/vici"
)

const (
	// swapPause is the shortest time between two swaps of an endpoint's key. Devices try again after some
	// seconds, so that they meet the other key at the next attempt or the one after.
	swapPause = 3 * time.Second
	// overlapTick is how often it is looked whether an overlap is over.
	overlapTick = time.Second
)

// rotation gives charon the other of two keys when the endpoint fails to authenticate with the one in
// use. No SA that lives is touched: keys count only when one is made.
type rotation struct {
	gateway Gateway
	// swapped is when the endpoint's key was swapped, and failed the last SA that was counted for it: with
	// IKEv1 each retransmission of the same message fails again.
	swapped map[netip.Addr]time.Time
	failed  map[netip.Addr]string
}

// rotate watches charon's failures until the context ends.
func (g Gateway) rotate(ctx context.Context) {
	r := rotation{g, map[netip.Addr]time.Time{}, map[netip.Addr]string{}}
	alerts := make(chan vici.Alert)
	go func() {
		for ctx.Err() == nil {
			err := vici.WatchAlerts(ctx, g.Paths.Socket(), func(alert vici.Alert) {
				select {
				case alerts <- alert:
				case <-ctx.Done():
				}
			})
			if ctx.Err() == nil {
				g.Log.Warn("failures to authenticate are not seen for a moment", "reason", err.Error())
				pause(ctx, pollInterval)
			}
		}
	}()
	ticker := time.NewTicker(overlapTick)
	defer ticker.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case alert := <-alerts:
			if alert.AuthenticationFailed() {
				err = r.swap(ctx, alert.SA)
			}
		case <-ticker.C:
			err = r.end(ctx)
		}
		if err != nil && ctx.Err() == nil {
			g.Log.Error("the pre-shared key stays as it is", "reason", err.Error())
		}
	}
}

// swap gives charon the other key for the endpoint that an SA failed with.
func (r rotation) swap(ctx context.Context, sa vici.SA) error {
	now := r.gateway.Now()
	if r.failed[sa.RemoteHost] == sa.UniqueID || now.Sub(r.swapped[sa.RemoteHost]) < swapPause {
		return nil
	}
	return r.gateway.locked(func() error {
		// Not the job's files: they may be wrong, or not loaded yet.
		good, err := r.gateway.readLastGood()
		if err != nil {
			return err
		}
		rendered, choices := good.rendered, good.choices
		for i, key := range rendered.Keys {
			if key.Endpoint != sa.RemoteHost || !key.Keys.Overlap(now) {
				continue
			}
			r.failed[sa.RemoteHost], r.swapped[sa.RemoteHost] = sa.UniqueID, now
			key.InUse = key.InUse.Other()
			choices[key.ID] = keyChoice{InUse: key.InUse, Active: key.Keys.Active, Since: now, Swaps: choices[key.ID].Swaps + 1}
			rendered.Keys[i] = key
			if err := r.gateway.useKeys(ctx, rendered, choices, key); err != nil {
				return err
			}
			r.gateway.Log.Warn("the endpoint does not have the pre-shared key in use: trying the other one",
				"org", rendered.Org(key.Endpoint), "endpoint", key.Endpoint.String(), "psk", string(key.InUse), "overlap_until", untilText(key.Keys.OverlapUntil))
		}
		return nil
	})
}

// end gives charon the active keys when an overlap is over.
func (r rotation) end(ctx context.Context) error {
	before, err := readKeyChoices(r.gateway.Paths.keyChoices())
	if err != nil || len(before) == 0 {
		return err
	}
	return r.gateway.locked(func() error {
		good, err := r.gateway.readLastGood()
		if err != nil {
			return err
		}
		rendered, choices := good.rendered, good.choices
		for _, key := range rendered.Keys {
			choice, chosen := before[key.ID]
			if !chosen || key.Keys.OverlapUntil.IsZero() || key.Keys.Overlap(r.gateway.Now()) {
				continue
			}
			if err := r.gateway.useKeys(ctx, rendered, choices, key); err != nil {
				return err
			}
			r.gateway.Log.Warn("the overlap of two pre-shared keys is over: only the active one counts",
				"org", rendered.Org(key.Endpoint), "endpoint", key.Endpoint.String(), "psk", string(key.InUse), "was", string(choice.InUse))
		}
		return nil
	})
}

// useKeys gives charon a key and remembers it.
func (g Gateway) useKeys(ctx context.Context, rendered ipsec.Rendered, choices keyChoices, key ipsec.SharedKey) error {
	charon, err := vici.Connect(ctx, g.Paths.Socket())
	if err != nil {
		return err
	}
	defer charon.Close()
	if err := charon.LoadKey(ctx, key); err != nil {
		return err
	}
	if err := g.writeSecrets(rendered); err != nil {
		return err
	}
	if err := choices.save(g.Paths.keyChoices()); err != nil {
		return err
	}
	return g.updateStatus(func(s *Status) { s.PSKs = pskStatuses(rendered, choices, g.Now()) })
}

func untilText(at time.Time) string {
	if at.IsZero() {
		return "no end given"
	}
	return at.UTC().Format(time.RFC3339)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
