package iptables

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"privnet/connection"
	"privnet/egress"
)

// tag begins the comment that each of our rules carries. What follows is a hash of the rule and of all
// before it in its chain: iptables-save spells a rule in another way in each version, a comment never.
const tag = "privnet:"

// renderedRule is a rule as iptables-restore takes it, and the comment by which it is known again.
type renderedRule struct {
	text, comment string
}

// render renders a chain's rules in their order.
func render(chain egress.Chain) []renderedRule {
	sum := sha256.New()
	var out []renderedRule
	for _, rule := range unfolded(chain.Rules) {
		match, target := matchArgs(rule.Match), targetArgs(rule)
		fmt.Fprintf(sum, "%d %s %s %s\n", chain.Family, chain.Name, match, target)
		comment := tag + hex.EncodeToString(sum.Sum(nil)[:6])
		parts := []string{"-A", chain.Name}
		parts = append(parts, match...)
		parts = append(parts, "-m", "comment", "--comment", comment)
		parts = append(parts, target...)
		out = append(out, renderedRule{strings.Join(parts, " "), comment})
	}
	return out
}

// unfolded gives a rule for each pair of networks, because a rule of iptables takes one of each.
func unfolded(rules []egress.Rule) []egress.Rule {
	var out []egress.Rule
	for _, rule := range rules {
		for _, source := range each(rule.Sources) {
			for _, destination := range each(rule.Destinations) {
				rule.Sources, rule.Destinations = source, destination
				out = append(out, rule)
			}
		}
	}
	return out
}

// each is a list of one network for every one of them, and an empty list where there is none.
func each(networks []netip.Prefix) [][]netip.Prefix {
	if len(networks) == 0 {
		return [][]netip.Prefix{nil}
	}
	return slices.Collect(slices.Chunk(networks, 1))
}

func matchArgs(m egress.Match) []string {
	var args []string
	add := func(more ...string) { args = append(args, more...) }
	if len(m.Sources) > 0 {
		add("-s", m.Sources[0].String())
	}
	if len(m.Destinations) > 0 {
		add("-d", m.Destinations[0].String())
	}
	if m.Tunnel != "" {
		add(tunnelArgs(m)...)
	}
	if m.Protocol != "" {
		add("-p", m.Protocol)
	}
	if m.SourcePorts.First > 0 || m.Ports.First > 0 {
		add("-m", m.Protocol)
	}
	if m.SourcePorts.First > 0 {
		add("--sport", ports(m.SourcePorts))
	}
	if m.Ports.First > 0 {
		add("--dport", ports(m.Ports))
	}
	if m.Flow != "" || m.OriginalPorts.First > 0 {
		add("-m", "conntrack")
	}
	switch m.Flow {
	case egress.FlowReply:
		add("--ctstate", "ESTABLISHED", "--ctdir", "REPLY")
	case egress.FlowOriginal:
		add("--ctstate", "NEW,ESTABLISHED", "--ctdir", "ORIGINAL")
	case egress.FlowRelated:
		add("--ctstate", "RELATED")
	case egress.FlowTranslated:
		add("--ctstate", "SNAT,DNAT")
	case egress.FlowStray:
		add("--ctstate", "NEW,INVALID", "-p", "tcp", "-m", "tcp", "!", "--syn")
	}
	if m.OriginalPorts.First > 0 {
		add("--ctorigdstport", ports(m.OriginalPorts))
	}
	if m.NotRealm != 0 {
		// The upper half of a packet's realm is its source's.
		add("-m", "realm", "!", "--realm", fmt.Sprintf("%#x/0xffff", m.NotRealm))
	}
	return args
}

func tunnelArgs(m egress.Match) []string {
	userland := m.Interface != ""
	switch {
	case m.Tunnel == egress.CameInside && userland:
		return []string{"-i", m.Interface}
	case m.Tunnel == egress.CameOutside && userland:
		return []string{"!", "-i", m.Interface}
	case m.Tunnel == egress.GoesOutside && userland:
		return []string{"!", "-o", m.Interface}
	case m.Tunnel == egress.CameInside:
		return []string{"-m", "policy", "--dir", "in", "--pol", "ipsec"}
	case m.Tunnel == egress.CameOutside:
		return []string{"-m", "policy", "--dir", "in", "--pol", "none"}
	default:
		return []string{"-m", "policy", "--dir", "out", "--pol", "none"}
	}
}

func targetArgs(r egress.Rule) []string {
	switch {
	case r.Jump != "":
		return []string{"-j", r.Jump}
	case r.Goto != "":
		return []string{"-g", r.Goto}
	case r.MSS > 0:
		return []string{"-m", "tcp", "--tcp-flags", "SYN,RST", "SYN", "-j", "TCPMSS", "--set-mss", fmt.Sprint(r.MSS)}
	default:
		return []string{"-j", string(r.Verdict)}
	}
}

func ports(r connection.PortRange) string {
	if r.First == r.Last {
		return fmt.Sprint(r.First)
	}
	return fmt.Sprintf("%d:%d", r.First, r.Last)
}
