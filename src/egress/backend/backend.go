// Package backend keeps the rules of an egress policy in whatever the VM's packet filter is: the table of
// package nftables or that of package iptables.
//
// Where it is left to choose, it follows the stemcell: nf_tables, where the VM's iptables writes these and the
// kernel takes them; iptables, where that is the legacy one. What a former choice left in the other is removed
// once the policy stands in the present one, so that a VM is never without.
package backend

import (
	"fmt"
	"strings"

	"privnet/egress"
	"privnet/egress/enforcer"
)

// Kernel is a backend that knows whether the kernel has it.
type Kernel interface {
	enforcer.Rules
	Supported() bool
}

// Rules is the layer in the chosen backend. It is not for concurrent use.
type Rules struct {
	IPTables enforcer.Rules
	NFTables Kernel
	// chosen is nil until the first look, other is the one that was not chosen, nil once it holds nothing.
	chosen, other enforcer.Rules
}

// Name is what the layer is called in logs.
func (r *Rules) Name() string { return "rules" }

// Backend names what holds the policy.
func (r *Rules) Backend(p egress.Policy) string {
	r.choose(p)
	return r.chosen.Backend(p)
}

// Dropped is the number of packets that our rules dropped since the process started.
func (r *Rules) Dropped() uint64 { return r.IPTables.Dropped() + r.NFTables.Dropped() }

// Check says in what the kernel differs from the policy, a sentence each. What an enforcer left in the other
// backend is looked for until nothing is there; that this cannot be looked at is no fault of the policy's.
func (r *Rules) Check(p egress.Policy) ([]string, error) {
	r.choose(p)
	out, err := r.chosen.Check(p)
	if err != nil || r.other == nil {
		return out, err
	}
	left, err := r.other.Check(nothing(p))
	if err != nil || len(left) == 0 {
		r.other = nil
		return out, nil
	}
	return append(out, left...), nil
}

// Apply brings the kernel to the policy, and then empties the other backend.
func (r *Rules) Apply(p egress.Policy) error {
	r.choose(p)
	if err := r.chosen.Apply(p); err != nil || r.other == nil {
		return err
	}
	if err := r.other.Remove(p); err != nil {
		return fmt.Errorf("removing what was left in another packet filter: %w", err)
	}
	return nil
}

// Remove takes away everything that is ours, from both.
func (r *Rules) Remove(p egress.Policy) error {
	if r.NFTables.Supported() {
		if err := r.NFTables.Remove(p); err != nil {
			return err
		}
	}
	return r.IPTables.Remove(p)
}

// choose chooses once: a program that is missing for a moment must not move the rules.
func (r *Rules) choose(p egress.Policy) {
	if r.chosen != nil {
		return
	}
	r.chosen, r.other = r.IPTables, r.NFTables
	native := p.Backend == egress.BackendNFTables ||
		p.Backend != egress.BackendIPTables && r.NFTables.Supported() && !strings.Contains(r.IPTables.Backend(p), "legacy")
	if native {
		r.chosen, r.other = r.NFTables, r.IPTables
	}
	if !r.NFTables.Supported() && !native {
		r.other = nil
	}
}

// nothing is the policy of a backend that holds none.
func nothing(p egress.Policy) egress.Policy { return egress.Policy{IPTablesBinDir: p.IPTablesBinDir} }
