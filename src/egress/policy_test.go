package egress_test

import (
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/document"
	"privnet/egress"
)

const gatewayConfig = `{
  "role": "gateway", "backend": "auto", "addresses": ["10.20.0.4"],
  "connection": {
    "org": "agency-a", "segment": ["10.20.0.0/26"], "private_networks": ["10.150.0.0/16"],
    "gateways": [{"address": "10.20.0.4", "public_address": "203.0.113.10"}],
    "endpoints": [{"address": "198.51.100.10", "device": "paloalto"}],
    "routing": "host", "data_path": "userland", "path_mtu": 1400, "allow": [], "inbound": []
  }
}`

func read(text string) (egress.Policy, error) {
	GinkgoHelper()
	doc, err := document.Parse("enforcer.json", []byte(text))
	Expect(err).NotTo(HaveOccurred())
	return egress.Read(doc.Root()), doc.Err()
}

var _ = Describe("A policy", func() {
	It("is read from the job's JSON", func() {
		p, err := read(gatewayConfig)
		Expect(err).NotTo(HaveOccurred())
		Expect(p.Role).To(Equal(egress.RoleGateway))
		Expect(p.Connection.DataPath).To(Equal(connection.DataPathUserland))
	})

	DescribeTable("is refused with a sentence", func(from, into, sentence string) {
		_, err := read(strings.Replace(gatewayConfig, from, into, 1))
		Expect(err).To(MatchError(ContainSubstring(sentence)))
	},
		Entry("without a role", `"role": "gateway", `, ``, "role: is missing"),
		Entry("with a role that does not exist", `"role": "gateway"`, `"role": "router"`, `role: "router" must be one of cell, gateway, shared-cell`),
		Entry("with a backend that does not exist", `"auto"`, `"ipfw"`, `backend: "ipfw" must be one of auto, iptables`),
		Entry("that would cut off its own VM", `"10.150.0.0/16"`, `"10.20.0.0/16"`, "holds this VM's own address 10.20.0.4"),
		Entry("of a gateway that is another one", `["10.20.0.4"]`, `["10.20.0.5"]`, "has none of this VM's addresses"),
		Entry("of a cell outside the segment", `"role": "gateway", "backend": "auto", "addresses": ["10.20.0.4"]`, `"role": "cell", "addresses": ["10.9.0.4"]`, "a dedicated cell is in the segment"),
		Entry("of a gateway without endpoints", `[{"address": "198.51.100.10", "device": "paloalto"}]`, `[]`, "endpoints: is missing"),
		Entry("of a shared cell without a pool", `"gateway"`, `"shared-cell"`, "segments_pool: is missing"),
	)

	It("that is invalid still denies everything, to forwarded packets only", func() {
		p, err := read(strings.NewReplacer(`"host"`, `"magic"`, `["10.150.0.0/16"]`, `["10.150.0.0/16", "0.0.0.0/0"]`).Replace(gatewayConfig))
		Expect(err).To(HaveOccurred())
		for hook, expected := range map[egress.Hook]egress.Verdict{egress.Forward: egress.Drop, egress.Output: egress.Return} {
			v, _ := judge(p.Denied().Rules(), egress.IPv4, hook, packet{source: cell, destination: service, realm: egress.Realm})
			Expect(v).To(Equal(expected), string(hook))
		}
		v, _ := judge(p.Denied().Rules(), egress.IPv6, egress.Forward, packet{})
		Expect(v).To(Equal(egress.Drop))
	})

	It("routes on a cell of routing host: to the gateway, and to nowhere behind it", func() {
		c := agency()
		Expect(egress.Policy{Role: egress.RoleCell, Connection: c}.Routes()).To(ContainElements(
			egress.Route{Destination: c.PrivateNetworks[0]},
			egress.Route{Destination: c.PrivateNetworks[0], Via: c.Gateways[0].Address}))
		c.Routing = connection.RoutingIaaS
		Expect(egress.Policy{Role: egress.RoleCell, Connection: c}.Routes()).To(BeEmpty())
		Expect(egress.Policy{Role: egress.RoleGateway, Connection: agency()}.Routes()).To(BeEmpty())
	})

	It("opens forwarding on a gateway only", func() {
		Expect(egress.Policy{Role: egress.RoleGateway}.Opening()).To(ConsistOf(egress.Setting{Path: "net/ipv4/ip_forward", Value: "1"}))
		Expect(egress.Policy{Role: egress.RoleCell}.Opening()).To(BeEmpty())
	})
})
