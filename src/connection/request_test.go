package connection_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"privnet/connection"
	"privnet/document"
)

const good = `org: Agency A
endpoint:
  address: 198.51.100.10
  device: paloalto
private_networks:
- 10.150.0.0/16
- 172.30.8.0/22
apps: 12
`

func problems(text string) []string {
	GinkgoHelper()
	_, err := connection.ParseRequest("request.yml", []byte(text))
	Expect(err).To(HaveOccurred())
	var list document.Problems
	Expect(err).To(BeAssignableToTypeOf(list))
	return strings.Split(err.Error(), "\n")
}

var _ = Describe("A request", func() {
	It("is read into what the customer asks for", func() {
		r, err := connection.ParseRequest("request.yml", []byte(good))
		Expect(err).NotTo(HaveOccurred())
		Expect(r.Org).To(Equal("Agency A"))
		Expect(r.Name).To(Equal("agency-a"))
		Expect(r.Endpoint).To(Equal(connection.Endpoint{
			Address: netip.MustParseAddr("198.51.100.10"), Device: "paloalto", ID: "198.51.100.10",
		}))
		Expect(r.PrivateNetworks).To(Equal([]netip.Prefix{
			netip.MustParsePrefix("10.150.0.0/16"), netip.MustParsePrefix("172.30.8.0/22"),
		}))
		Expect(r.Apps).To(Equal(12))
		Expect(r.IKE).To(Equal(connection.IKEv2))
	})

	It("may narrow the flows, name inbound ports, probe targets and private DNS", func() {
		r, err := connection.ParseRequest("request.yml", []byte(good+`ike: 1
allow: [{protocol: tcp, ports: "443,8000-8080"}, {protocol: icmp}]
inbound: [{protocol: tcp, ports: 61001}]
probes: [{address: 10.150.0.9, check: http, port: 8080, path: /health}, {address: 172.30.8.1}]
dns: [{domain: Corp.Example, servers: [10.150.0.53]}]
`))
		Expect(err).NotTo(HaveOccurred())
		Expect(r.IKE).To(Equal(connection.IKEv1))
		Expect(r.Allow).To(Equal([]connection.Flow{
			{Protocol: connection.TCP, Ports: []connection.PortRange{{First: 443, Last: 443}, {First: 8000, Last: 8080}}},
			{Protocol: connection.ICMP},
		}))
		Expect(r.Inbound[0].Ports[0].String()).To(Equal("61001"))
		Expect(r.Probes).To(Equal([]connection.Target{
			{Address: netip.MustParseAddr("10.150.0.9"), Check: connection.CheckHTTP, Port: 8080, Path: "/health"},
			{Address: netip.MustParseAddr("172.30.8.1"), Check: connection.CheckICMP},
		}))
		Expect(r.DNS).To(Equal([]connection.Domain{{Domain: "corp.example", Servers: []netip.Addr{netip.MustParseAddr("10.150.0.53")}}}))
	})

	It("reports everything that is wrong at once, in the order of the file", func() {
		Expect(problems(`org: "!!!"
endpoint:
  address: 10.1.1.1
  device: fridge
  colour: red
private_networks:
- 10.0.0.1/8
- 10.20.0.0/16
- 10.20.0.0/16
- 10.20.30.0/24
- 127.0.0.0/16
- 169.254.0.0/16
- 224.0.0.0/8
- 10.255.1.0/24
- fd00::/8
- 10.9.9.9
apps: 0
`)).To(HaveExactElements(
			HavePrefix(`request.yml:1: org: "!!!" makes the name "!!!", which is no DNS label`),
			HavePrefix(`request.yml:3: endpoint.address: "10.1.1.1" is a private address (10.0.0.0/8)`),
			HavePrefix(`request.yml:4: endpoint.device: "fridge" is not a known device; known are aws,`),
			HavePrefix(`request.yml:5: endpoint.colour: is not a known field; known are address, device, id`),
			Equal(`request.yml:7: private_networks[0]: "10.0.0.1/8" has host bits set; the network is 10.0.0.0/8`),
			Equal(`request.yml:9: private_networks[2]: "10.20.0.0/16" is listed twice; list it once`),
			HavePrefix(`request.yml:10: private_networks[3]: "10.20.30.0/24" overlaps 10.20.0.0/16, which is listed too`),
			HavePrefix(`request.yml:11: private_networks[4]: "127.0.0.0/16" overlaps 127.0.0.0/8, loopback`),
			HavePrefix(`request.yml:12: private_networks[5]: "169.254.0.0/16" overlaps 169.254.0.0/16, link-local`),
			HavePrefix(`request.yml:13: private_networks[6]: "224.0.0.0/8" overlaps 224.0.0.0/4, multicast`),
			HavePrefix(`request.yml:14: private_networks[7]: "10.255.1.0/24" overlaps 10.255.0.0/16, the overlay`),
			HavePrefix(`request.yml:15: private_networks[8]: "fd00::/8" is IPv6, which is not carried`),
			Equal(`request.yml:16: private_networks[9]: "10.9.9.9" has no prefix length; for this one host write 10.9.9.9/32`),
			Equal(`request.yml:17: apps: "0" must be a whole number from 1 to 10000`),
		))
	})

	It("refuses more networks than a tunnel takes", func() {
		with := func(n int) string {
			text := good
			for i := range n - 2 {
				text = strings.Replace(text, "apps:", fmt.Sprintf("- 10.%d.%d.0/24\napps:", 160+i/250, i%250), 1)
			}
			return text
		}
		_, err := connection.ParseRequest("request.yml", []byte(with(connection.MaxNetworks)))
		Expect(err).NotTo(HaveOccurred())
		Expect(problems(with(connection.MaxNetworks + 1))).To(ConsistOf(
			HaveSuffix("has 256 CIDRs, and a tunnel takes 255 at most; join neighbours into larger ones")))
	})

	It("names every field that is missing", func() {
		Expect(problems("ike: 2\n")).To(ConsistOf(
			HavePrefix("request.yml:1: org: is missing"),
			HavePrefix("request.yml:1: endpoint: is missing"),
			HavePrefix("request.yml:1: private_networks: is missing"),
			HavePrefix("request.yml:1: apps: is missing"),
		))
	})

	DescribeTable("refuses",
		func(line, want string) {
			Expect(problems(good + line + "\n")).To(ContainElement(ContainSubstring(want)))
		},
		Entry("a version of IKE that is none", "ike: 3", "must be one of 1, 2, auto"),
		Entry("a policy that is none", "policy: fast", "must be one of compatible, modern, quantum-safe"),
		Entry("a policy that IKEv1 cannot do", "ike: 1\npolicy: modern", "needs IKEv2"),
		Entry("ports of ICMP", "allow: [{protocol: icmp, ports: 1}]", "ICMP has no ports"),
		Entry("a port that is none", "allow: [{protocol: tcp, ports: 70000}]", "no port or range"),
		Entry("a backward range", "allow: [{protocol: tcp, ports: 90-80}]", "no port or range"),
		Entry("what calls the cells themselves", "inbound: [{protocol: tcp, ports: 22}]", "inbound[0]: opens tcp port 22 of the cells, which is ssh; give the apps' ports, such as 61001-65535"),
		Entry("what reaches into the overlay", "inbound: [{protocol: udp}]", "opens udp port 4789 of the cells, which is the overlay of all orgs' containers"),
		Entry("a range with the platform's ports", "inbound: [{protocol: tcp, ports: 8000-9000}]", "opens tcp port 8853 of the cells"),
		Entry("a probe outside the private networks", "probes: [{address: 192.0.2.1}]", "in none of the private networks"),
		Entry("a probe path that breaks out", `probes: [{address: 10.150.0.1, check: http, path: "/a b"}]`, "path of an http check"),
		Entry("a probe path that names a variable of the platform's manifest", `probes: [{address: 10.150.0.1, check: http, path: "/((cf_admin_password))"}]`, "path of an http check"),
		Entry("a DNS server elsewhere", "dns: [{domain: a.example, servers: [192.0.2.53]}]", "in none of the private networks"),
		Entry("a DNS domain that is none", "dns: [{domain: 'a b', servers: [10.150.0.53]}]", "no DNS domain"),
		Entry("a field nobody knows", "colour: red", "is not a known field"),
	)

	DescribeTable("turns an org's name into a DNS label",
		func(org, name string) {
			Expect(connection.Normalise(org)).To(Equal(name))
		},
		Entry(nil, "Agency A", "agency-a"),
		Entry(nil, "agency_a.prod", "agency-a-prod"),
		Entry(nil, "  x  y ", "x-y"),
	)

	DescribeTable("takes as identity",
		func(id string, ok bool) {
			_, err := connection.ParseRequest("request.yml", []byte(strings.Replace(good, "  device:", "  id: "+id+"\n  device:", 1)))
			if ok {
				Expect(err).NotTo(HaveOccurred())
			} else {
				Expect(err).To(MatchError(ContainSubstring("endpoint.id")))
			}
		},
		Entry("an address, also a private one", "10.1.2.3", true),
		Entry("an FQDN", "vpn.agency.example", true),
		Entry("a user FQDN", "vpn@agency.example", true),
		Entry("a key id", "keyid:branch-7", true),
		Entry("nothing with a quote", `'a"b'`, false),
		Entry("nothing with a brace", `'a}b'`, false),
		Entry("no wildcard", `'%any'`, false),
		Entry("nothing with a newline", `"a\nb"`, false),
	)
})

func TestEveryAcceptedRequestIsSafeToUse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := "org: " + rapid.String().Draw(t, "org") + "\nendpoint: {address: 198.51.100.10, device: other, id: " +
			rapid.String().Draw(t, "id") + "}\nprivate_networks: [" + rapid.StringMatching(`[0-9]{1,3}\.[0-9]{1,3}\.0\.0/[0-9]{1,2}`).Draw(t, "network") + "]\napps: 1\n"
		r, err := connection.ParseRequest("r.yml", []byte(text))
		if err != nil {
			return
		}
		if strings.ContainsAny(r.Name+r.Endpoint.ID, " \t\r\n\"'{}#\\%") || len(r.Name) > connection.MaxNameLength {
			t.Fatalf("unsafe: %q %q", r.Name, r.Endpoint.ID)
		}
		for _, p := range r.PrivateNetworks {
			if p != p.Masked() || p.Overlaps(connection.Overlay) || p.Overlaps(netip.MustParsePrefix("127.0.0.0/8")) {
				t.Fatalf("unsafe network %s", p)
			}
		}
	})
}

func FuzzParseRequest(f *testing.F) {
	f.Add(good)
	f.Fuzz(func(t *testing.T, text string) {
		if r, err := connection.ParseRequest("r.yml", []byte(text)); err == nil && (r.Apps < 1 || len(r.PrivateNetworks) == 0) {
			t.Fatalf("accepted: %+v", r)
		}
	})
}
