package connection_test

import (
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/document"
)

const enforcerJSON = `{
  "org": "agency-a",
  "segment": ["10.20.0.0/26", "10.20.1.0/26"],
  "private_networks": ["10.150.0.0/16", "172.30.8.0/22"],
  "gateways": [{"address": "10.20.0.4", "public_address": "203.0.113.10"}]
}`

func read(text string) (connection.Connection, error) {
	GinkgoHelper()
	doc, err := document.Parse("enforcer.json", []byte(text))
	Expect(err).NotTo(HaveOccurred())
	c := connection.Read(doc.Root())
	return c, doc.Err()
}

var _ = Describe("A connection", func() {
	It("is read from a job's JSON, and what the job does not need may be absent", func() {
		c, err := read(enforcerJSON)
		Expect(err).NotTo(HaveOccurred())
		Expect(c.Routing).To(Equal(connection.RoutingHost))
		Expect(c.DataPath).To(Equal(connection.DataPathKernel))
		Expect(c.PathMTU).To(Equal(connection.DefaultPathMTU))
		Expect(c.Gateways[0].Address).To(Equal(netip.MustParseAddr("10.20.0.4")))
	})

	It("has a pair for each segment subnet and private network", func() {
		c, err := read(enforcerJSON)
		Expect(err).NotTo(HaveOccurred())
		Expect(c.Pairs()).To(HaveLen(4))
		Expect(c.Pairs()[1]).To(Equal(connection.Pair{
			Segment: netip.MustParsePrefix("10.20.0.0/26"), PrivateNetwork: netip.MustParsePrefix("172.30.8.0/22"),
		}))
	})

	DescribeTable("is refused when",
		func(text, want string) {
			_, err := read(text)
			Expect(err).To(MatchError(ContainSubstring(want)))
		},
		Entry("the segment overlaps a private network",
			`{"org":"a","segment":["10.150.3.0/26"],"private_networks":["10.150.0.0/16"],"gateways":[{"address":"10.150.3.4","public_address":"203.0.113.10"}]}`,
			"must be disjoint"),
		Entry("a private network overlaps the overlay",
			`{"org":"a","segment":["10.20.0.0/26"],"private_networks":["10.255.0.0/24"],"gateways":[{"address":"10.20.0.4","public_address":"203.0.113.10"}]}`,
			"the overlay network of the platform"),
		Entry("the gateway is outside the segment",
			`{"org":"a","segment":["10.20.0.0/26"],"private_networks":["10.150.0.0/16"],"gateways":[{"address":"10.99.0.4","public_address":"203.0.113.10"}]}`,
			"is not in the segment"),
		Entry("there is no gateway",
			`{"org":"a","segment":["10.20.0.0/26"],"private_networks":["10.150.0.0/16"]}`,
			"give at least one gateway"),
		Entry("two gateways share an address",
			`{"org":"a","segment":["10.20.0.0/26"],"private_networks":["10.150.0.0/16"],"gateways":[{"address":"10.20.0.4","public_address":"203.0.113.10"},{"address":"10.20.0.4","public_address":"203.0.113.11"}]}`,
			"each gateway has its own"),
		Entry("it has a field nobody knows",
			`{"org":"a","psk":"x"}`, "psk: is not a known field"),
	)
})

var _ = DescribeTable("The host of a network lies in it, and is not the network's own address if there is another",
	func(network, host string) {
		Expect(connection.Host(netip.MustParsePrefix(network))).To(Equal(netip.MustParseAddr(host)))
	},
	Entry(nil, "10.150.0.0/16", "10.150.0.1"),
	Entry(nil, "10.150.0.4/31", "10.150.0.5"),
	Entry(nil, "10.150.0.4/32", "10.150.0.4"),
)
