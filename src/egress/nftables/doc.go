// Package nftables keeps the rules of an egress policy in a table of its own, inet privnet, by netlink: the
// stemcells have no nft program.
//
// A drop in any table is final, so nobody's accept goes before ours, and nobody's flush of a table touches it
// but one of the whole ruleset. A change is one transaction, which the kernel applies as a whole.
//
// Networks are looked up in sets. A set that is new in a transaction can miss lookups while that commits, and
// a rule that misses judges nothing. So sets never change: each is named by its contents, constant, made in
// a transaction before the one whose rules ask it, and deleted with the last of these.
//
// What it cannot do: it needs nf_tables in the kernel, with ct, rt and meta, which all of BOSH's stemcells
// since jammy have.
package nftables
