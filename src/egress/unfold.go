package egress

import (
	"fmt"
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// fan is the number of networks that are asked one after the other. More are asked as a tree of chains, or, where
// each chain of the tree would repeat what follows the rule, more than few.
const fan, few = 4, 8

// Unfold writes chains with lists of networks as chains whose rules have at most one network on each side:
// what every packet filter has. A packet meets a number of rules that grows with the logarithm of the number of
// networks, and one that is far from all of them meets the first few.
//
// A list becomes a tree of chains, each named after the block of addresses that it divides. The networks are
// merged before, which changes nothing about the addresses. So they are disjoint, and so are the blocks at every
// fork: a packet takes one way and never needs to come back. What comes to the end of a way is in no network of
// the list and goes on as if the rule had not been there:
//
//   - A rule that hands on or drops is entered by a jump. At the end of a way the packet returns to the
//     next rule.
//   - A rule that ends the chain, by a verdict of Return or a Goto, is entered by a goto, or its
//     verdict would only end the tree. At the end of a way stands then what follows the rule in its chain.
//
// Trees drop in a chain of their own, so that a few rules count all that is dropped.
//
// A tree is nothing but chains and rules. So it is replaced with the rest, in one step, and no packet ever finds
// half a tree, as it may find an interval set of nf_tables that is still being filled.
//
// Limits: nf_tables takes chains nested 16 deep; 1,000 networks, whichever they are, make about 10 levels at the
// most, 5 if they are spread evenly.
func Unfold(chains []Chain) []Chain {
	u := unfolding{roots: map[string]string{}, drops: map[Family]bool{}}
	for _, chain := range chains {
		var rules []Rule
		for i, rule := range chain.Rules {
			rules = append(rules, u.rule(chain.Family, rule, chain.Rules[i+1:])...)
		}
		chain.Rules = rules
		u.chains = append(u.chains, chain)
	}
	return u.chains
}

// unfolding collects the chains, those that are led to before those that lead there. Rules that ask the same
// share a tree.
type unfolding struct {
	chains []Chain
	// roots are the names of the trees' first chains by what they ask, drops the IP versions with a chain that drops.
	roots map[string]string
	drops map[Family]bool
}

// side is one of the two lists of networks of a match.
type side string

const (
	sources      side = "sources"
	destinations side = "destinations"
)

func (s side) of(m *Match) *[]netip.Prefix {
	if s == sources {
		return &m.Sources
	}
	return &m.Destinations
}

// rule unfolds one rule, which the rest follows in its chain. What else it asks is asked before the tree.
func (u *unfolding) rule(family Family, r Rule, rest []Rule) []Rule {
	r = merged(r)
	long, short := destinations, sources
	if len(r.Sources) > len(r.Destinations) {
		long, short = sources, destinations
	}
	networks := *long.of(&r.Match)
	t := tree{family: family, side: long, leaf: Rule{Verdict: r.Verdict, Jump: r.Jump, Goto: r.Goto}}
	if len(networks) <= fan || t.ends() && len(networks) <= few || r.MSS > 0 {
		return pairs(r)
	}
	var out []Rule
	for _, beside := range each(*short.of(&r.Match)) {
		entry := Rule{Match: r.Match}
		*short.of(&entry.Match), *long.of(&entry.Match) = beside, nil
		if around := common(networks); around.Bits() > 0 {
			*long.of(&entry.Match) = []netip.Prefix{around}
		}
		if t.ends() {
			t.tail = following(rest, short, beside)
			entry.Goto = u.root(t, networks)
		} else {
			entry.Jump = u.root(t, networks)
		}
		out = append(out, entry)
	}
	return out
}

// following is the rest of a chain for packets whose address on one side is in the network given, if one is.
func following(rest []Rule, s side, within []netip.Prefix) []Rule {
	var out []Rule
	for _, r := range rest {
		list := *s.of(&r.Match)
		meets := func(n netip.Prefix) bool { return n.Overlaps(within[0]) }
		if len(within) == 0 || len(list) == 0 || slices.ContainsFunc(list, meets) {
			out = append(out, pairs(merged(r))...)
		}
	}
	return out
}

// root is the chain in which the tree begins, made if there is none like it.
func (u *unfolding) root(t tree, networks []netip.Prefix) string {
	key := fmt.Sprint(t.family, t.side, t.leaf, t.tail, networks)
	if name, known := u.roots[key]; known {
		return name
	}
	t.name = ChainPrefix + string(rune('a'+len(u.roots)))
	u.roots[key] = u.plant(t, networks)
	return u.roots[key]
}

// tree is a rule over many networks of one side.
type tree struct {
	name   string
	family Family
	side   side
	// leaf is what the rule does, tail what follows where no network fits.
	leaf Rule
	tail []Rule
}

// ends says whether the rule, for a packet that fits, is the last of its chain.
func (t tree) ends() bool { return t.leaf.Goto != "" || t.leaf.Verdict == Return }

// counted is a rule whose drop is counted elsewhere.
func (u *unfolding) counted(family Family, r Rule) Rule {
	if r.Verdict != Drop {
		return r
	}
	if !u.drops[family] {
		u.drops[family] = true
		u.chains = append(u.chains, Chain{Family: family, Name: chainDrop, Rules: []Rule{drop(Match{})}})
	}
	r.Verdict, r.Goto = "", chainDrop
	return r
}

// plant adds the chains for the networks and gives the name of the first.
func (u *unfolding) plant(t tree, networks []netip.Prefix) string {
	chain := Chain{Family: t.family, Name: fmt.Sprintf("%s-%s", t.name, common(networks))}
	for _, group := range divide(networks) {
		rule := t.leaf
		if len(group) > 1 {
			rule = Rule{Goto: u.plant(t, group)}
		} else if rule.Jump != "" {
			// Nothing in this chain is left to ask when the packet returns.
			rule.Jump, rule.Goto = "", rule.Jump
		} else {
			rule = u.counted(t.family, rule)
		}
		*t.side.of(&rule.Match) = []netip.Prefix{common(group)}
		chain.Rules = append(chain.Rules, rule)
	}
	for _, rule := range t.tail {
		chain.Rules = append(chain.Rules, u.counted(t.family, rule))
	}
	u.chains = append(u.chains, chain)
	return chain.Name
}

// divide parts sorted disjoint networks into as many groups as may be asked in turn, none much larger than
// the others. The blocks around the groups are disjoint.
func divide(networks []netip.Prefix) [][]netip.Prefix {
	groups := [][]netip.Prefix{networks}
	for len(groups) < fan {
		largest := 0
		for i, group := range groups {
			if len(group) > len(groups[largest]) {
				largest = i
			}
		}
		group := groups[largest]
		if len(group) == 1 {
			break
		}
		// The first network in the upper half of the block around the group.
		middle := upperHalf(common(group))
		at := slices.IndexFunc(group, func(n netip.Prefix) bool { return !n.Addr().Less(middle) })
		groups = slices.Replace(groups, largest, largest+1, group[:at], group[at:])
	}
	return groups
}

// upperHalf is the first address of the upper half of a block.
func upperHalf(block netip.Prefix) netip.Addr {
	bytes := block.Addr().AsSlice()
	bytes[block.Bits()/8] |= 0x80 >> (block.Bits() % 8)
	address, _ := netip.AddrFromSlice(bytes)
	return address
}

// common is the smallest block around sorted disjoint networks.
func common(networks []netip.Prefix) netip.Prefix {
	first, last := networks[0], networks[len(networks)-1]
	bits := min(first.Bits(), last.Bits())
	for !netip.PrefixFrom(first.Addr(), bits).Contains(last.Addr()) {
		bits--
	}
	return netip.PrefixFrom(first.Addr(), bits).Masked()
}

// merged is the rule with the fewest networks that hold the same addresses, in their order.
func merged(r Rule) Rule {
	for _, s := range []side{sources, destinations} {
		list := s.of(&r.Match)
		var builder netipx.IPSetBuilder
		for _, network := range *list {
			builder.AddPrefix(network)
		}
		// Without networks the rule is for all addresses, and must not become one for none.
		if set, err := builder.IPSet(); err == nil && len(*list) > 0 {
			*list = set.Prefixes()
		}
	}
	return r
}

// pairs gives a rule for each pair of networks.
func pairs(r Rule) []Rule {
	var out []Rule
	for _, source := range each(r.Sources) {
		for _, destination := range each(r.Destinations) {
			pair := r
			pair.Sources, pair.Destinations = source, destination
			out = append(out, pair)
		}
	}
	return out
}

// each is a list of one network for every one of them, and an empty list where there is none.
func each(networks []netip.Prefix) [][]netip.Prefix {
	if len(networks) == 0 {
		return [][]netip.Prefix{nil}
	}
	return slices.Collect(slices.Chunk(networks, 1))
}

// Dropping lists the chains of an IP version that drop by a rule of their own.
func Dropping(unfolded []Chain, family Family) []string {
	var out []string
	for _, chain := range unfolded {
		if chain.Family == family && slices.ContainsFunc(chain.Rules, func(r Rule) bool { return r.Verdict == Drop }) {
			out = append(out, chain.Name)
		}
	}
	return out
}
