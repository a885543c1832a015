package egress_test

import (
	"fmt"
	"net/netip"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"privnet/connection"
	"privnet/egress"
)

func agency() connection.Connection {
	return connection.Connection{
		Org:             "agency-a",
		Segment:         []netip.Prefix{netip.MustParsePrefix("10.20.0.0/26")},
		PrivateNetworks: []netip.Prefix{netip.MustParsePrefix("10.150.0.0/16"), netip.MustParsePrefix("172.30.8.0/22")},
		Gateways:        []connection.Gateway{{Address: netip.MustParseAddr("10.20.0.4")}},
		Endpoints:       []connection.Endpoint{{Address: netip.MustParseAddr("198.51.100.10")}},
		Routing:         connection.RoutingHost,
		DataPath:        connection.DataPathKernel,
		PathMTU:         1500,
	}
}

const (
	app     = "10.255.1.2"
	cell    = "10.20.0.10"
	gateway = "10.20.0.4"
	service = "10.150.0.10"
	second  = "172.30.9.1"
)

var (
	https = []connection.Flow{{Protocol: connection.TCP, Ports: []connection.PortRange{{First: 443, Last: 443}}}}
	apps  = []connection.Flow{{Protocol: connection.TCP, Ports: []connection.PortRange{{First: 61001, Last: 65535}}}}
)

var _ = Describe("The rules of a dedicated cell", func() {
	verdict := func(change func(*connection.Connection), hook egress.Hook, p packet) egress.Verdict {
		c := agency()
		if change != nil {
			change(&c)
		}
		v, _ := judge(egress.Policy{Role: egress.RoleCell, Connection: c}.Rules(), egress.IPv4, hook, p)
		return v
	}
	onlyHTTPS := func(c *connection.Connection) { c.Allow = https }
	inbound := func(c *connection.Connection) { c.Inbound = apps }
	byIaaS := func(c *connection.Connection) { c.Routing = connection.RoutingIaaS }

	DescribeTable("let pass what the connection is for",
		func(change func(*connection.Connection), hook egress.Hook, p packet) {
			Expect(verdict(change, hook, p)).To(Equal(egress.Return))
		},
		Entry("an app's packet on our route", nil, egress.Forward, packet{source: app, destination: service, protocol: "tcp", port: 22, realm: egress.Realm}),
		Entry("the same on its way out", nil, egress.Postrouting, packet{source: app, destination: second, protocol: "udp", port: 53, realm: egress.Realm}),
		Entry("a process's packet on our route", nil, egress.Output, packet{source: cell, destination: service, protocol: "icmp", realm: egress.Realm}),
		Entry("an answer", nil, egress.Forward, packet{source: service, destination: app, protocol: "tcp", sourcePort: 22, flow: egress.FlowReply}),
		Entry("an answer to a process", nil, egress.Input, packet{source: service, destination: cell, protocol: "tcp", sourcePort: 22, flow: egress.FlowReply}),
		Entry("an ICMP error about a flow", nil, egress.Forward, packet{source: service, destination: app, protocol: "icmp", flow: egress.FlowRelated}),
		Entry("an allowed port", onlyHTTPS, egress.Forward, packet{source: app, destination: service, protocol: "tcp", port: 443, realm: egress.Realm}),
		Entry("a declared inbound port, which garden has translated", inbound, egress.Forward, packet{source: service, destination: app, protocol: "tcp", port: 8080, originalPort: 61007}),
		Entry("its answer", func(c *connection.Connection) { inbound(c); onlyHTTPS(c) }, egress.Forward,
			packet{source: app, destination: service, protocol: "tcp", sourcePort: 8080, originalPort: 61007, flow: egress.FlowReply, realm: egress.Realm}),
		Entry("any route, where the IaaS routes", byIaaS, egress.Forward, packet{source: app, destination: service, protocol: "tcp", port: 22}),
		Entry("everything that is not about a private network", nil, egress.Forward, packet{source: app, destination: "93.184.216.34", protocol: "tcp", port: 443}),
		Entry("the platform", nil, egress.Input, packet{source: "10.0.0.6", destination: cell, protocol: "tcp", port: 22}),
	)

	DescribeTable("drop the rest",
		func(change func(*connection.Connection), hook egress.Hook, p packet) {
			Expect(verdict(change, hook, p)).To(Equal(egress.Drop))
		},
		Entry("an app's packet on another route", nil, egress.Forward, packet{source: app, destination: service, protocol: "tcp", port: 443}),
		Entry("a process's packet on another route", nil, egress.Output, packet{source: cell, destination: second, protocol: "tcp", port: 443}),
		Entry("a packet that was turned to a private network after OUTPUT", nil, egress.Postrouting, packet{source: cell, destination: service, protocol: "tcp", port: 443}),
		Entry("an answer on another route", inbound, egress.Forward, packet{source: app, destination: service, protocol: "tcp", flow: egress.FlowReply, originalPort: 61007}),
		Entry("a port that is not allowed", onlyHTTPS, egress.Forward, packet{source: app, destination: service, protocol: "tcp", port: 22, realm: egress.Realm}),
		Entry("an established flow to a port that is not allowed any more", onlyHTTPS, egress.Forward, packet{source: app, destination: service, protocol: "tcp", port: 22, flow: egress.FlowOriginal, realm: egress.Realm}),
		Entry("the answers of such a flow", onlyHTTPS, egress.Forward, packet{source: service, destination: app, protocol: "tcp", sourcePort: 22, flow: egress.FlowReply}),
		Entry("a call from the private network", nil, egress.Forward, packet{source: service, destination: app, protocol: "tcp", port: 8080}),
		Entry("a call to the cell itself", nil, egress.Input, packet{source: service, destination: cell, protocol: "tcp", port: 22}),
		Entry("a call to a port that is not declared", inbound, egress.Input, packet{source: service, destination: cell, protocol: "tcp", port: 22}),
		Entry("a packet that poses as the private network", nil, egress.Output, packet{source: service, destination: "10.20.0.11", protocol: "udp"}),
	)

	It("forward no IPv6", func() {
		v, _ := judge(egress.Policy{Role: egress.RoleCell, Connection: agency()}.Rules(), egress.IPv6, egress.Forward, packet{protocol: "tcp"})
		Expect(v).To(Equal(egress.Drop))
	})
})

var _ = Describe("The rules of a gateway", func() {
	rules := func(path connection.DataPath, change func(*connection.Connection)) []egress.Chain {
		c := agency()
		c.DataPath = path
		if change != nil {
			change(&c)
		}
		return egress.Policy{Role: egress.RoleGateway, Connection: c, Management: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/16")}}.Rules()
	}
	// On either data path: out goes into the tunnel, in came out of it.
	for _, path := range []connection.DataPath{connection.DataPathKernel, connection.DataPathUserland} {
		out := func(p packet) packet { p.goesOut, p.sealed = egress.TunnelDevice, true; return p }
		in := func(p packet) packet { p.cameIn, p.protected = egress.TunnelDevice, true; return p }

		DescribeTable(fmt.Sprintf("let pass the tunnel and what is inside it (%s)", path),
			func(hook egress.Hook, p packet) {
				v, _ := judge(rules(path, nil), egress.IPv4, hook, p)
				Expect(v).To(Equal(egress.Return))
			},
			Entry("segment to private network", egress.Forward, out(packet{source: cell, destination: service, protocol: "tcp", port: 443})),
			Entry("the answer", egress.Forward, in(packet{source: service, destination: cell, protocol: "tcp", flow: egress.FlowReply})),
			Entry("a probe of its own", egress.Output, out(packet{source: gateway, destination: second, protocol: "icmp"})),
			Entry("its answer", egress.Input, in(packet{source: second, destination: gateway, protocol: "icmp", flow: egress.FlowReply})),
			Entry("IKE from the endpoint, from any port", egress.Input, packet{source: "198.51.100.10", destination: gateway, protocol: "udp", sourcePort: 31337, port: 500}),
			Entry("ESP from the endpoint", egress.Input, packet{source: "198.51.100.10", destination: gateway, protocol: "esp"}),
			Entry("the platform", egress.Input, packet{source: "10.0.0.6", destination: gateway, protocol: "tcp", port: 22}),
			Entry("an answer to the agent from anywhere", egress.Input, packet{source: "203.0.113.66", destination: gateway, protocol: "tcp", sourcePort: 4222, flow: egress.FlowReply}),
			Entry("a health check from the segment", egress.Input, packet{source: cell, destination: gateway, protocol: "tcp", port: 8853}),
			Entry("itself", egress.Input, packet{source: "127.0.0.1", destination: "127.0.0.1", protocol: "tcp", port: 2822}),
			Entry("its lease", egress.Input, packet{source: "203.0.113.66", destination: gateway, protocol: "udp", sourcePort: 67, port: 68}),
			Entry("DNS of its own", egress.Output, packet{source: gateway, destination: "10.0.0.2", protocol: "udp", port: 53}),
		)

		DescribeTable(fmt.Sprintf("drop the rest (%s)", path),
			func(hook egress.Hook, p packet) {
				v, _ := judge(rules(path, nil), egress.IPv4, hook, p)
				Expect(v).To(Equal(egress.Drop))
			},
			Entry("segment to private network in clear", egress.Forward, packet{source: cell, destination: service, protocol: "tcp", port: 443, goesOut: "eth0"}),
			Entry("private network to segment in clear", egress.Forward, packet{source: service, destination: cell, protocol: "tcp", flow: egress.FlowReply, cameIn: "eth0"}),
			Entry("another source into the tunnel", egress.Forward, out(packet{source: "10.30.0.9", destination: service, protocol: "tcp", port: 443})),
			Entry("out of the tunnel to another destination", egress.Forward, in(packet{source: service, destination: "10.30.0.9", protocol: "tcp"})),
			Entry("a private network that poses as the segment", egress.Forward, in(out(packet{source: cell, destination: service, protocol: "udp"}))),
			Entry("a call from the private network", egress.Forward, in(packet{source: service, destination: cell, protocol: "tcp", port: 61001})),
			Entry("anything else to forward", egress.Forward, packet{source: cell, destination: "93.184.216.34", protocol: "tcp", port: 443}),
			Entry("a probe in clear", egress.Output, packet{source: gateway, destination: second, protocol: "icmp"}),
			Entry("a packet that was turned to a private network after OUTPUT", egress.Postrouting, packet{source: gateway, destination: second, protocol: "icmp"}),
			Entry("a call from the private network to the gateway", egress.Input, in(packet{source: service, destination: gateway, protocol: "tcp", port: 22})),
			Entry("IKE from anybody else", egress.Input, packet{source: "203.0.113.66", destination: gateway, protocol: "udp", port: 4500}),
			Entry("a call from the internet", egress.Input, packet{source: "203.0.113.66", destination: gateway, protocol: "tcp", port: 22}),
			Entry("any other call from the endpoint", egress.Input, packet{source: "198.51.100.10", destination: gateway, protocol: "tcp", port: 22}),
			Entry("what somebody translated on its way to a private network", egress.Forward, out(packet{source: cell, destination: service, protocol: "tcp", port: 443, flow: egress.FlowTranslated})),
			Entry("the same where its source is final", egress.Postrouting, out(packet{source: gateway, destination: service, protocol: "tcp", port: 443, flow: egress.FlowTranslated})),
			Entry("an answer that somebody translates", egress.Forward, in(packet{source: service, destination: cell, protocol: "tcp", flow: egress.FlowTranslated})),
			Entry("ESP from anybody else", egress.Input, packet{source: "203.0.113.66", destination: gateway, protocol: "esp"}),
		)

		It(fmt.Sprintf("let the tunnel pass to an endpoint inside its own private network (%s)", path), func() {
			chains := rules(path, func(c *connection.Connection) { c.Endpoints[0].Address = netip.MustParseAddr(service) })
			for hook, p := range map[egress.Hook]packet{
				egress.Input:       {source: service, destination: gateway, protocol: "udp", sourcePort: 500, port: 500},
				egress.Output:      {source: gateway, destination: service, protocol: "udp", sourcePort: 4500, port: 1024},
				egress.Postrouting: {source: gateway, destination: service, protocol: "esp"},
			} {
				v, _ := judge(chains, egress.IPv4, hook, p)
				Expect(v).To(Equal(egress.Return), string(hook))
			}
			v, _ := judge(chains, egress.IPv4, egress.Output, packet{source: gateway, destination: service, protocol: "tcp", port: 443})
			Expect(v).To(Equal(egress.Drop))
		})
	}

	It("lower the MSS both ways", func() {
		chains := rules(connection.DataPathUserland, nil)
		_, there := judge(chains, egress.IPv4, egress.Forward, packet{source: cell, destination: service, protocol: "tcp", goesOut: "ipsec0"})
		_, back := judge(chains, egress.IPv4, egress.Forward, packet{source: service, destination: cell, protocol: "tcp", flow: egress.FlowReply, cameIn: "ipsec0"})
		Expect([]int{there, back}).To(Equal([]int{1366, 1366}))
	})

	It("let a declared inbound port through", func() {
		chains := rules(connection.DataPathUserland, func(c *connection.Connection) { c.Inbound = apps })
		v, _ := judge(chains, egress.IPv4, egress.Forward, packet{source: service, destination: cell, protocol: "tcp", port: 61001, cameIn: "ipsec0"})
		Expect(v).To(Equal(egress.Return))
	})

	It("take and forward nothing by IPv6", func() {
		chains := rules(connection.DataPathKernel, nil)
		for hook, p := range map[egress.Hook]packet{egress.Forward: {protocol: "tcp"}, egress.Input: {protocol: "udp", port: 500}} {
			v, _ := judge(chains, egress.IPv6, hook, p)
			Expect(v).To(Equal(egress.Drop), string(hook))
		}
	})
})

var _ = Describe("The rules of a shared cell", func() {
	const inPool = "10.20.7.9"
	policy := egress.Policy{
		Role:         egress.RoleSharedCell,
		SegmentsPool: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/16")},
		Detours:      []netip.Prefix{netip.MustParsePrefix("10.150.0.0/16")},
	}
	DescribeTable("keep out of every segment", func(hook egress.Hook, p packet, expected egress.Verdict) {
		v, _ := judge(policy.Rules(), egress.IPv4, hook, p)
		Expect(v).To(Equal(expected))
	},
		Entry("no app enters", egress.Forward, packet{source: app, destination: inPool, protocol: "tcp", port: 61001}, egress.Drop),
		Entry("no app sends VXLAN of its own making", egress.Forward, packet{source: app, destination: inPool, protocol: "udp", port: 4789}, egress.Drop),
		Entry("no app takes a route into a segment", egress.Forward, packet{source: app, destination: service, protocol: "tcp", port: 443}, egress.Drop),
		Entry("the cell's VXLAN enters", egress.Output, packet{source: "10.0.1.5", destination: inPool, protocol: "udp", port: 4789}, egress.Return),
		Entry("and leaves", egress.Postrouting, packet{source: "10.0.1.5", destination: inPool, protocol: "udp", port: 4789}, egress.Return),
		Entry("other ports do not", egress.Output, packet{source: "10.0.1.5", destination: inPool, protocol: "tcp", port: 22}, egress.Drop),
		Entry("answers enter", egress.Output, packet{source: "10.0.1.5", destination: inPool, protocol: "tcp", sourcePort: 8853, flow: egress.FlowReply}, egress.Return),
		Entry("the rest of the world is none of its business", egress.Forward, packet{source: app, destination: "93.184.216.34", protocol: "tcp", port: 443}, egress.Return),
	)
})

var _ = Describe("The MSS", func() {
	DescribeTable("fits the worst proposal", func(mtu, mss int) { Expect(egress.MSS(mtu)).To(Equal(mss)) },
		Entry(nil, 1500, 1366),
		Entry(nil, 1400, 1270),
		Entry(nil, 9001, 8870),
	)
})

func TestNothingForAPrivateNetworkLeavesUnlessInTheTunnel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		RegisterTestingT(t)
		c := agency()
		c.Routing = connection.RoutingHost
		c.Allow = rapid.SampledFrom([][]connection.Flow{nil, https, apps}).Draw(t, "allow")
		c.Inbound = rapid.SampledFrom([][]connection.Flow{nil, https, apps}).Draw(t, "inbound")
		role := rapid.SampledFrom([]egress.Role{egress.RoleCell, egress.RoleGateway}).Draw(t, "role")
		hook := rapid.SampledFrom([]egress.Hook{egress.Forward, egress.Output, egress.Postrouting}).Draw(t, "hook")
		p := packet{
			source:      rapid.SampledFrom([]string{app, cell, gateway, "10.30.0.9", service}).Draw(t, "source"),
			destination: rapid.SampledFrom([]string{service, second}).Draw(t, "destination"),
			protocol:    rapid.SampledFrom([]string{"tcp", "udp", "icmp", "esp", "gre"}).Draw(t, "protocol"),
			sourcePort:  rapid.Uint16().Draw(t, "source port"),
			port:        rapid.Uint16().Draw(t, "port"),
			flow:        rapid.SampledFrom([]egress.Flow{"", egress.FlowOriginal, egress.FlowReply, egress.FlowRelated}).Draw(t, "flow"),
			cameIn:      rapid.SampledFrom([]string{"eth0", "ipsec0"}).Draw(t, "came in"),
			goesOut:     "eth0",
		}
		v, _ := judge(egress.Policy{Role: role, Connection: c}.Rules(), egress.IPv4, hook, p)
		Expect(v).To(Equal(egress.Drop))
	})
}
