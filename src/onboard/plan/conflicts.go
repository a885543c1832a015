package plan

import (
	"cmp"
	"net/netip"
	"slices"

	"go4.org/netipx"

	"privnet/connection"
	"privnet/document"
	"privnet/onboard/platform"
)

// Conflicts are the problems that the plans of a ledger have with one another: an address or a name
// that two of them hold.
func Conflicts(plans []Plan) document.Problems {
	var out document.Problems
	names, addresses := map[string]Plan{}, map[netip.Addr]Plan{}
	for _, p := range plans {
		for _, rival := range Rivals(p.Name) {
			if other, found := names[rival]; found {
				out = append(out, p.Source.Get("name").Wrong("and %s (%s:%d) make the same name for a segment and for a public network; undo one",
					other.Name, other.Source.File(), other.Source.Get("name").Line()))
			}
		}
		if other, found := names[p.Name]; found {
			out = append(out, p.Source.Get("name").Wrong("is the name of org %q too (%s:%d); two orgs need two names",
				other.Org, other.Source.File(), other.Source.Get("name").Line()))
		}
		names[p.Name] = p
		for _, g := range p.Gateways {
			if other, found := addresses[g.PublicAddress]; found {
				out = append(out, p.Source.Get("gateways").Wrong("%s is a gateway of %s too (%s:%d); undo the edit of one",
					g.PublicAddress, other.Name, other.Source.File(), other.Source.Get("gateways").Line()))
			}
			addresses[g.PublicAddress] = p
		}
	}
	return append(out, overlaps(plans)...)
}

// Misplaced are the plans' subnets that are not where this platform keeps segments: the guard of its
// shared cells knows the pools only.
func Misplaced(plans []Plan, p platform.Platform) document.Problems {
	var out document.Problems
	for _, made := range plans {
		for _, s := range made.Segment {
			_, used, found := connection.Overlap([]netip.Prefix{s.CIDR}, p.Networks)
			inPool := slices.ContainsFunc(p.Prefixes(), func(pool netip.Prefix) bool {
				return pool.Bits() <= s.CIDR.Bits() && pool.Contains(s.CIDR.Addr())
			})
			switch {
			case found:
				out = append(out, made.Source.Get("segment").Wrong("%s overlaps %s, which the platform itself uses; undo the edit", s.CIDR, used))
			case !inPool:
				out = append(out, made.Source.Get("segment").Wrong("%s is in no pool of the platform file's segments; undo the edit, or give the pool that holds it", s.CIDR))
			}
		}
	}
	return out
}

// overlaps are the subnets that share an address with another plan's. Prefixes are either disjoint or one
// within the other, so that in the order of their addresses it is enough to compare with the one that
// reaches furthest.
func overlaps(plans []Plan) document.Problems {
	type holding struct {
		cidr netip.Prefix
		org  int
	}
	var all []holding
	for i, p := range plans {
		for _, s := range p.Segment {
			all = append(all, holding{s.CIDR, i})
		}
	}
	slices.SortStableFunc(all, func(a, b holding) int {
		return cmp.Or(a.cidr.Addr().Compare(b.cidr.Addr()), cmp.Compare(a.cidr.Bits(), b.cidr.Bits()))
	})
	var out document.Problems
	for i, furthest := 1, 0; i < len(all); i++ {
		first, second := all[furthest], all[i]
		if first.cidr.Overlaps(second.cidr) {
			if first.org > second.org {
				first, second = second, first
			}
			p, other := plans[second.org], plans[first.org]
			out = append(out, p.Source.Get("segment").Wrong("%s overlaps %s, which %s holds (%s:%d); undo the edit of one",
				second.cidr, first.cidr, other.Name, other.Source.File(), other.Source.Get("segment").Line()))
		}
		if netipx.PrefixLastIP(all[i].cidr).Compare(netipx.PrefixLastIP(all[furthest].cidr)) > 0 {
			furthest = i
		}
	}
	return out
}
