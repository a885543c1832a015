package plan_test

import (
	"fmt"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"privnet/connection"
	"privnet/document"
	"privnet/onboard/plan"
	"privnet/onboard/platform"
)

const platformFile = `iaas: vsphere
networks: [10.0.0.0/16]
segments:
- {az: z1, cidr: 10.20.0.0/24}
public_addresses: [203.0.113.10-203.0.113.12]
public_network: public
`

func parsePlatform(text string) platform.Platform {
	p, err := platform.Parse("platform.yml", []byte(text))
	Expect(err).NotTo(HaveOccurred())
	return p
}

func request(org string, apps int) connection.Request {
	return connection.Request{Org: org, Name: connection.Normalise(org), Apps: apps}
}

func allocate(p platform.Platform, orgs ...string) []plan.Plan {
	var out []plan.Plan
	for _, org := range orgs {
		made, err := plan.NewAllocator(p, out).Allocate(request(org, 10), nil)
		Expect(err).NotTo(HaveOccurred())
		out = append(out, made)
	}
	return out
}

var _ = Describe("Allocating a plan", func() {
	It("takes the first free segment and public address, and divides the segment", func() {
		plans := allocate(parsePlatform(platformFile), "Agency A", "agency_b")
		b := plans[1]
		Expect(b.Name).To(Equal("agency-b"))
		Expect(b.CIDRs()).To(Equal([]netip.Prefix{netip.MustParsePrefix("10.20.0.64/26")}))
		Expect(b.Segment[0].Router().String()).To(Equal("10.20.0.65"))
		Expect(plan.Ranges(b.Segment[0].Reserved()...)).To(Equal([]string{"10.20.0.65 - 10.20.0.67", "10.20.0.126"}))
		Expect(plan.Ranges(b.Segment[0].Static())).To(Equal([]string{"10.20.0.68 - 10.20.0.71"}))
		Expect(b.Gateways).To(HaveLen(1))
		Expect(b.Gateways[0].Address.String()).To(Equal("10.20.0.68"))
		Expect(b.Gateways[0].PublicAddress.String()).To(Equal("203.0.113.11"))
	})

	DescribeTable("sizes the cells by memory and by containers, and adds the spare ones",
		func(apps, want int) {
			Expect(plan.Size(apps, platform.Cells{AppMemory: 1024, Memory: 16384, AppsPerCell: 12, Spare: 1})).To(Equal(want))
		},
		Entry("one app", 1, 2),
		Entry("as many as one cell's containers", 12, 2),
		Entry("one more than that", 13, 3),
	)

	It("keeps what an org holds when its request and the platform change", func() {
		p := parsePlatform(platformFile)
		plans := allocate(p, "a", "b")
		p.PublicAddresses = p.PublicAddresses[2:]
		p.PrefixLength = 27
		changed, err := plan.NewAllocator(p, plans[:1]).Allocate(request("b", 100), &plans[1])
		Expect(err).NotTo(HaveOccurred())
		Expect(changed.Segment).To(Equal(plans[1].Segment))
		Expect(changed.Gateways).To(Equal(plans[1].Gateways))
		Expect(changed.Cells).To(BeNumerically(">", plans[1].Cells))
	})

	It("never changes a segment or an address that an org holds, whatever becomes of the platform file", func() {
		rapid.Check(GinkgoT(), func(t *rapid.T) {
			platformOf := func(label string) platform.Platform {
				azs := rapid.IntRange(1, 3).Draw(t, label+" AZs")
				text := fmt.Sprintf("iaas: azure\nnetworks: [10.0.0.0/16]\nprefix_length: %d\npublic_addresses: [203.0.113.%d/30]\nsegments:\n",
					rapid.IntRange(24, 27).Draw(t, label+" bits"), 4*rapid.IntRange(0, 60).Draw(t, label+" addresses"))
				for i := range azs {
					text += fmt.Sprintf("- {az: z%d, cidr: 10.%d.0.0/%d}\n", i+1, 20+i, rapid.IntRange(20, 22).Draw(t, label+" pool"))
				}
				return parsePlatform(text)
			}
			before, err := plan.NewAllocator(platformOf("first"), nil).Allocate(request("a", 20), nil)
			Expect(err).NotTo(HaveOccurred())
			after, err := plan.NewAllocator(platformOf("second"), []plan.Plan{before}).Allocate(request("a", rapid.IntRange(1, 60).Draw(t, "apps")), &before)
			Expect(err).NotTo(HaveOccurred())
			Expect(after.Segment).To(Equal(before.Segment))
			Expect(after.Gateways).To(Equal(before.Gateways))
		})
	})

	It("leaves a gateway in its deployment when the platform wants those to come elsewhere", func() {
		p := parsePlatform(platformFile)
		plans := allocate(p, "a")
		Expect(string(plans[0].YAML())).NotTo(ContainSubstring("gateway_deployment"))
		p = parsePlatform(platformFile + "gateway_deployment: own\n")
		again, err := plan.NewAllocator(p, plans).Allocate(request("a", 10), &plans[0])
		Expect(err).NotTo(HaveOccurred())
		Expect(again.YAML()).To(Equal(plans[0].YAML()))
		b, err := plan.NewAllocator(p, plans).Allocate(request("b", 10), nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(b.OwnGatewayDeployment()).To(Equal("vpn-gateway-b"))
		back, err := plan.Parse("plan.yml", b.YAML())
		Expect(err).NotTo(HaveOccurred())
		Expect(back.OwnGatewayDeployment()).To(Equal("vpn-gateway-b"))
	})

	It("says how much is left where when a pool is exhausted", func() {
		p := parsePlatform(platformFile)
		plans := allocate(p, "a", "b", "c")
		plans = append(plans, plan.Plan{Name: "d", Segment: []plan.Subnet{{AZ: "z1", CIDR: netip.MustParsePrefix("10.20.0.192/26")}}})
		_, err := plan.NewAllocator(p, plans).Allocate(request("e", 1), nil)
		Expect(err).To(MatchError(ContainSubstring(`platform.yml:4: segments[0].cidr: "10.20.0.0/24" has no /26 left for another segment (left: z1 has 0 of 4)`)))
		_, err = plan.NewAllocator(p, plans[:3]).Allocate(request("d", 1), nil)
		Expect(err).To(MatchError(ContainSubstring("platform.yml:5: public_addresses: has no address left for another gateway (left: 0 of 3)")))
	})

	It("refuses more cells than the segment has addresses for", func() {
		_, err := plan.NewAllocator(parsePlatform(platformFile), nil).Allocate(request("a", 10000), nil)
		Expect(err).To(MatchError(ContainSubstring("with room for 54 cells, and 626 are needed; lower prefix_length or raise cells.memory")))
	})

	It("never gives two orgs the same address, whatever comes in which order", func() {
		rapid.Check(GinkgoT(), func(t *rapid.T) {
			p := parsePlatform(fmt.Sprintf(`iaas: aws
networks: [10.0.0.0/16]
prefix_length: %d
segments:
- {az: z1, cidr: 10.20.0.0/22, route_table: x}
- {az: z2, cidr: 10.30.0.0/22, route_table: x}
public_addresses: [203.0.113.0/24]
`, rapid.IntRange(22, 28).Draw(t, "bits")))
			var plans []plan.Plan
			for i := range rapid.IntRange(1, 40).Draw(t, "orgs") {
				if len(plans) > 0 && rapid.Bool().Draw(t, "leave") {
					plans = plans[1:]
				}
				made, err := plan.NewAllocator(p, plans).Allocate(request(fmt.Sprintf("org-%d", i), 1), nil)
				if err != nil {
					continue
				}
				again, err := plan.NewAllocator(p, plans).Allocate(request(made.Org, 1), &made)
				Expect(err).NotTo(HaveOccurred())
				Expect(again.YAML()).To(Equal(made.YAML()))
				plans = append(plans, made)
			}
			Expect(plan.Conflicts(plans)).To(BeEmpty())
			for _, made := range plans {
				for _, s := range made.Segment {
					pool, _ := p.Pool(s.AZ)
					Expect(pool.CIDR.Overlaps(s.CIDR)).To(BeTrue())
				}
			}
		})
	})
})

var _ = Describe("A plan file", func() {
	It("reads back as the plan that was written, and again as the same bytes", func() {
		made := allocate(parsePlatform(platformFile), "Agency A")[0]
		back, err := plan.Parse("plan.yml", made.YAML())
		Expect(err).NotTo(HaveOccurred())
		Expect(back.YAML()).To(Equal(made.YAML()))
		back.Source = document.Value{}
		Expect(back).To(Equal(made))
	})

	It("refuses an edit that does not fit the rest, with the line", func() {
		_, err := plan.Parse("plan.yml", []byte(`org: Agency A
name: agency-b
routing: host
segment:
- {az: z1, cidr: 10.20.0.0/26, gateway: 10.20.0.2, reserved: [], static: [10.20.0.4 - 10.20.0.7]}
gateways:
- {az: z1, address: 10.20.0.9, public_address: 203.0.113.10}
cells: {instances: 0}
names: {}
`))
		Expect(err).To(MatchError(And(
			ContainSubstring(`plan.yml:2: name: "agency-b" must be agency-a, which is made of org`),
			ContainSubstring(`plan.yml:5: segment[0].gateway: "10.20.0.2" must be 10.20.0.1`),
			ContainSubstring(`plan.yml:5: segment[0].reserved: must be`),
			ContainSubstring(`plan.yml:7: gateways[0].address: "10.20.0.9" is none of the static addresses`),
			ContainSubstring(`plan.yml:8: cells.instances: "0" must be a whole number`),
			ContainSubstring(`plan.yml:9: names.network: must be private-network-agency-b`),
		)))
	})

	It("shows both places when two plans hold the same thing", func() {
		p := parsePlatform(platformFile)
		a, err := plan.Parse("orgs/a/plan.yml", allocate(p, "a")[0].YAML())
		Expect(err).NotTo(HaveOccurred())
		b, err := plan.Parse("orgs/b/plan.yml", allocate(p, "b")[0].YAML())
		Expect(err).NotTo(HaveOccurred())
		Expect(plan.Conflicts([]plan.Plan{a, b}).Err()).To(MatchError(And(
			ContainSubstring("orgs/b/plan.yml:6: segment: 10.20.0.0/26 overlaps 10.20.0.0/26, which a holds (orgs/a/plan.yml:6)"),
			ContainSubstring("203.0.113.10 is a gateway of a too"),
		)))
	})

	It("shows both places when one's segment is named as the other's public network", func() {
		plans := allocate(parsePlatform(platformFile), "a", "a-public")
		for i, made := range plans {
			var err error
			plans[i], err = plan.Parse("orgs/"+made.Name+"/plan.yml", made.YAML())
			Expect(err).NotTo(HaveOccurred())
		}
		Expect(plans[0].Names().PublicNetwork).To(Equal(plans[1].Names().Network))
		for _, order := range [][]plan.Plan{{plans[0], plans[1]}, {plans[1], plans[0]}} {
			Expect(plan.Conflicts(order).Err()).To(MatchError(And(ContainSubstring("make the same name for a segment and for a public network"), ContainSubstring("orgs/a"))))
		}
	})
})

var _ = Describe("A request on this platform", func() {
	It("must not name networks that the platform uses or takes segments from", func() {
		doc, err := document.Parse("request.yml", []byte(`org: a
endpoint: {address: 203.0.113.11, id: 203.0.113.12, device: other}
private_networks:
- 10.0.4.0/24
- 10.20.0.128/25
- 172.16.0.0/24
- 203.0.113.0/24
`))
		Expect(err).NotTo(HaveOccurred())
		plan.CheckRequest(doc.Root(), parsePlatform(platformFile))
		Expect(doc.Err()).To(MatchError(And(
			ContainSubstring(`request.yml:2: endpoint.address: "203.0.113.11" is one of the platform's own public addresses`),
			ContainSubstring(`request.yml:2: endpoint.id: "203.0.113.12" is one of the platform's own public addresses`),
			ContainSubstring(`request.yml:7: private_networks[3]: "203.0.113.0/24" holds 203.0.113.`),
			ContainSubstring(`request.yml:4: private_networks[0]: "10.0.4.0/24" overlaps 10.0.0.0/16, which the platform itself uses`),
			ContainSubstring(`request.yml:5: private_networks[1]: "10.20.0.128/25" overlaps 10.20.0.0/24, from which the platform takes segments`),
			Not(ContainSubstring("172.16")),
		)))
	})

	DescribeTable("may name private domains, but",
		func(text, problem string) {
			doc, err := document.Parse("request.yml", []byte(text))
			Expect(err).NotTo(HaveOccurred())
			plan.CheckRequest(doc.Root(), parsePlatform(platformFile+"domains: [sys.example.com.]\n"))
			if problem == "" {
				Expect(doc.Err()).NotTo(HaveOccurred())
				return
			}
			Expect(doc.Err()).To(MatchError(ContainSubstring(problem)))
		},
		Entry("nothing is wrong with one of the customer's", `dns: [{domain: corp.example}, {domain: bosh.example}]`, ""),
		Entry("none of the platform's", `dns: [{domain: service.CF.internal.}]`, `dns[0].domain: "service.CF.internal." is, holds or is below cf.internal`),
		Entry("none that holds one of the platform's", `dns: [{domain: internal}]`, `dns[0].domain: "internal" is, holds or is below cf.internal`),
		Entry("none above one that the platform file has", `dns: [{domain: Example.com}]`, `dns[0].domain: "Example.com" is, holds or is below sys.example.com, which is the platform's own`),
		Entry("none below it", `dns: [{domain: uaa.sys.example.com}]`, `"uaa.sys.example.com" is, holds or is below sys.example.com`),
		Entry("one beside it", `dns: [{domain: apps.example.com}]`, ""),
		Entry("none twice", `dns: [{domain: corp.example}, {domain: Corp.example.}]`, `dns[1].domain: "Corp.example." is listed twice`),
		Entry("not without letting the questions pass", `{dns: [{domain: a.example}], allow: [{protocol: udp, ports: "50-60"}, {protocol: tcp, ports: 443}]}`,
			`allow: leaves out tcp port 53, and the servers of dns are asked there`),
		Entry("flows that hold port 53 do", `{dns: [{domain: a.example}], allow: [{protocol: udp, ports: "50-60"}, {protocol: tcp}]}`, ""),
	)

	DescribeTable("overlaps another org's networks",
		func(iaas platform.IaaS, table string, refused bool) {
			doc, err := document.Parse("request.yml", []byte("private_networks: [10.150.0.0/16]\n"))
			Expect(err).NotTo(HaveOccurred())
			p := platform.Platform{IaaS: iaas, Routing: connection.RoutingIaaS, Pools: []platform.Pool{{AZ: "z1", RouteTable: table}}}
			networks := []netip.Prefix{netip.MustParsePrefix("10.150.0.0/16")}
			own := connection.Request{Name: "b", PrivateNetworks: networks}
			plan.CheckRoutes(doc.Root(), p, own, map[string][]netip.Prefix{"a": networks, "b": networks})
			if refused {
				Expect(doc.Err()).To(MatchError(ContainSubstring(fmt.Sprintf("10.150.0.0/16 of a, and both orgs use the route table %q", table))))
			} else {
				Expect(doc.Err()).NotTo(HaveOccurred())
			}
		},
		Entry("in a route table that both use", platform.AWS, "rtb-1", true),
		Entry("each with its own", platform.AWS, "rtb-{org}", false),
		Entry("in the only router", platform.OpenStack, "", true),
		Entry("on Azure, where each segment has its table", platform.Azure, "", false),
		Entry("on GCP, where routes are for a network tag", platform.GCP, "", false),
	)
})
