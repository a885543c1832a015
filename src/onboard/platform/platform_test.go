package platform_test

import (
	"net/netip"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"privnet/connection"
	"privnet/onboard/platform"
)

const minimal = `
iaas: vsphere
networks: [10.0.0.0/16]
segments:
- {az: z1, cidr: 10.20.0.0/20}
public_addresses: [203.0.113.10]
public_network: public
`

var _ = Describe("A platform file", func() {
	It("needs few fields and has a default for the others", func() {
		p, err := platform.Parse("platform.yml", []byte(minimal))
		Expect(err).NotTo(HaveOccurred())
		Expect(p.PrefixLength).To(Equal(26))
		Expect(p.AZs).To(Equal([]string{"z1"}))
		Expect(p.Routing).To(Equal(connection.RoutingHost))
		Expect(p.GatewayAddress).To(Equal(platform.GatewayNIC))
		Expect(p.CellGroup).To(Equal("diego-cell"))
		Expect(p.Cells).To(Equal(platform.Cells{AppMemory: 1024, Memory: 16384, AppsPerCell: 250, Spare: 1}))
	})

	It("takes public addresses one by one, as a range and as a CIDR", func() {
		p, err := platform.Parse("platform.yml", []byte(minimal+"egress_addresses: [203.0.113.1, 203.0.113.4-203.0.113.5, 203.0.113.8/31]\n"))
		Expect(err).NotTo(HaveOccurred())
		Expect(p.EgressAddresses).To(Equal([]netip.Addr{
			netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("203.0.113.4"), netip.MustParseAddr("203.0.113.5"),
			netip.MustParseAddr("203.0.113.8"), netip.MustParseAddr("203.0.113.9"),
		}))
	})

	It("gives each org its own subnet where {org} and {az} stand in the IaaS's properties", func() {
		pool := platform.Pool{AZ: "z1", RouteTable: "rtb-{org}", CloudProperties: map[string]any{
			"subnet": "((subnet-{org}-{az}))", "security_groups": []any{"{org}"}, "size": 3,
		}}
		own := pool.For("agency-a")
		Expect(own.RouteTable).To(Equal("rtb-agency-a"))
		Expect(own.CloudProperties).To(Equal(map[string]any{
			"subnet": "((subnet-agency-a-z1))", "security_groups": []any{"agency-a"}, "size": 3,
		}))
		Expect(pool.CloudProperties["subnet"]).To(Equal("((subnet-{org}-{az}))"))
	})

	It("says everything that is wrong at once, each with its line", func() {
		_, err := platform.Parse("platform.yml", []byte(`iaas: openshift
networks: [10.0.0.0/15, 10.20.1.1/24]
segments:
- {az: z1, cidr: 10.1.0.0/20}
- {az: z1, cidr: 10.30.0.0/20}
- {az: z2, cidr: 10.40.0.0/27}
public_addresses: [203.0.113.0/8]
cells: {memory: 100}
surprise: true
`))
		Expect(err).To(MatchError(And(
			ContainSubstring(`platform.yml:1: iaas: "openshift" must be one of`),
			ContainSubstring(`platform.yml:2: networks[1]: "10.20.1.1/24" has host bits set; the network is 10.20.1.0/24`),
			ContainSubstring(`platform.yml:4: segments[0].cidr: "10.1.0.0/20" overlaps 10.0.0.0/15 of networks`),
			ContainSubstring(`platform.yml:5: segments[1].az: "z1" has a pool already`),
			ContainSubstring(`platform.yml:6: segments[2].cidr: "10.40.0.0/27" is smaller than one segment (/26`),
			ContainSubstring(`platform.yml:7: public_addresses[0]: "203.0.113.0/8" is more than 4096 addresses`),
			ContainSubstring(`platform.yml:8: cells.memory: "100" must be a whole number`),
			ContainSubstring(`platform.yml:9: surprise: is not a known field`),
		)))
	})

	// Each of these was planned, and refused later by the ledger, by the proof or by the jobs.
	DescribeTable("refuses addresses that a deploy could not use",
		func(old, replacement string, problems ...string) {
			text := strings.Replace(minimal, old, replacement, 1)
			Expect(text).NotTo(Equal(minimal))
			_, err := platform.Parse("platform.yml", []byte(text))
			Expect(err).To(MatchError(strings.Join(problems, "\n")))
		},
		Entry("a private one for a gateway", "203.0.113.10", "10.0.0.4/30",
			`platform.yml:6: public_addresses[0]: "10.0.0.4/30" has 10.0.0.4, which is a private address (10.0.0.0/8), which cannot be met on the internet; give the public addresses that gateways may have`),
		Entry("a pool in multicast space", "10.20.0.0/20", "224.0.0.0/20",
			`platform.yml:5: segments[0].cidr: "224.0.0.0/20" overlaps 224.0.0.0/4, multicast space (RFC 5771); use other address space`),
		Entry("a pool with a gateway's public address", "10.20.0.0/20", "203.0.113.0/24",
			`platform.yml:5: segments[0].cidr: "203.0.113.0/24" holds 203.0.113.10, which is a public address of the platform; choose another pool`),
		Entry("no AZ", "iaas: vsphere", "iaas: vsphere\nazs: []",
			`platform.yml:3: azs: is empty; give the AZs of a connection, or leave the field out for all that have a pool`),
		Entry("an AZ twice, and nothing else for that", "iaas: vsphere", "iaas: vsphere\nazs: [z1, z1]",
			`platform.yml:3: azs[1]: "z1" is listed twice; list it once`),
		Entry("a wrong size, and no pool for that", "iaas: vsphere", "iaas: vsphere\nprefix_length: 29",
			`platform.yml:3: prefix_length: "29" must be a whole number from 16 to 28`),
	)

	It("takes an API of https only and no literal secret for the errand org-isolation, and does not repeat the secret", func() {
		_, err := platform.Parse("platform.yml", []byte(minimal+"org_isolation: {api_url: http://api.example.com, client_secret: hunter2}\n"))
		Expect(err).To(MatchError(And(
			ContainSubstring(`platform.yml:8: org_isolation.api_url: "http://api.example.com" is not spoken to; the errand speaks https only`),
			ContainSubstring(`platform.yml:8: org_isolation.client_secret: must be a ((variable))`),
			Not(ContainSubstring("hunter2")),
		)))
	})

	DescribeTable("chooses the routing from IaaS and AZs, or refuses what cannot work",
		func(changes string, routing connection.Routing, problem string) {
			p, err := platform.Parse("platform.yml", []byte(changes+`
networks: [10.0.0.0/16]
public_addresses: [203.0.113.10]
gateway_address: nat
`))
			if problem != "" {
				Expect(err).To(MatchError(ContainSubstring(problem)))
				return
			}
			Expect(err).NotTo(HaveOccurred())
			Expect(p.Routing).To(Equal(routing))
		},
		Entry("one AZ of vSphere", "iaas: vsphere\nsegments: [{az: z1, cidr: 10.20.0.0/20}]", connection.RoutingHost, ""),
		Entry("one AZ of AWS", "iaas: aws\nsegments: [{az: z1, cidr: 10.20.0.0/20}]", connection.RoutingHost, ""),
		Entry("two AZs of AWS", "iaas: aws\nsegments: [{az: z1, cidr: 10.20.0.0/20, route_table: a}, {az: z2, cidr: 10.30.0.0/20, route_table: b}]",
			connection.RoutingIaaS, ""),
		Entry("Azure", "iaas: azure\nsegments: [{az: z1, cidr: 10.20.0.0/20}]", connection.RoutingIaaS, ""),
		Entry("two AZs of vSphere, one of them used", "iaas: vsphere\nazs: [z2]\nsegments: [{az: z1, cidr: 10.20.0.0/20}, {az: z2, cidr: 10.30.0.0/20}]",
			connection.RoutingHost, ""),
		Entry("two AZs of vSphere", "iaas: vsphere\nsegments: [{az: z1, cidr: 10.20.0.0/20}, {az: z2, cidr: 10.30.0.0/20}]",
			connection.Routing(""), "host works in one AZ only"),
		Entry("host on GCP", "iaas: gcp\nrouting: host\nsegments: [{az: z1, cidr: 10.20.0.0/20}]",
			connection.Routing(""), "cannot be done on gcp"),
		Entry("AWS without a route table", "iaas: aws\nrouting: iaas\nsegments: [{az: z1, cidr: 10.20.0.0/20}]",
			connection.Routing(""), "needs the route_table of the pool of z1"),
		Entry("iaas on bosh-lite", "iaas: bosh-lite\nrouting: iaas\nsegments: [{az: z1, cidr: 10.20.0.0/20}]",
			connection.Routing(""), "bosh-lite, which has no route table"),
	)

	DescribeTable("takes a second NIC for the public address in one AZ only",
		func(azs string, matcher types.GomegaMatcher) {
			_, err := platform.Parse("platform.yml", []byte(`
iaas: vsphere
networks: [10.0.0.0/16]
public_addresses: [203.0.113.10]
public_network: public
routing: iaas
segments: [{az: z1, cidr: 10.20.0.0/20}, {az: z2, cidr: 10.30.0.0/20}]
`+azs))
			Expect(err).To(matcher)
		},
		Entry("one of two", "azs: [z2]", Succeed()),
		Entry("two", "", MatchError(ContainSubstring("gateway_address: nic works in one AZ only"))),
	)
})
