package connection

import (
	"fmt"
	"net/netip"
	"slices"

	"go4.org/netipx"

	"privnet/document"
)

// reserved is address space that no private network and no segment may use, with the reason.
var reserved = []struct {
	prefix netip.Prefix
	why    string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "the space of \"this network\" (RFC 1122)"},
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback space (RFC 1122)"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local space, in which clouds keep their metadata service and the platform its DNS (RFC 3927)"},
	{netip.MustParsePrefix("192.0.0.0/24"), "the space of IETF protocol assignments (RFC 6890)"},
	{Overlay, "the overlay network of the platform's containers (silk's default), which hides the same addresses elsewhere"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast space (RFC 5771)"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved space (RFC 1112)"},
}

// Overlay is the network of the platform's containers (silk's default): an app could never tell an
// address in it from a neighbour's.
var Overlay = netip.MustParsePrefix("10.255.0.0/16")

// PrivateSpace is for use within networks and never met on the internet (RFC 1918, RFC 6598).
var PrivateSpace = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"),
}

// Overlap returns the first pair of prefixes, one of each list, that share an address.
func Overlap(a, b []netip.Prefix) (x, y netip.Prefix, found bool) {
	for _, x = range a {
		for _, y = range b {
			if x.Overlaps(y) {
				return x, y, true
			}
		}
	}
	return netip.Prefix{}, netip.Prefix{}, false
}

// Set is the union of the prefixes.
func Set(prefixes ...netip.Prefix) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, p := range prefixes {
		b.AddPrefix(p)
	}
	set, err := b.IPSet()
	if err != nil {
		// The builder only fails on ranges; every prefix here has been parsed.
		panic(err)
	}
	return set
}

// Host is an address of the network that a host can have: the first but the network's own, or the only one.
func Host(network netip.Prefix) netip.Addr {
	own := network.Masked().Addr()
	if next := own.Next(); network.Contains(next) {
		return next
	}
	return own
}

// Contains says whether one of the prefixes holds the address.
func Contains(prefixes []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(address) })
}

// ReadPrefix reads an IPv4 CIDR without host bits. On a problem, which it records, ok is false.
func ReadPrefix(v document.Value) (prefix netip.Prefix, ok bool) {
	text := v.Required("an IPv4 CIDR such as 10.20.0.0/16")
	if text == "" {
		return netip.Prefix{}, false
	}
	prefix, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		if address, err := netip.ParseAddr(text); err == nil && address.Is4() {
			v.Problem("has no prefix length; for this one host write %s/32", address)
		} else {
			v.Problem("is not a CIDR; give one such as 10.20.0.0/16")
		}
	case !prefix.Addr().Is4():
		v.Problem("is IPv6, which is not carried; give IPv4 CIDRs")
	case prefix != prefix.Masked():
		v.Problem("has host bits set; the network is %s", prefix.Masked())
	default:
		return prefix, true
	}
	return netip.Prefix{}, false
}

// MaxNetworks is the number of CIDRs on one side of a tunnel: IKEv2 counts its selectors in a byte (RFC 7296,
// section 3.13).
const MaxNetworks = 255

// readNetworks reads a list of CIDRs that are outside reserved space, not twice there and do not
// overlap one another.
func readNetworks(v document.Value, want string) []netip.Prefix {
	var out []netip.Prefix
	for _, element := range v.RequiredList(want) {
		prefix, ok := ReadPrefix(element)
		if !ok || !OutsideReserved(element, prefix) {
			continue
		}
		if i := slices.IndexFunc(out, prefix.Overlaps); i >= 0 {
			if out[i] == prefix {
				element.Problem("is listed twice; list it once")
			} else {
				element.Problem("overlaps %s, which is listed too; list only the larger one, or disjoint parts", out[i])
			}
			continue
		}
		out = append(out, prefix)
	}
	if len(out) > MaxNetworks {
		v.Problem("has %d CIDRs, and a tunnel takes %d at most; join neighbours into larger ones", len(out), MaxNetworks)
	}
	return out
}

// OutsideReserved says whether neither a private network nor a segment is kept from using the prefix. If
// something does, it is recorded.
func OutsideReserved(v document.Value, prefix netip.Prefix) bool {
	for _, r := range reserved {
		if prefix.Overlaps(r.prefix) {
			v.Problem("overlaps %s, %s; use other address space", r.prefix, r.why)
			return false
		}
	}
	return true
}

// ReadAddress reads an IPv4 address. On a problem, which it records, ok is false.
func ReadAddress(v document.Value, want string) (address netip.Addr, ok bool) {
	text := v.Required(want)
	if text == "" {
		return netip.Addr{}, false
	}
	address, err := netip.ParseAddr(text)
	switch {
	case err != nil:
		v.Problem("is not an IP address; give %s", want)
	case !address.Is4():
		v.Problem("is IPv6, which is not carried; give %s", want)
	default:
		return address, true
	}
	return netip.Addr{}, false
}

// ReadOwnAddresses reads the addresses that a VM has on all its networks, and returns the IPv4 ones. It may have IPv6,
// too: nothing of a connection is carried by that.
func ReadOwnAddresses(v document.Value) []netip.Addr {
	var out []netip.Addr
	for _, element := range v.List() {
		address, err := netip.ParseAddr(element.Text())
		if err != nil {
			element.Problem("is not an IP address; give the addresses of this VM")
		} else if address.Is4() {
			out = append(out, address)
		}
	}
	return out
}

// ReadPublicAddress reads an IPv4 address that can be met on the internet.
func ReadPublicAddress(v document.Value, want string) (address netip.Addr, ok bool) {
	address, ok = ReadAddress(v, want)
	if why := NotPublic(address); ok && why != "" {
		v.Problem("%s; give %s", why, want)
		return netip.Addr{}, false
	}
	return address, ok
}

// NotPublic says why an IPv4 address cannot be met on the internet; empty if it can.
func NotPublic(address netip.Addr) string {
	for _, p := range PrivateSpace {
		if p.Contains(address) {
			return fmt.Sprintf("is a private address (%s), which cannot be met on the internet", p)
		}
	}
	for _, r := range reserved {
		if r.prefix.Contains(address) {
			return "is in " + r.why
		}
	}
	return ""
}
