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

// The priorities mark our policies. A lower number wins: charon's own lie below 400,000, so that a tunnel
// that is up goes before the block.
const (
	allowPriority = 400_060
	blockPriority = 400_070
)

// Blocks are policies of the kernel's IPsec layer that drop what would pass unprotected.
type Blocks struct{}

// Name is what the layer is called in logs.
func (Blocks) Name() string { return "ipsec blocks" }

// Check says in what the kernel differs from the policy, a sentence each.
func (b Blocks) Check(p egress.Policy) ([]string, error) {
	missing, surplus, err := b.compare(p)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, policy := range missing {
		out = append(out, "IPsec policy missing: "+describeBlock(policy))
	}
	for _, policy := range surplus {
		out = append(out, "IPsec policy not wanted: "+describeBlock(policy))
	}
	return out, nil
}

// Apply adds what is missing and then removes what is not wanted.
func (b Blocks) Apply(p egress.Policy) error {
	missing, surplus, err := b.compare(p)
	if err != nil {
		return err
	}
	var failed []error
	for _, policy := range missing {
		if err := netlink.XfrmPolicyAdd(&policy); err != nil {
			failed = append(failed, fmt.Errorf("adding the IPsec policy %s: %w", describeBlock(policy), err))
		}
	}
	for _, policy := range surplus {
		if err := netlink.XfrmPolicyDel(&policy); err != nil {
			failed = append(failed, fmt.Errorf("removing the IPsec policy %s: %w", describeBlock(policy), err))
		}
	}
	return errors.Join(failed...)
}

// Remove takes our policies away.
func (b Blocks) Remove(egress.Policy) error { return b.Apply(egress.Policy{}) }

func (Blocks) compare(p egress.Policy) (missing, surplus []netlink.XfrmPolicy, err error) {
	present, err := netlink.XfrmPolicyList(netlink.FAMILY_V4)
	if errors.Is(err, unix.EPROTONOSUPPORT) && len(p.Blocked()) == 0 {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("listing IPsec policies: %w", err)
	}
	wanted, have := map[string]bool{}, map[string]bool{}
	for _, policy := range present {
		// The kernel keeps one policy a selector. Another program's block of the same one does the same.
		if isOurs(policy) || policy.Action == netlink.XFRM_POLICY_BLOCK {
			have[describeBlock(policy)] = true
		}
	}
	for _, policy := range blocks(p) {
		wanted[describeBlock(policy)] = true
		if !have[describeBlock(policy)] {
			missing = append(missing, policy)
		}
	}
	for _, policy := range present {
		if isOurs(policy) && !wanted[describeBlock(policy)] {
			surplus = append(surplus, policy)
		}
	}
	return missing, surplus, nil
}

func isOurs(p netlink.XfrmPolicy) bool {
	return p.Priority == blockPriority || p.Priority == allowPriority
}

// blocks are three a network: what leaves towards it, and what arrives from it to be forwarded or kept.
// Before them stand the exceptions for an endpoint inside such a network.
func blocks(p egress.Policy) []netlink.XfrmPolicy {
	anywhere := &net.IPNet{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}
	var out []netlink.XfrmPolicy
	endpoints, ports := p.Unblocked()
	for _, address := range endpoints {
		endpoint := ipNet(netip.PrefixFrom(address, 32))
		for _, port := range ports {
			allow := netlink.XfrmPolicy{Priority: allowPriority, Action: netlink.XFRM_POLICY_ALLOW, Proto: unix.IPPROTO_UDP}
			leaving, arriving := allow, allow
			leaving.Src, leaving.Dst, leaving.SrcPort, leaving.Dir = anywhere, endpoint, int(port), netlink.XFRM_DIR_OUT
			arriving.Src, arriving.Dst, arriving.DstPort, arriving.Dir = endpoint, anywhere, int(port), netlink.XFRM_DIR_IN
			out = append(out, leaving, arriving)
		}
	}
	for _, network := range p.Blocked() {
		block := netlink.XfrmPolicy{Priority: blockPriority, Action: netlink.XFRM_POLICY_BLOCK}
		leaving, forwarded, arriving := block, block, block
		leaving.Src, leaving.Dst, leaving.Dir = anywhere, ipNet(network), netlink.XFRM_DIR_OUT
		forwarded.Src, forwarded.Dst, forwarded.Dir = ipNet(network), anywhere, netlink.XFRM_DIR_FWD
		arriving.Src, arriving.Dst, arriving.Dir = ipNet(network), anywhere, netlink.XFRM_DIR_IN
		out = append(out, leaving, forwarded, arriving)
	}
	return out
}

func describeBlock(p netlink.XfrmPolicy) string {
	return fmt.Sprintf("%s from %s port %d to %s port %d, %s", p.Dir, prefix(p.Src), p.SrcPort, prefix(p.Dst), p.DstPort, p.Action)
}
