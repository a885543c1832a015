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

// Flows ends, once, the flows to networks that are private no more. It has to come after the rules that drop what
// is left of these flows, and before Table: with their routes gone, they would go on by another one.
type Flows struct {
	// Withdrawn are the networks that the policy before had.
	Withdrawn []netip.Prefix
	ended     bool
}

// Name is what the layer is called in logs.
func (f *Flows) Name() string { return "withdrawal" }

// Check says whether the flows are still to be ended.
func (f *Flows) Check(egress.Policy) ([]string, error) {
	if f.ended || len(f.Withdrawn) == 0 {
		return nil, nil
	}
	return []string{fmt.Sprintf("flows to %s, which are private no more, were not ended yet", f.Withdrawn)}, nil
}

// Apply makes the kernel forget all flows to and from the networks.
func (f *Flows) Apply(egress.Policy) error {
	_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, within(f.Withdrawn))
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("ending the flows to withdrawn networks: %w", err)
	}
	f.ended = true
	return nil
}

// Remove has nothing to take away.
func (f *Flows) Remove(egress.Policy) error { return nil }

// within matches flows that have an end in one of the networks, before or after any address translation.
type within []netip.Prefix

// MatchConntrackFlow says whether the flow has.
func (networks within) MatchConntrackFlow(flow *netlink.ConntrackFlow) bool {
	for _, end := range []net.IP{flow.Forward.SrcIP, flow.Forward.DstIP, flow.Reverse.SrcIP, flow.Reverse.DstIP} {
		address, ok := netip.AddrFromSlice(end.To4())
		for _, network := range networks {
			if ok && network.Contains(address) {
				return true
			}
		}
	}
	return false
}
