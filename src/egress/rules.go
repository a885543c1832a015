package egress

import (
	"net/netip"

	"privnet/connection"
)

// Names of our chains. Each begins with ChainPrefix, which no cleaner of silk or garden looks for.
const (
	ChainPrefix      = "privnet-"
	chainInput       = ChainPrefix + "input"
	chainForward     = ChainPrefix + "forward"
	chainOutput      = ChainPrefix + "output"
	chainPostrouting = ChainPrefix + "postrouting"
	chainTo          = ChainPrefix + "to"
	chainFrom        = ChainPrefix + "from"
	chainOwnTo       = ChainPrefix + "own-to"
	chainOwnFrom     = ChainPrefix + "own-from"
	chainEnter       = ChainPrefix + "enter"
	chainDrop        = ChainPrefix + "drop"
)

// Rules lists the chains of the policy's role, those that are jumped to before those that jump.
func (p Policy) Rules() []Chain {
	switch p.Role {
	case RoleCell:
		return p.cellRules()
	case RoleGateway:
		return p.gatewayRules()
	case RoleSharedCell:
		return p.sharedCellRules()
	case RoleDenied:
		return deniedRules()
	default:
		return nil
	}
}

func deniedRules() []Chain {
	nothing := []Rule{drop(Match{})}
	return []Chain{
		{Family: IPv4, Name: chainForward, Hook: Forward, Rules: nothing},
		{Family: IPv6, Name: chainForward, Hook: Forward, Rules: nothing},
	}
}

// outgoing is what the segment may send to the private networks: the allowed flows, whatever their
// state, so that withdrawing a port also ends the flows that use it; and answers to declared inbound ones.
func outgoing(c connection.Connection) []Rule {
	var rules []Rule
	for _, m := range flows(c.Allow, toPort) {
		rules = append(rules, allow(m))
	}
	if len(c.Allow) == 0 {
		return append(rules, allow(Match{}))
	}
	for _, m := range flows(c.Inbound, originalPort) {
		m.Flow = FlowReply
		rules = append(rules, allow(m))
	}
	return append(rules, allow(icmpErrors), drop(Match{}))
}

// incoming is what the private networks may send to the segment: answers of allowed flows, and the
// declared inbound ones.
func incoming(c connection.Connection) []Rule {
	answers := flows(c.Allow, fromPort)
	if len(c.Allow) == 0 {
		answers = []Match{{}}
	}
	var rules []Rule
	for _, m := range answers {
		m.Flow = FlowReply
		rules = append(rules, allow(m))
	}
	for _, m := range flows(c.Inbound, originalPort) {
		m.Flow = FlowOriginal
		rules = append(rules, allow(m))
	}
	return append(rules, allow(icmpErrors), drop(Match{}))
}

// icmpErrors are ICMP messages about a flow that exists. Other related traffic is the work of conntrack
// helpers, which open ports that nobody declared.
var icmpErrors = Match{Protocol: string(connection.ICMP), Flow: FlowRelated}

func toPort(m *Match, r connection.PortRange)       { m.Ports = r }
func fromPort(m *Match, r connection.PortRange)     { m.SourcePorts = r }
func originalPort(m *Match, r connection.PortRange) { m.OriginalPorts = r }

// flows is one match for each protocol and port range.
func flows(list []connection.Flow, set func(*Match, connection.PortRange)) []Match {
	var out []Match
	for _, flow := range list {
		m := Match{Protocol: string(flow.Protocol)}
		if len(flow.Ports) == 0 {
			out = append(out, m)
		}
		for _, ports := range flow.Ports {
			set(&m, ports)
			out = append(out, m)
		}
	}
	return out
}

func allow(m Match) Rule                 { return Rule{Match: m, Verdict: Return} }
func drop(m Match) Rule                  { return Rule{Match: m, Verdict: Drop} }
func jump(m Match, chain string) Rule    { return Rule{Match: m, Jump: chain} }
func to(list []netip.Prefix) Match       { return Match{Destinations: list} }
func from(list []netip.Prefix) Match     { return Match{Sources: list} }
func port(n uint16) connection.PortRange { return connection.PortRange{First: n, Last: n} }
