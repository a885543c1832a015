// Package netfilter reads rules as iptables-restore takes them and says what they do to packets: to one
// packet, with each rule that it passes (Judge), and to sets of packets, exactly (Passes).
//
// It understands what our rules are made of. Whatever else a rule says is an error, because a proof cannot
// pass over what it does not understand. It reads one table; that others also drop packets makes no
// statement about what passes wrong.
package netfilter

import (
	"fmt"

	"privnet/verify/space"
)

// Table is the chains of one table.
type Table struct {
	chains map[string]chain
}

type chain struct {
	// policy is the verdict of a built-in chain on what comes to its end; it is empty for others.
	policy string
	rules  []rule
}

type rule struct {
	// text is the rule as it was written, without the comment.
	text string
	// matches are disjoint; a packet fits if it is in one of them.
	matches space.Region
	target  string
	kind    kind
}

// kind is what a rule does with a packet that fits.
type kind int

const (
	// goOn changes the packet in a way that no rule asks about, and goes on.
	goOn kind = iota
	accept
	drop
	giveBack
	jump
	leave
)

// Step is a rule that a packet fits, and its place.
type Step struct {
	Chain string
	// Number is the rule's place in its chain, from 1.
	Number int
	Rule   string
}

func (s Step) String() string { return fmt.Sprintf("%s rule %d: %s", s.Chain, s.Number, s.Rule) }

// Judge sends one packet into a built-in chain and says whether it passes, and which rules it fits on its way.
func (t Table) Judge(hook string, p space.Packet) (passes bool, way []Step) {
	verdict := t.judge(hook, p, &way)
	if verdict == giveBack {
		return t.chains[hook].policy != "DROP", way
	}
	return verdict == accept, way
}

func (t Table) judge(name string, p space.Packet, way *[]Step) kind {
	for i, r := range t.chains[name].rules {
		if !r.matches.Contains(p) {
			continue
		}
		*way = append(*way, Step{Chain: name, Number: i + 1, Rule: r.text})
		switch r.kind {
		case goOn:
		case jump:
			if verdict := t.judge(r.target, p, way); verdict != giveBack {
				return verdict
			}
		case leave:
			return t.judge(r.target, p, way)
		default:
			return r.kind
		}
	}
	return giveBack
}

// Passes is the packets of a set that pass a built-in chain.
func (t Table) Passes(hook string, in space.Region) space.Region {
	accepted, returned := t.passes(hook, in)
	if t.chains[hook].policy == "DROP" {
		return accepted
	}
	return append(accepted, returned...)
}

// passes splits the packets that a chain does not drop into those that it accepts and those that come out of it.
func (t Table) passes(name string, in space.Region) (accepted, returned space.Region) {
	rest := in
	for _, r := range t.chains[name].rules {
		if len(rest) == 0 {
			break
		}
		if r.kind == goOn {
			continue
		}
		fitting := rest.Intersect(r.matches)
		if len(fitting) == 0 {
			continue
		}
		rest = rest.Minus(r.matches)
		switch r.kind {
		case accept:
			accepted = append(accepted, fitting...)
		case giveBack:
			returned = append(returned, fitting...)
		case jump, leave:
			inner, back := t.passes(r.target, fitting)
			accepted = append(accepted, inner...)
			if r.kind == jump {
				rest = append(rest, back...)
			} else {
				returned = append(returned, back...)
			}
		}
	}
	return accepted, append(returned, rest...)
}

// Rules is the number of rules in the table.
func (t Table) Rules() int {
	n := 0
	for _, c := range t.chains {
		n += len(c.rules)
	}
	return n
}
