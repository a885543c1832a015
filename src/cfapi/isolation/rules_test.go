package isolation_test

import (
	"encoding/json"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"privnet/cfapi/isolation"
	"privnet/connection"
)

var _ = Describe("The security group's rules", func() {
	rules := func(networks []string, allow ...connection.Flow) string {
		GinkgoHelper()
		c := connection.Connection{Allow: allow}
		for _, network := range networks {
			c.PrivateNetworks = append(c.PrivateNetworks, netip.MustParsePrefix(network))
		}
		data, err := json.Marshal(isolation.Rules(c))
		Expect(err).NotTo(HaveOccurred())
		return string(data)
	}

	It("open the private networks and nothing else", func() {
		Expect(rules([]string{"10.150.0.0/16", "192.0.2.7/32"})).To(MatchJSON(`[
			{"protocol": "all", "destination": "10.150.0.0/16"},
			{"protocol": "all", "destination": "192.0.2.7/32"}]`))
	})

	It("are as narrow as the connection, in the forms that CF takes", func() {
		Expect(rules([]string{"10.150.0.0/16"},
			connection.Flow{Protocol: connection.TCP, Ports: []connection.PortRange{{First: 443, Last: 443}, {First: 8000, Last: 8080}, {First: 22, Last: 22}}},
			connection.Flow{Protocol: connection.UDP},
			connection.Flow{Protocol: connection.ICMP},
		)).To(MatchJSON(`[
			{"protocol": "tcp", "destination": "10.150.0.0/16", "ports": "443,22"},
			{"protocol": "tcp", "destination": "10.150.0.0/16", "ports": "8000-8080"},
			{"protocol": "udp", "destination": "10.150.0.0/16", "ports": "1-65535"},
			{"protocol": "icmp", "destination": "10.150.0.0/16", "type": -1, "code": -1}]`))
	})

	It("are taken by the API, whatever the flows are, and found unchanged by the next run", func() {
		f := newFixture()
		rapid.Check(GinkgoT(), func(t *rapid.T) {
			port := rapid.Uint16Range(1, 65535)
			f.config.Connection.Allow = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) connection.Flow {
				flow := connection.Flow{Protocol: rapid.SampledFrom([]connection.Protocol{connection.TCP, connection.UDP, connection.ICMP}).Draw(t, "protocol")}
				if flow.Protocol == connection.ICMP {
					return flow
				}
				flow.Ports = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) connection.PortRange {
					a, b := port.Draw(t, "a"), port.Draw(t, "b")
					return connection.PortRange{First: min(a, b), Last: max(a, b)}
				}), 0, 4).Draw(t, "ports")
				return flow
			}), 0, 4).Draw(t, "flows")
			Expect(f.run()).To(Succeed())
			Expect(f.changesOf(f.run)).To(BeEmpty())
		})
	})
})
