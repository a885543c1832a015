package signature

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"privnet/connection"
	"privnet/ipsec/vici"
)

// Relation is how a selector that the endpoint proposed lies to what was agreed.
type Relation string

const (
	Exact    Relation = "exact"
	Any      Relation = "0.0.0.0/0"
	Host     Relation = "a single host"
	Subset   Relation = "narrower"
	Superset Relation = "wider"
	Swapped  Relation = "local and remote swapped"
	Foreign  Relation = "not agreed"
	// Narrowed is limited to a protocol or port.
	Narrowed Relation = "limited to a protocol or port"
	Missing  Relation = "missing"
)

// Relate classifies a proposed selector against the agreed networks; the others are those agreed for the
// other end.
func Relate(s vici.Selector, agreed, others []netip.Prefix) Relation {
	covers := func(a, b netipx.IPRange) bool {
		return a.From().Compare(b.From()) <= 0 && a.To().Compare(b.To()) >= 0
	}
	in := func(networks []netip.Prefix, test func(n netipx.IPRange) bool) bool {
		return slices.ContainsFunc(networks, func(p netip.Prefix) bool { return test(netipx.RangeOfPrefix(p)) })
	}
	equal := func(n netipx.IPRange) bool { return n == s.Range }
	within := func(n netipx.IPRange) bool { return covers(n, s.Range) }
	around := func(n netipx.IPRange) bool { return covers(s.Range, n) }
	prefix, isPrefix := s.Range.Prefix()
	switch {
	case !s.Range.IsValid():
		return Foreign
	case in(agreed, within) && s.Only != "":
		return Narrowed
	case in(agreed, equal):
		return Exact
	case isPrefix && prefix.Bits() == 0:
		return Any
	case in(agreed, within) && s.Range.From() == s.Range.To():
		return Host
	case in(agreed, within):
		return Subset
	case in(others, within):
		return Swapped
	case in(agreed, around):
		return Superset
	}
	return Foreign
}

// parseSelectors reads a list as charon writes it: separated by blanks, as in 10.150.0.0/16 172.30.8.0/22.
func parseSelectors(text string) []vici.Selector {
	var out []vici.Selector
	for _, word := range strings.Fields(text) {
		if s, err := vici.ParseSelector(word); err == nil {
			out = append(out, s)
		}
	}
	return out
}

// Compare names what is wrong with a pair of selectors: ours is what the endpoint takes for our segment,
// theirs what it takes for its own networks.
func (e Expect) Compare(ours, theirs []vici.Selector) []Finding {
	side := func(parameter Parameter, selectors []vici.Selector, agreed, others []netip.Prefix) (Finding, Relation) {
		worst := Exact
		for _, s := range selectors {
			if r := Relate(s, agreed, others); r != Exact && (worst == Exact || r == Swapped) {
				worst = r
			}
		}
		if len(selectors) == 0 {
			worst = Missing
		}
		return Finding{Parameter: parameter, Got: fmt.Sprintf("%s (%s)", join(selectors), worst), Want: joinPrefixes(agreed)}, worst
	}
	segment, segmentIs := side(SegmentSelector, ours, e.Segment, e.PrivateNetworks)
	private, privateIs := side(PrivateSelector, theirs, e.PrivateNetworks, e.Segment)
	switch {
	case segmentIs == Exact && privateIs == Exact:
		return nil
	case segmentIs == Exact:
		return []Finding{private}
	case privateIs == Exact:
		return []Finding{segment}
	case segmentIs == Swapped || privateIs == Swapped || segmentIs == Any && privateIs == Any || segmentIs == Missing && privateIs == Missing:
		return []Finding{{
			Parameter: Selectors,
			Got:       fmt.Sprintf("local %s, remote %s (%s)", join(theirs), join(ours), privateIs),
			Want:      fmt.Sprintf("local %s, remote %s", joinPrefixes(e.PrivateNetworks), joinPrefixes(e.Segment)),
		}}
	}
	return []Finding{private, segment}
}

// Offered says of a pair which selectors belong to it, from the endpoint's view.
func Offered(p connection.Pair) string {
	return fmt.Sprintf("local %s, remote %s", p.PrivateNetwork, p.Segment)
}

func join(selectors []vici.Selector) string {
	if len(selectors) == 0 {
		return "none"
	}
	out := make([]string, 0, len(selectors))
	for _, s := range selectors {
		out = append(out, s.String())
	}
	return strings.Join(out, " ")
}

func joinPrefixes(list []netip.Prefix) string {
	out := make([]string, 0, len(list))
	for _, p := range list {
		out = append(out, p.String())
	}
	return strings.Join(out, " or ")
}
