// Package enforcer keeps a VM at its egress policy: it looks for what differs, repairs it, looks again,
// and says what it found.
//
// It only ever adds to what stands, or replaces it as a whole. When it ends, for whatever reason, all it
// put in place stays; Remove is the only way to take it away.
package enforcer

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"time"

	"privnet/egress"
)

// Layer is one part of the kernel that holds the policy.
type Layer interface {
	Name() string
	// Check says in what the kernel differs from the policy, a sentence each. It changes nothing.
	Check(egress.Policy) ([]string, error)
	// Apply brings the kernel to the policy and leaves what is right as it is.
	Apply(egress.Policy) error
	// Remove leaves the kernel as if the layer had never been.
	Remove(egress.Policy) error
}

// Rules is the layer that judges packets.
type Rules interface {
	Layer
	// Dropped is the number of packets dropped so far.
	Dropped() uint64
	// Backend names what holds the rules.
	Backend(egress.Policy) string
}

// Enforcer holds one VM at one policy. It is not for concurrent use.
type Enforcer struct {
	Loaded Loaded
	Rules  Rules
	// Guards close what Rules may miss. They are applied in their order.
	Guards []Layer
	// Opening lets packets pass. It is touched only while the rules and all guards stand.
	Opening Layer
	// Through lists the destinations whose routes have their next hop in one of the networks.
	Through func([]netip.Prefix) ([]netip.Prefix, error)
	// Turn, if there is one, has a round of Run for itself alone, and tells it whether the VM was decommissioned.
	// With an error the round did not take place.
	Turn func(round func(decommissioned bool)) error
	Now  func() time.Time
	Log  *slog.Logger

	since    time.Time
	repairs  int
	problems []string
}

// RunOnce compares the kernel with the policy, repairs what differs and reports.
func (e *Enforcer) RunOnce() Status {
	policy, problems := e.observe()
	stands, denied := true, policy.Role == egress.RoleDenied
	held := append([]Layer{e.Rules}, e.Guards...)
	if denied {
		// Whatever routes and blocks there are from before, they let nothing pass.
		held = held[:1]
	}
	for _, layer := range held {
		if err := e.hold(layer, policy); err != nil {
			problems, stands = append(problems, err.Error()), false
		}
	}
	if stands && !denied {
		if err := e.hold(e.Opening, policy); err != nil {
			problems, stands = append(problems, err.Error()), false
		}
	}
	switch {
	case !stands:
		e.since = time.Time{}
	case e.since.IsZero():
		e.since = e.Now()
		e.Log.Info("the policy is enforced", "role", policy.Role, "configuration", e.Loaded.Origin)
	}
	e.report(problems)
	return Status{
		Enforced:      stands && !denied,
		Role:          policy.Role,
		Backend:       e.Rules.Backend(policy),
		Configuration: e.Loaded.Origin,
		Since:         e.since,
		Checked:       e.Now(),
		Repairs:       e.repairs,
		Dropped:       e.Rules.Dropped(),
		Problems:      problems,
	}
}

// Run enforces at once, and then after each tick and each change, until the context ends. Each round's
// status goes to tell.
func (e *Enforcer) Run(ctx context.Context, ticks <-chan time.Time, changes <-chan struct{}, tell func(Status) error) {
	for {
		status := e.round(ctx)
		if ctx.Err() != nil {
			return
		}
		if err := tell(status); err != nil {
			e.Log.Error("telling the status", "error", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		case <-changes:
		}
	}
}

// round is RunOnce in turn with others. That the turn cannot be told keeps nothing from being enforced.
func (e *Enforcer) round(ctx context.Context) (s Status) {
	if e.Turn == nil {
		return e.RunOnce()
	}
	err := e.Turn(func(decommissioned bool) {
		if decommissioned {
			s = e.idle()
		} else {
			s = e.RunOnce()
		}
	})
	if err != nil && ctx.Err() == nil {
		s = e.RunOnce()
		s.Problems = append(s.Problems, err.Error())
	}
	return s
}

// idle is a round on a VM that was decommissioned: it looks at nothing and changes nothing.
func (e *Enforcer) idle() Status {
	e.since = time.Time{}
	e.report([]string{"this VM was decommissioned: nothing is enforced until the job is deployed again"})
	return Status{Role: e.Loaded.Policy.Role, Backend: "none", Configuration: OriginDecommissioned, Checked: e.Now(), Repairs: e.repairs, Problems: e.problems}
}

// Check says in what the kernel differs from the policy, and changes nothing.
func (e *Enforcer) Check() ([]string, error) {
	policy, out := e.observe()
	for _, layer := range e.layers() {
		found, err := layer.Check(policy)
		if err != nil {
			return nil, fmt.Errorf("checking the %s: %w", layer.Name(), err)
		}
		out = append(out, found...)
	}
	return out, nil
}

// Remove leaves the VM as it was found: what lets packets pass goes first, the rules last.
func (e *Enforcer) Remove() error {
	layers := e.layers()
	slices.Reverse(layers)
	for _, layer := range layers {
		if err := layer.Remove(e.Loaded.Policy); err != nil {
			return fmt.Errorf("removing the %s: %w", layer.Name(), err)
		}
	}
	return nil
}

func (e *Enforcer) layers() []Layer {
	return append(append([]Layer{e.Rules}, e.Guards...), e.Opening)
}

// observe completes the policy by what depends on the state of the VM.
func (e *Enforcer) observe() (egress.Policy, []string) {
	policy, problems := e.Loaded.Policy, slices.Clone(e.Loaded.Problems)
	detours, err := e.Through(policy.ForbiddenNextHops())
	if err != nil {
		problems = append(problems, "looking for routes into a segment: "+err.Error())
	}
	for _, detour := range detours {
		problems = append(problems, fmt.Sprintf("the route to %s has its next hop in a segment; forwarded packets to there are dropped", detour))
	}
	policy.Detours = detours
	return policy, problems
}

// hold brings a layer to the policy and reads back that it is there.
func (e *Enforcer) hold(layer Layer, policy egress.Policy) error {
	found, err := layer.Check(policy)
	if err != nil {
		return fmt.Errorf("checking the %s: %w", layer.Name(), err)
	}
	if len(found) == 0 {
		return nil
	}
	if err := layer.Apply(policy); err != nil {
		return fmt.Errorf("applying the %s: %w", layer.Name(), err)
	}
	left, err := layer.Check(policy)
	if err != nil {
		return fmt.Errorf("reading back the %s: %w", layer.Name(), err)
	}
	if len(left) > 0 {
		return fmt.Errorf("reading back the %s: %s", layer.Name(), strings.Join(left, "; "))
	}
	if !e.since.IsZero() {
		e.repairs++
		e.Log.Warn("repaired the "+layer.Name(), "found", found)
	}
	return nil
}

// report logs the problems when they change.
func (e *Enforcer) report(problems []string) {
	if slices.Equal(problems, e.problems) {
		return
	}
	e.problems = problems
	if len(problems) == 0 {
		e.Log.Info("no problems any more")
	}
	for _, problem := range problems {
		e.Log.Error(problem)
	}
}
