package egress

import (
	"net/netip"
	"slices"

	"privnet/connection"
)

// TunnelDevice is the interface of strongSwan's libipsec, when the data path is userland.
const TunnelDevice = "ipsec0"

// ikePorts are IKE (RFC 7296) and IKE with ESP behind NAT (RFC 3948).
var ikePorts = []uint16{500, 4500}

func (p Policy) gatewayRules() []Chain {
	c, t := p.Connection, tunnel(p.Connection)
	clamp := Rule{Match: Match{Protocol: string(connection.TCP)}, MSS: MSS(c.PathMTU)}

	// A packet that comes out of the tunnel and goes back into it would be the private network posing as
	// the segment.
	toChain := Chain{Family: IPv4, Name: chainTo, Rules: []Rule{drop(translated), drop(t(GoesOutside)), drop(t(CameInside)), clamp}}
	toChain.Rules = append(toChain.Rules, outgoing(c)...)
	fromChain := Chain{Family: IPv4, Name: chainFrom, Rules: []Rule{drop(translated), drop(t(CameOutside)), clamp}}
	fromChain.Rules = append(fromChain.Rules, incoming(c)...)

	forward := Chain{Family: IPv4, Name: chainForward, Hook: Forward, Rules: []Rule{
		{Match: Match{Sources: c.Segment, Destinations: c.PrivateNetworks}, Goto: chainTo},
		{Match: Match{Sources: c.PrivateNetworks, Destinations: c.Segment}, Goto: chainFrom},
		// A gateway is a router for nobody else.
		drop(Match{}),
	}}

	return append([]Chain{toChain, fromChain, forward}, append(p.gatewayOwnRules(), gatewayIPv6()...)...)
}

// gatewayOwnRules are for the VM's own traffic: the tunnel itself, and probes through it.
func (p Policy) gatewayOwnRules() []Chain {
	c, t := p.Connection, tunnel(p.Connection)
	ownTo := Chain{Family: IPv4, Name: chainOwnTo, Rules: []Rule{
		drop(translated), drop(t(GoesOutside)), allow(from(c.Segment)), drop(Match{}),
	}}
	ownFrom := Chain{Family: IPv4, Name: chainOwnFrom, Rules: []Rule{
		drop(translated), drop(t(CameOutside)), allow(Match{Flow: FlowReply}), allow(icmpErrors), drop(Match{}),
	}}

	input := Chain{Family: IPv4, Name: chainInput, Hook: Input}
	output := Chain{Family: IPv4, Name: chainOutput, Hook: Output}
	postrouting := Chain{Family: IPv4, Name: chainPostrouting, Hook: Postrouting}
	// The tunnel comes first, because an endpoint may stand inside its own private network. A NAT before
	// it may have changed its port, never ours.
	var endpoints []netip.Prefix
	for _, endpoint := range c.Endpoints {
		endpoints = append(endpoints, netip.PrefixFrom(endpoint.Address, endpoint.Address.BitLen()))
	}
	for _, m := range tunnelTraffic(toPort) {
		m.Sources = endpoints
		input.Rules = append(input.Rules, allow(m))
	}
	for _, m := range tunnelTraffic(fromPort) {
		m.Destinations = endpoints
		output.Rules = append(output.Rules, allow(m))
		postrouting.Rules = append(postrouting.Rules, allow(m))
	}
	for _, m := range tunnelTraffic(toPort) {
		input.Rules = append(input.Rules, drop(m))
	}
	networks := c.PrivateNetworks
	input.Rules = append(input.Rules, jump(from(networks), chainOwnFrom))
	input.Rules = append(input.Rules, p.called()...)
	output.Rules = append(output.Rules, drop(from(networks)), jump(to(networks), chainOwnTo))
	// Somebody's DNAT in OUTPUT comes after our rules there; only here is the destination final, and with nftables
	// the source.
	outside, turned, posing := t(GoesOutside), translated, translated
	outside.Destinations, turned.Destinations, posing.Sources = networks, networks, networks
	postrouting.Rules = append(postrouting.Rules, drop(turned), drop(posing), drop(outside))
	return []Chain{ownTo, ownFrom, input, output, postrouting}
}

// translated is what somebody's address translation has changed: no private network is ever translated here,
// whatever other rules the VM has.
var translated = Match{Flow: FlowTranslated}

// Local is the VM itself and its metadata service, wherever the platform is.
var Local = prefixes("127.0.0.0/8", "169.254.0.0/16")

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// Callers lists who may open a flow to a gateway, beside the endpoints by IKE and ESP and before the private
// networks, which may not: the VM itself with its metadata service, the segment, the platform's management.
func (p Policy) Callers() []netip.Prefix {
	callers := slices.Concat(Local, p.Connection.Segment, p.Management)
	for _, own := range p.Addresses {
		callers = append(callers, netip.PrefixFrom(own, own.BitLen()))
	}
	return callers
}

// called is what the gateway takes beside the tunnel's traffic. What the VM has asked for may be answered by
// anybody: BOSH's agent calls and is not called.
func (p Policy) called() []Rule {
	dhcp := Match{Protocol: string(connection.UDP), SourcePorts: port(67), Ports: port(68)}
	return []Rule{allow(from(p.Callers())), allow(Match{Flow: FlowReply}), allow(icmpErrors), allow(dhcp), drop(Match{})}
}

func gatewayIPv6() []Chain {
	input := Chain{Family: IPv6, Name: chainInput, Hook: Input}
	for _, m := range tunnelTraffic(toPort) {
		input.Rules = append(input.Rules, drop(m))
	}
	forward := Chain{Family: IPv6, Name: chainForward, Hook: Forward, Rules: []Rule{drop(Match{})}}
	return []Chain{input, forward}
}

// tunnelTraffic matches IKE and ESP by our own port, which set puts on the side where it belongs.
func tunnelTraffic(set func(*Match, connection.PortRange)) []Match {
	var out []Match
	for _, number := range ikePorts {
		m := Match{Protocol: string(connection.UDP)}
		set(&m, port(number))
		out = append(out, m)
	}
	return append(out, Match{Protocol: "esp"})
}

// tunnel gives matches on the tunnel of the connection's data path.
func tunnel(c connection.Connection) func(Tunnel) Match {
	device := ""
	if c.DataPath == connection.DataPathUserland {
		device = TunnelDevice
	}
	return func(t Tunnel) Match { return Match{Tunnel: t, Interface: device} }
}

// MSS is the largest TCP segment in bytes that fits through the tunnel, whatever is negotiated: over an
// outer IPv4 and UDP header (RFC 3948), the ESP header and trailer (RFC 4303), AES-CBC's initialisation
// vector and padding (RFC 3602) and the longest integrity check value, HMAC-SHA-512-256's (RFC 4868).
func MSS(pathMTU int) int {
	const (
		outer   = 20 + 8
		esp     = 8
		block   = 16
		icv     = 32
		trailer = 2
		inner   = 20 + 20
	)
	encrypted := (pathMTU - outer - esp - block - icv) / block * block
	return encrypted - trailer - inner
}
