package netfilter_test

import (
	"math/rand/v2"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/egress"
	"privnet/egress/iptables"
	"privnet/egress/nftables"
	"privnet/netnstest"
	"privnet/verify/netfilter"
)

// The proof reads the text of the iptables backend. The nftables backend speaks to the kernel in its own
// instructions: here both are asked for the same packets.
var _ = Describe("Each backend", func() {
	prefixes := func(texts ...string) []netip.Prefix {
		var out []netip.Prefix
		for _, text := range texts {
			out = append(out, netip.MustParsePrefix(text))
		}
		return out
	}
	flow := func(protocol connection.Protocol, ports ...uint16) connection.Flow {
		f := connection.Flow{Protocol: protocol}
		for _, p := range ports {
			f.Ports = append(f.Ports, connection.PortRange{First: p, Last: p})
		}
		return f
	}
	// The segment is a part of what the bench sends from; of the private networks one is behind our route, one
	// behind the tunnel's device, and one behind neither.
	policy := func(role egress.Role, path connection.DataPath, allow, inbound []connection.Flow) egress.Policy {
		return egress.Policy{
			Role: role, Management: prefixes("10.8.0.250/32"), SegmentsPool: prefixes("10.9.1.0/30", "10.9.0.4/30"),
			Connection: connection.Connection{
				Segment: prefixes("10.8.0.0/30"), PrivateNetworks: prefixes("10.9.0.0/24", "10.9.1.0/24", "10.9.2.0/30"),
				Gateways:  []connection.Gateway{{Address: netip.MustParseAddr("10.8.0.1")}},
				Endpoints: []connection.Endpoint{{Address: netip.MustParseAddr("10.9.2.3")}},
				Routing:   connection.RoutingHost, DataPath: path, PathMTU: 1500, Allow: allow, Inbound: inbound,
			},
		}
	}
	some := []connection.Flow{flow(connection.TCP, 443, 80), flow(connection.ICMP)}
	inbound := []connection.Flow{flow(connection.UDP, 53)}

	DescribeTable("passes the packets that the proof says of the policy",
		func(p egress.Policy) {
			text := iptables.Input(p, egress.IPv4)
			table, err := netfilter.Parse(text)
			Expect(err).NotTo(HaveOccurred())
			for name, load := range map[string]func(*bench){
				"iptables": func(b *bench) { b.load("iptables-nft-restore", text) },
				"nftables": func(b *bench) {
					netnstest.In(b.router, func() {
						backend := &nftables.Table{}
						if !backend.Supported() {
							Skip("this kernel has no nf_tables")
						}
						Expect(backend.Apply(p)).To(Succeed())
					})
				},
			} {
				b := newBench()
				b.asks = true
				load(b)
				release := onOneProcessor()
				random := rand.New(rand.NewPCG(uint64(GinkgoRandomSeed()), 2))
				verdicts := map[bool]int{}
				for range 15 {
					b.flows(random, func(packets []*sent) {
						GinkgoHelper()
						b.send(packets)
						for _, packet := range packets {
							judged, way := table.Judge("FORWARD", packet.as)
							if judged {
								judged, way = table.Judge("POSTROUTING", packet.as)
							}
							Expect(packet.passed).To(Equal(judged), "%s: packet %v by %s, way %v in\n%s", name, packet.as, packet.link, way, text)
							verdicts[judged]++
						}
					})
				}
				release()
				Expect(verdicts[true]).To(BeNumerically(">", 5), name)
				Expect(verdicts[false]).To(BeNumerically(">", 5), name)
			}
		},
		Entry("of a gateway in userland", policy(egress.RoleGateway, connection.DataPathUserland, nil, nil)),
		Entry("of a gateway in userland with few ports", policy(egress.RoleGateway, connection.DataPathUserland, some, inbound)),
		Entry("of a cell", policy(egress.RoleCell, connection.DataPathKernel, nil, nil)),
		Entry("of a cell with few ports", policy(egress.RoleCell, connection.DataPathKernel, some, inbound)),
		Entry("of a shared cell", policy(egress.RoleSharedCell, connection.DataPathKernel, nil, nil)),
	)
})
