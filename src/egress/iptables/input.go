package iptables

import "privnet/egress"

// Input is what iptables-restore, or for IPv6 ip6tables-restore, is given on a VM that has no rule of ours
// yet. It is for those who look at the rules without a kernel.
func Input(p egress.Policy, family egress.Family) string {
	return transaction(dump{}, of(egress.Unfold(p.Rules()), family))
}
