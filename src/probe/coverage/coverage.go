// Package coverage finds out how much of a selector pair a gateway's CHILD_SAs carry. It is pure: CIDR
// algebra over what charon listed.
package coverage

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"privnet/connection"
	"privnet/ipsec/vici"
	"privnet/probe/health"
)

// Coverage is what the CHILD_SAs cover of one pair.
type Coverage struct {
	Extent health.Extent
	// Detail says what is covered of a part, or why nothing is.
	Detail string
	// Children are those that carry something of the pair.
	Children []vici.Child
}

// area is a set of packets by source and destination.
type area struct {
	local, remote *netipx.IPSet
}

// Of finds out how much of the pair the IKE_SAs' children carry; the endpoints are named in reasons. Selectors may be wider than the pair, narrower,
// or several together: it is the areas that count, not their form. A selector that is narrowed to a
// protocol or port makes a part, never the whole.
func Of(p connection.Pair, endpoints []connection.Endpoint, sas []vici.SA) Coverage {
	var out Coverage
	missing := []area{{connection.Set(p.Segment), connection.Set(p.PrivateNetwork)}}
	for _, sa := range sas {
		for _, child := range sa.Children {
			if !child.Carries() || !Touches(p, child) {
				continue
			}
			out.Children = append(out.Children, child)
			missing = subtract(missing, area{addresses(child.LocalTS), addresses(child.RemoteTS)})
		}
	}
	switch {
	case len(out.Children) == 0:
		out.Detail = whyNothing(endpoints, sas)
	case len(missing) == 0:
		out.Extent = health.Whole
	default:
		out.Extent = health.Part
		out.Detail = fmt.Sprintf("the tunnel carries only %s of %s === %s", describe(out.Children), p.Segment, p.PrivateNetwork)
	}
	return out
}

// subtract takes an area from others: beside it, what another source sends, and, above and below it, what
// the same sources send elsewhere.
func subtract(from []area, what area) []area {
	var out []area
	for _, a := range from {
		for _, rest := range []area{
			{minus(a.local, what.local), a.remote},
			{both(a.local, what.local), minus(a.remote, what.remote)},
		} {
			if len(rest.local.Ranges()) > 0 && len(rest.remote.Ranges()) > 0 {
				out = append(out, rest)
			}
		}
	}
	return out
}

func minus(a, b *netipx.IPSet) *netipx.IPSet {
	return build(func(s *netipx.IPSetBuilder) { s.AddSet(a); s.RemoveSet(b) })
}

func both(a, b *netipx.IPSet) *netipx.IPSet {
	return build(func(s *netipx.IPSetBuilder) { s.AddSet(a); s.Intersect(b) })
}

// addresses are those that the selectors let pass whatever the protocol.
func addresses(selectors []vici.Selector) *netipx.IPSet {
	return build(func(s *netipx.IPSetBuilder) {
		for _, selector := range selectors {
			if selector.Only == "" {
				s.AddRange(selector.Range)
			}
		}
	})
}

func build(fill func(*netipx.IPSetBuilder)) *netipx.IPSet {
	var b netipx.IPSetBuilder
	fill(&b)
	set, err := b.IPSet()
	if err != nil {
		// The builder fails on invalid ranges only, and every range here has been parsed.
		panic(err)
	}
	return set
}

// Touches says whether the CHILD_SA is for some of the pair's addresses.
func Touches(p connection.Pair, child vici.Child) bool {
	overlaps := func(selectors []vici.Selector, prefix netip.Prefix) bool {
		return slices.ContainsFunc(selectors, func(s vici.Selector) bool { return s.Range.Overlaps(netipx.RangeOfPrefix(prefix)) })
	}
	return overlaps(child.LocalTS, p.Segment) && overlaps(child.RemoteTS, p.PrivateNetwork)
}

// describe names what the children carry, each once.
func describe(children []vici.Child) string {
	var parts []string
	for _, child := range children {
		if text := describeSelectors(child); !slices.Contains(parts, text) {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, ", ")
}

func describeSelectors(child vici.Child) string {
	join := func(selectors []vici.Selector) string {
		var out []string
		for _, s := range selectors {
			out = append(out, s.String())
		}
		return strings.Join(out, " ")
	}
	return join(child.LocalTS) + " === " + join(child.RemoteTS)
}

func whyNothing(endpoints []connection.Endpoint, sas []vici.SA) string {
	var names []string
	for _, e := range endpoints {
		names = append(names, e.Address.String())
	}
	peer := strings.Join(names, " or ")
	established := slices.ContainsFunc(sas, vici.SA.IsEstablished)
	switch {
	case established:
		return "phase 1 with " + peer + " is up, but it has opened no tunnel for this pair (phase 2)"
	case len(sas) > 0:
		return "phase 1 with " + peer + " has begun and is not complete"
	default:
		return "the endpoint " + peer + " has not connected: there is no IKE_SA"
	}
}
