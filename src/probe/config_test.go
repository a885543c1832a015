package probe_test

import (
	"net/netip"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/probe"
)

const gatewayJSON = `{
  "role": "gateway",
  "connection": {
    "org": "agency-a",
    "segment": ["10.20.0.0/26", "10.20.1.0/26"],
    "private_networks": ["10.150.0.0/16", "172.30.8.0/22"],
    "gateways": [{"address": "10.20.0.4", "public_address": "203.0.113.10"}],
    "endpoints": [{"address": "198.51.100.10", "device": "paloalto"}],
    "probes": [{"address": "10.150.0.10", "check": "tcp", "port": 443}]
  },
  "addresses": ["203.0.113.10", "10.20.0.4"],
  "interval": "500ms",
  "listen": "127.0.0.1:9427"
}`

// cellJSON is a cell in the second subnet.
var cellJSON = strings.NewReplacer(
	`"role": "gateway"`, `"role": "cell"`, `"203.0.113.10", "10.20.0.4"]`, `"10.20.1.7"]`,
	`    "endpoints": [{"address": "198.51.100.10", "device": "paloalto"}],`+"\n", "",
).Replace(gatewayJSON)

func config(text string) probe.Config {
	GinkgoHelper()
	c, err := probe.ParseConfig("prober.json", []byte(text))
	Expect(err).NotTo(HaveOccurred())
	return c
}

var _ = Describe("The configuration", func() {
	It("tells a gateway which of its addresses is in the segment, and all its pairs", func() {
		c := config(gatewayJSON)
		Expect(c.Source).To(Equal(netip.MustParseAddr("10.20.0.4")))
		Expect(c.Interval).To(Equal(500 * time.Millisecond))
		Expect(c.Pairs()).To(HaveLen(4))
	})

	It("gives a cell the pairs of its own subnet only", func() {
		c := config(cellJSON)
		Expect(c.Source).To(Equal(netip.MustParseAddr("10.20.1.7")))
		Expect(c.Pairs()).To(HaveLen(2))
		p := c.Pairs()[0]
		Expect(probe.PairName(p.Segment, p.PrivateNetwork)).To(Equal("10.20.1.0/26=10.150.0.0/16"))
	})

	It("has defaults for interval and address", func() {
		c := config(strings.NewReplacer(`"interval": "500ms",
  "listen": "127.0.0.1:9427"`, `"interval": null`).Replace(gatewayJSON))
		Expect(c.Interval).To(Equal(probe.DefaultInterval))
		Expect(c.Listen.String()).To(Equal(probe.DefaultListen))
	})

	DescribeTable("is refused with the place and what would be right", func(text, old, new, want string) {
		wrong := strings.Replace(text, old, new, 1)
		Expect(wrong).NotTo(Equal(text))
		_, err := probe.ParseConfig("prober.json", []byte(wrong))
		Expect(err).To(MatchError(And(HavePrefix("prober.json:"), ContainSubstring(want))))
	},
		Entry("unknown role", gatewayJSON, `"gateway"`, `"router"`, "must be one of gateway, cell"),
		Entry("no role", gatewayJSON, `"role": "gateway",`, "", "role: is missing"),
		Entry("another VM's gateway", gatewayJSON, `"10.20.0.4"],`, `"10.20.0.5"],`, "has none of the gateways' addresses"),
		Entry("a cell elsewhere", cellJSON, `"10.20.1.7"`, `"10.0.0.7"`, "has no address in the segment"),
		Entry("no address", cellJSON, `"10.20.1.7"`, `"cell.internal"`, "is not an IP address"),
		Entry("interval without a unit", gatewayJSON, `"500ms"`, `"5"`, "must be a time from 500ms to 5m0s"),
		Entry("interval too short", gatewayJSON, `"500ms"`, `"1ms"`, "must be a time"),
		Entry("listen without a port", gatewayJSON, `"127.0.0.1:9427"`, `"127.0.0.1"`, "must be an IP address and a port"),
		Entry("a gateway without endpoints", gatewayJSON, `    "endpoints": [{"address": "198.51.100.10", "device": "paloalto"}],`, "", "endpoints: is missing"),
		Entry("unknown field", gatewayJSON, `"interval"`, `"intervall"`, "is not a known field"),
		Entry("a probe outside", gatewayJSON, `"10.150.0.10"`, `"10.99.0.10"`, "in none of the private networks"),
	)
})
