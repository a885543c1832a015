package iptables

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"privnet/connection"
	"privnet/egress"
)

// tag begins the comment that our rules carry. What follows is a hash of the rule and of all before it in its
// chain: iptables-save spells a rule in another way in each version, a comment never.
const tag = "privnet:"

// renderedRule is a rule as iptables-restore takes it, and that by which it is known again: its comment, or
// its arguments.
type renderedRule struct {
	text, comment, args string
}

// render renders the rules of an unfolded chain in their order. A comment costs a packet nearly as much as another
// rule, so the forks of trees have none: an address and a goto are spelled in one way only.
func render(chain egress.Chain) []renderedRule {
	sum := sha256.New()
	var out []renderedRule
	for _, rule := range chain.Rules {
		match, target := matchArgs(rule.Match), targetArgs(rule)
		fmt.Fprintf(sum, "%d %s %s %s\n", chain.Family, chain.Name, match, target)
		var r renderedRule
		if isFork(rule) {
			r.args = strings.Join(slices.Concat(match, target), " ")
		} else {
			r.comment = tag + hex.EncodeToString(sum.Sum(nil)[:6])
			match = append(match, "-m", "comment", "--comment", r.comment)
		}
		r.text = strings.Join(slices.Concat([]string{"-A", chain.Name}, match, target), " ")
		out = append(out, r)
	}
	return out
}

// isFork says whether a rule asks for one network and nothing else, and goes to a chain.
func isFork(r egress.Rule) bool {
	plain := egress.Rule{Match: egress.Match{Sources: r.Sources, Destinations: r.Destinations}, Goto: r.Goto}
	return r.Goto != "" && len(r.Sources)+len(r.Destinations) == 1 && reflect.DeepEqual(r, plain)
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
