package vici

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// rekeyInterval is how often it is looked whether new keys are there.
const rekeyInterval = 100 * time.Millisecond

// pair is what a CHILD_SA carries: it is the same after a rekeying.
type pair struct{ tunnel, selectors string }

func (p pair) String() string { return p.tunnel + " " + p.selectors }

// Rekey negotiates new keys for every CHILD_SA at once, and waits for them until the context ends. It returns
// the tunnels and selectors that have them; the error names those that have not. A CHILD_SA whose rekeying
// fails carries on.
func (c *Charon) Rekey(ctx context.Context) (rekeyed []string, err error) {
	before, err := c.installed(ctx)
	if err != nil {
		return nil, err
	}
	if len(before) == 0 {
		return nil, errors.New("no tunnel is up: the endpoint has not initiated")
	}
	for id := range before {
		if _, err := c.call(ctx, "rekey", map[string]string{"child-id": id}); err != nil {
			return nil, err
		}
	}
	waiting := map[pair]bool{}
	for _, p := range before {
		waiting[p] = true
	}
	for len(waiting) > 0 && ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case <-time.After(rekeyInterval):
		}
		now, err := c.installed(ctx)
		if err != nil && ctx.Err() == nil {
			return rekeyed, err
		}
		for id, p := range now {
			if _, old := before[id]; !old && waiting[p] {
				delete(waiting, p)
				rekeyed = append(rekeyed, p.String())
			}
		}
	}
	var errs []error
	for p := range waiting {
		errs = append(errs, fmt.Errorf("the endpoint does not negotiate new keys for %s", p))
	}
	if len(errs) > 0 {
		errs = append(errs, errors.New("what is up stays until its lifetime ends. With IKEv2 perfect forward secrecy is negotiated only now: "+
			"see that the endpoint has it, with a group of the policy"))
	}
	slices.Sort(rekeyed)
	return rekeyed, errors.Join(errs...)
}

// installed are the CHILD_SAs that carry packets and have no successor, by their unique ids.
func (c *Charon) installed(ctx context.Context) (map[string]pair, error) {
	sas, err := c.SAs(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]pair{}
	for _, sa := range sas {
		for _, child := range sa.Children {
			if child.State == "INSTALLED" {
				out[child.UniqueID] = pair{sa.Name, joined(child.LocalTS) + " === " + joined(child.RemoteTS)}
			}
		}
	}
	return out, nil
}

func joined(selectors []Selector) string {
	var out []string
	for _, s := range selectors {
		out = append(out, s.String())
	}
	return strings.Join(out, " ")
}
