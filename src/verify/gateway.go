package verify

import (
	"net/netip"
	"slices"

	"go4.org/netipx"

	"privnet/connection"
	"privnet/egress"
	"privnet/verify/space"
)

// Protocol numbers (RFC 5237's registry).
const (
	icmp uint32 = 1
	tcp  uint32 = 6
	udp  uint32 = 17
	esp  uint32 = 50
)

// checkGateway asks what passes one gateway of the org.
func (o *orgCheck) checkGateway(g host) {
	c := o.deployed
	// With libipsec the tunnel is a device; the kernel's own has none.
	came, leaves := space.Arrived, space.Leaves
	if c.DataPath == connection.DataPathUserland {
		came, leaves = space.ArrivedBy, space.LeavesBy
	}
	segment, private := o.entry.Plan.CIDRs(), o.entry.Request.PrivateNetworks
	out := between(segment, private).Within(came, space.One(space.No)).Within(leaves, space.One(space.Yes))
	back := between(private, segment).Within(came, space.One(space.Yes))

	forwarded := g.forwarded()
	wrong := forwarded.Minus(out).Minus(back)
	o.counter(tunnel, g, forward, wrong.Within(leaves, space.One(space.Yes)),
		"the gateway lets a packet into the tunnel that is not from the org's segment to its private networks")
	o.counter(unprotected, g, forward, wrong.Within(leaves, space.One(space.No)),
		"the gateway forwards a packet outside IPsec that does not come from the tunnel for the segment")

	right := forwarded.Intersect(out)
	o.counter(flows, g, forward, right.Minus(outgoing(c)), "the gateway passes a packet to a private network that the connection does not allow")
	o.counter(flows, g, forward, forwarded.Intersect(back).Minus(incoming(c)), "the gateway passes a packet from a private network that is no answer and not declared as inbound")
	o.checkSelectors(g, right)
	o.checkOwn(g, came, leaves)
	o.counter(ipv6, g, forward6, g.ipv6.Passes("POSTROUTING", g.ipv6.Passes("FORWARD", space.Everything())), "the gateway forwards IPv6")
}

// checkOwn asks what the gateway itself sends and takes.
func (o *orgCheck) checkOwn(g host, came, leaves space.Dimension) {
	private, endpoints := o.entry.Request.PrivateNetworks, hosts(o.deployed.Endpoints)
	sent := g.sent().Minus(tunnelTraffic(space.Destination, endpoints, space.SourcePort))
	inside := between(o.entry.Plan.CIDRs(), private).Within(leaves, space.One(space.Yes))
	o.counter(own, g, send, sent.Within(space.Destination, ranges(private)...).Minus(inside),
		"the gateway itself sends a packet to a private network that is not from the segment and through the tunnel")
	o.counter(own, g, send, sent.Within(space.Source, ranges(private)...), "the gateway itself sends a packet in the name of a private network")

	received := g.received()
	answers := space.Everything().Within(came, space.One(space.Yes))
	answers = append(answers.Within(space.Flow, space.One(space.Reply)), answers.Intersect(icmpErrors())...)
	fromEndpoints := tunnelTraffic(space.Source, endpoints, space.Port)
	o.counter(own, g, receive, received.Within(space.Source, ranges(private)...).Minus(answers).Minus(fromEndpoints),
		"the gateway itself takes a packet from a private network that is no answer out of the tunnel")
	everywhere := []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}
	ike := received.Intersect(tunnelTraffic(space.Source, everywhere, space.Port))
	o.counter(own, g, receive, ike.Minus(fromEndpoints), "the gateway takes IKE or ESP from somebody else than the endpoints")
	asked := append(space.Everything().Within(space.Flow, space.One(space.Reply)), icmpErrors()...)
	dhcp := space.Everything().Within(space.Protocol, space.One(udp)).Within(space.SourcePort, space.One(67)).Within(space.Port, space.One(68))
	strangers := received.Minus(fromEndpoints).Minus(asked).Minus(dhcp).Minus(space.Everything().Within(space.Source, ranges(o.callers(g))...))
	o.counter(own, g, receive, strangers, "the gateway is called by somebody who is neither the platform nor an endpoint")
}

// callers are those who may call a gateway: that its enforcer was told so is not enough, for it believes any
// network to be the platform's.
func (o *orgCheck) callers(g host) []netip.Prefix {
	platform := slices.Concat(connection.PrivateSpace, o.Platform.Networks, o.entry.Plan.CIDRs(), egress.Local)
	for _, of := range o.deployed.Gateways {
		platform = append(platform, netip.PrefixFrom(of.PublicAddress, of.PublicAddress.BitLen()))
	}
	var b netipx.IPSetBuilder
	b.AddSet(connection.Set(g.Callers...))
	b.Intersect(connection.Set(platform...))
	set, err := b.IPSet()
	if err != nil {
		panic(err) // the builder only fails on ranges, and was given sets
	}
	return set.Prefixes()
}

// tunnelTraffic is IKE and ESP with a set of peers. port is where our own port is.
func tunnelTraffic(peer space.Dimension, peers []netip.Prefix, port space.Dimension) space.Region {
	all := space.Everything().Within(peer, ranges(peers)...)
	ike := all.Within(space.Protocol, space.One(udp)).Within(port, space.One(500), space.One(4500))
	return append(ike, all.Within(space.Protocol, space.One(esp))...)
}

func hosts(endpoints []connection.Endpoint) []netip.Prefix {
	out := make([]netip.Prefix, len(endpoints))
	for i, e := range endpoints {
		out[i] = netip.PrefixFrom(e.Address, e.Address.BitLen())
	}
	return out
}

// checkSelectors compares the pairs that charon may protect with those that the rules let into the tunnel.
func (o *orgCheck) checkSelectors(g host, passed space.Region) {
	var protected, dropped space.Region
	for _, child := range g.children {
		pairs := between(child.Local, child.Remote)
		switch {
		case child.Initiates:
			o.find(selectorsAgree, "%s: the child %s of %s opens the tunnel by itself", g.Name, child.Name, child.Connection)
		case child.Drops:
			dropped = append(dropped, pairs...)
			continue
		}
		protected = append(protected, pairs...)
	}
	pairs := passed.Onto(space.Source, space.Destination)
	o.counter(selectorsAgree, g, nil, protected.Minus(pairs), "charon protects packets between networks that the rules do not let into the tunnel")
	o.counter(selectorsAgree, g, nil, pairs.Minus(protected), "the rules let packets into the tunnel that no traffic selector of charon has")
	if o.deployed.DataPath == connection.DataPathKernel {
		o.counter(selectorsAgree, g, nil, protected.Minus(dropped), "without a tunnel, no policy of charon drops what would go through it")
	}
}

// outgoing is what the segment may send to the private networks; incoming what comes back or in.
func outgoing(c connection.Connection) space.Region {
	if len(c.Allow) == 0 {
		return space.Everything()
	}
	out := append(flow(c.Allow, space.Port), icmpErrors()...)
	return append(out, flow(c.Inbound, space.OriginalPort).Within(space.Flow, space.One(space.Reply))...)
}

func incoming(c connection.Connection) space.Region {
	answers := space.Everything()
	if len(c.Allow) > 0 {
		answers = flow(c.Allow, space.SourcePort)
	}
	out := append(answers.Within(space.Flow, space.One(space.Reply)), icmpErrors()...)
	return append(out, flow(c.Inbound, space.OriginalPort).Within(space.Flow, space.Range{First: space.New, Last: space.Established})...)
}

func icmpErrors() space.Region {
	return space.Everything().Within(space.Protocol, space.One(icmp)).Within(space.Flow, space.Range{First: space.Related, Last: space.RelatedReply})
}

// flow is the packets of the declared protocols whose port is one of the declared.
func flow(list []connection.Flow, port space.Dimension) space.Region {
	numbers := map[connection.Protocol]uint32{connection.ICMP: icmp, connection.TCP: tcp, connection.UDP: udp}
	var out space.Region
	for _, f := range list {
		all := space.Everything().Within(space.Protocol, space.One(numbers[f.Protocol]))
		if len(f.Ports) == 0 {
			out = append(out, all...)
		}
		for _, r := range f.Ports {
			out = append(out, all.Within(port, space.Range{First: uint32(r.First), Last: uint32(r.Last)})...)
		}
	}
	return out
}

// checkCell asks what passes the org's cells.
func (o *orgCheck) checkCell(c host) {
	private := o.entry.Request.PrivateNetworks
	all := ranges(private)
	route := space.Everything()
	if o.deployed.Routing == connection.RoutingHost {
		route = route.Within(space.Realm, space.One(uint32(egress.Realm)))
		o.checkRoutes(c)
	}
	forwarded, sent := c.forwarded(), c.sent()
	o.counter(cells, c, send, sent.Within(space.Source, all...), "a cell itself sends a packet in the name of a private network")
	for _, way := range []struct {
		hooks  []string
		passed space.Region
		who    string
	}{{forward, forwarded, "an app on a cell"}, {send, sent, "a cell itself"}} {
		to := way.passed.Within(space.Destination, all...)
		o.counter(cells, c, way.hooks, to.Minus(route), way.who+" sends a packet to a private network by a route that is not the one to the gateway")
		o.counter(flows, c, way.hooks, to.Minus(outgoing(o.deployed)), way.who+" sends a packet to a private network that the connection does not allow")
	}
	from := append(forwarded, c.received()...).Within(space.Source, all...)
	o.counter(flows, c, forward, from.Minus(incoming(o.deployed)), "a cell takes a packet from a private network that is no answer and not declared as inbound")
	o.counter(ipv6, c, forward6, c.ipv6.Passes("POSTROUTING", c.ipv6.Passes("FORWARD", space.Everything())), "a cell forwards IPv6")
}

// checkRoutes looks at the routes that the rules trust: they lead to the org's gateways, and behind each
// stands a refusal.
func (o *orgCheck) checkRoutes(c host) {
	for _, network := range o.entry.Request.PrivateNetworks {
		led, refused := false, false
		for _, r := range c.Routes {
			led = led || r.Destination == network && r.Via.IsValid()
			refused = refused || r.Destination == network && !r.Via.IsValid()
		}
		if !led || !refused {
			o.find(cells, "%s: the private network %s has no route to the gateway with a refusal behind it", c.Name, network)
		}
	}
	for _, r := range c.Routes {
		if r.Via.IsValid() && !o.deployed.HasGateway(r.Via) {
			o.find(cells, "%s: %s is routed to %s, which is no gateway of the org", c.Name, r.Destination, r.Via)
		}
		if !slices.Contains(o.entry.Request.PrivateNetworks, r.Destination) {
			o.find(cells, "%s: %s is routed to the gateway and is no private network of the org", c.Name, r.Destination)
		}
	}
}
