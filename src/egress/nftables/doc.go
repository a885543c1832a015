// Package nftables keeps the rules of an egress policy in tables of its own, privnet of the families ip and
// ip6, by netlink: the stemcells have no nft program.
//
// A drop in any table is final, so nobody's accept goes before ours, and nobody's flush of a table touches it
// but one of the whole ruleset. A change is one transaction, which the kernel applies as a whole.
//
// There is no set: a set that is new in a transaction can miss lookups while that commits, and a rule that misses
// judges nothing. Many networks are a tree of chains (see egress.Unfold). The kernel gives each packet at a hook
// either all the old rules or all the new ones.
//
// What it cannot do: it needs nf_tables in the kernel, with ct, rt and meta, which all of BOSH's stemcells
// since jammy have.
package nftables
