// Package routes keeps what an egress policy needs of the kernel beside its rules: routes to the private
// networks, blocks in the IPsec layer, and kernel parameters. It works by netlink and /proc/sys in the
// network namespace of the process.
//
// It touches only what is its own: routes of one protocol number, IPsec policies of one priority, and the
// parameters that the policy names, whose former values it remembers.
package routes

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"privnet/egress"
)

const (
	// protocol is the originator by which our routes are known; no well-known program uses this number.
	protocol = netlink.RouteProtocol(0x70)
	// metric leaves room for nobody's routes but those of an administrator, whose packets then fail the
	// rules' check of the realm.
	metric = 70
	// refusedMetric is worse than any a program would choose.
	refusedMetric = 4_000_070
)

// Table is the main routing table.
type Table struct{}

// Name is what the layer is called in logs.
func (Table) Name() string { return "routes" }

// Check says in what the kernel differs from the policy, a sentence each.
func (t Table) Check(p egress.Policy) ([]string, error) {
	missing, surplus, err := t.compare(p)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, r := range missing {
		out = append(out, "route missing: "+describe(r))
	}
	for _, r := range surplus {
		out = append(out, "route not wanted: "+describe(r))
	}
	return out, nil
}

// Apply adds what is missing, the refusing routes first, and then removes what is not wanted. A gateway
// that is on no network of this VM is an error; the refusing routes stand nevertheless.
func (t Table) Apply(p egress.Policy) error {
	missing, surplus, err := t.compare(p)
	if err != nil {
		return err
	}
	var failed []error
	for _, r := range missing {
		if r.Gw != nil {
			link, err := onLink(r.Gw)
			if err != nil {
				failed = append(failed, err)
				continue
			}
			r.LinkIndex = link
		}
		if err := netlink.RouteReplace(&r); err != nil {
			failed = append(failed, fmt.Errorf("adding route %s: %w", describe(r), err))
		}
	}
	for _, r := range surplus {
		if err := netlink.RouteDel(&r); err != nil && !errors.Is(err, unix.ESRCH) {
			failed = append(failed, fmt.Errorf("removing route %s: %w", describe(r), err))
		}
	}
	return errors.Join(failed...)
}

// Remove takes our routes away.
func (t Table) Remove(egress.Policy) error { return t.Apply(egress.Policy{}) }

// Through lists the destinations whose routes have their next hop in one of the networks.
func Through(networks []netip.Prefix) ([]netip.Prefix, error) {
	if len(networks) == 0 {
		return nil, nil
	}
	all, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	var out []netip.Prefix
	for _, r := range all {
		for _, hop := range append([]*netlink.NexthopInfo{{Gw: r.Gw}}, r.MultiPath...) {
			address, ok := netip.AddrFromSlice(hop.Gw.To4())
			if !ok || r.Dst == nil {
				continue
			}
			for _, n := range networks {
				if n.Contains(address) {
					out = append(out, prefix(r.Dst))
				}
			}
		}
	}
	return out, nil
}

// compare splits wanted and present routes into those that are missing and those that are not wanted.
func (Table) compare(p egress.Policy) (missing, surplus []netlink.Route, err error) {
	present, err := netlink.RouteListFiltered(netlink.FAMILY_V4,
		&netlink.Route{Protocol: protocol, Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, nil, fmt.Errorf("listing routes: %w", err)
	}
	wanted := map[string]bool{}
	have := map[string]bool{}
	for _, r := range present {
		have[describe(r)] = true
	}
	for _, route := range p.Routes() {
		r := kernelRoute(route)
		wanted[describe(r)] = true
		if !have[describe(r)] {
			missing = append(missing, r)
		}
	}
	for _, r := range present {
		if !wanted[describe(r)] {
			surplus = append(surplus, r)
		}
	}
	return missing, surplus, nil
}

func kernelRoute(r egress.Route) netlink.Route {
	out := netlink.Route{Dst: ipNet(r.Destination), Protocol: protocol, Table: unix.RT_TABLE_MAIN}
	if r.Via.IsValid() {
		out.Gw, out.Priority, out.Realm = r.Via.AsSlice(), metric, int(egress.Realm)
		out.Type = unix.RTN_UNICAST
		return out
	}
	out.Priority, out.Type = refusedMetric, unix.RTN_UNREACHABLE
	return out
}

// describe says all of a route that the policy decides.
func describe(r netlink.Route) string {
	if r.Type == unix.RTN_UNREACHABLE {
		return fmt.Sprintf("%s refused, metric %d", prefix(r.Dst), r.Priority)
	}
	return fmt.Sprintf("%s via %s, metric %d, realm %#x", prefix(r.Dst), r.Gw, r.Priority, r.Realm)
}

// onLink is the index of the interface on whose network the gateway is.
func onLink(gateway net.IP) (int, error) {
	hops, err := netlink.RouteGet(gateway)
	if err != nil {
		return 0, fmt.Errorf("finding the gateway %s: %w", gateway, err)
	}
	if len(hops) == 0 || len(hops[0].Gw) > 0 {
		return 0, fmt.Errorf("finding the gateway %s: it is on no network of this VM; the connection needs routing: iaas", gateway)
	}
	return hops[0].LinkIndex, nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

func prefix(n *net.IPNet) netip.Prefix {
	address, _ := netip.AddrFromSlice(n.IP.To4())
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(address, bits)
}
