package command_test

import (
	"fmt"
	"regexp"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var counted = regexp.MustCompile(`\[(\d+):\d+\] -A PREROUTING ! -s 10.20.0.0/24 -d 10.150.0.0/16`)

var _ = Describe("A gateway", func() {
	for _, backend := range []string{"iptables", "nftables"} {
		policy := func() map[string]any {
			policy := config("gateway", gatewayAddress, "", nil)
			policy["backend"] = backend
			return policy
		}

		It("never translates a private network's packets, whatever other rules it has: "+backend, func() {
			t := newTopology()
			t.apply("cell", config("cell", cellAddress, "", nil))
			t.apply("gateway", policy())
			t.in("private", "iptables", "-t", "raw", "-A", "PREROUTING", "!", "-s", "10.20.0.0/24", "-d", "10.150.0.0/16")
			Expect(t.ask("app", service+":8080")).To(Equal("private"))

			t.in("gateway", "iptables", "-t", "nat", "-A", "POSTROUTING", "-j", "MASQUERADE")
			Expect(t.ask("app", service+":8080")).To(Equal("refused"))
			Expect(t.ask("gateway", service+":9090")).To(Equal("refused"))
			// iptables sees only from the second packet of a flow on what address translation did to its source. Where
			// it changes into an address outside the segment, charon or the IPsec blocks drop the first one.
			most := map[string]int{"iptables": 2, "nftables": 0}[backend]
			found := counted.FindStringSubmatch(t.in("private", "iptables-save", "-c", "-t", "raw"))
			Expect(found).To(HaveLen(2))
			arrived := 0
			_, err := fmt.Sscan(found[1], &arrived)
			Expect(err).NotTo(HaveOccurred())
			Expect(arrived).To(BeNumerically("<=", most))

			t.in("gateway", "iptables", "-t", "nat", "-F")
			t.in("gateway", "iptables", "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "7070", "-j", "DNAT", "--to-destination", service+":8080")
			Expect(t.ask("app", service+":8080")).To(Equal("private"), "what nobody translates")
			Expect(t.ask("cell", gatewayAddress+":7070")).To(Equal("refused"))
		})

		It("is called by the platform and not by the internet, and calls whom it wants: "+backend, func() {
			t := newTopology()
			t.echo("gateway", gatewayAddress+":9999")
			t.serve("gateway", "127.0.0.1:2822", "monit")
			fromInternet := func() bool { return t.exchange("internet", publicService+":31337", gatewayAddress+":9999") }
			Expect(fromInternet()).To(BeTrue(), "without the enforcer")
			t.apply("gateway", policy())
			Expect(fromInternet()).To(BeFalse())
			Expect(t.exchange("other", otherAddress+":31337", gatewayAddress+":9999")).To(BeTrue(), "the platform")
			Expect(t.exchange("cell", cellAddress+":31337", gatewayAddress+":9999")).To(BeTrue(), "the segment")
			Expect(t.ask("gateway", "127.0.0.1:2822")).To(Equal("monit"))
			Expect(t.ask("gateway", publicService+":443")).To(Equal("public"), "as the agent calls")

			narrow := policy()
			narrow["management_networks"] = []string{"10.99.0.0/16"}
			t.apply("gateway", narrow)
			Expect(t.exchange("other", otherAddress+":31337", gatewayAddress+":9999")).To(BeFalse())
			Expect(t.exchange("cell", cellAddress+":31337", gatewayAddress+":9999")).To(BeTrue(), "the segment")
			Expect(t.ask("gateway", "127.0.0.1:2822")).To(Equal("monit"))
		})
	}
})
