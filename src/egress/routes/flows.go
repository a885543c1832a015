package routes

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// EndFlows makes the kernel forget all flows to and from the networks.
func EndFlows(networks []netip.Prefix) error {
	if len(networks) == 0 {
		return nil
	}
	_, err := netlink.ConntrackDeleteFilters(netlink.ConntrackTable, unix.AF_INET, within(networks))
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("ending the flows to withdrawn networks: %w", err)
	}
	return nil
}

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
