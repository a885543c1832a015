package impact_test

import (
	"encoding/json"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/onboard/impact"
	"privnet/onboard/onboardtest"
)

const (
	requestText = `org: Agency A
endpoint: {address: 198.51.100.10, device: paloalto}
private_networks: [10.150.0.0/16, 172.30.8.0/22]
apps: 40
`
	platformText = `iaas: vsphere
networks: [10.0.0.0/16]
segments: [{az: z1, cidr: 10.20.0.0/20}]
public_addresses: [203.0.113.10]
public_network: public
org_isolation: {api_url: https://api.example.com}
`
	cells, gateway, errand = "isolated-diego-cell-agency-a", "vpn-gateway-agency-a", "org-isolation-agency-a"
)

// change is what a request does that differs by one replacement or one more line.
func change(platformText, before, old, new string) impact.Impact {
	GinkgoHelper()
	was := onboardtest.Input(platformText, before, nil)
	after := strings.Replace(before, old, new, 1)
	if old == "" {
		after = before + new + "\n"
	}
	is := onboardtest.Input(platformText, after, &was)
	out, err := impact.Of(&was, is)
	Expect(err).NotTo(HaveOccurred())
	return out
}

var _ = Describe("A changed request", func() {
	renders := func(i impact.Impact) map[string]string {
		out := map[string]string{}
		for _, r := range i.Renders {
			out[r.Group] = strings.Join(r.Jobs, " ")
		}
		return out
	}
	everywhere := map[string]string{
		gateway: "ipsec-gateway egress-enforcer tunnel-prober tunnel-doctor", cells: "egress-enforcer tunnel-prober tunnel-doctor", errand: "org-isolation",
	}
	restartBoth := []impact.VMs{{Group: gateway, Count: 1, What: impact.Restart}, {Group: cells, Count: 4, What: impact.Restart}}
	restartGateway := restartBoth[:1]

	DescribeTable("says what it does, before anything happens",
		func(old, new string, rendered map[string]string, vms []impact.VMs, must bool, words, apps string) {
			i := change(platformText, requestText, old, new)
			Expect(renders(i)).To(Equal(rendered))
			Expect(i.VMs).To(Equal(vms))
			Expect(i.Customer.Must).To(Equal(must), i.Customer.Message)
			Expect(i.Customer.Message).To(ContainSubstring(words))
			Expect(strings.Join(i.Apps, " ")).To(ContainSubstring(apps))
		},
		Entry("a network more", "172.30.8.0/22]", "172.30.8.0/22, 192.168.7.0/24]", everywhere, restartBoth, true,
			"Add to phase 2 (proxy IDs): yours 192.168.7.0/24, ours 10.20.0.0/26.", "one after the other"),
		Entry("a network less", ", 172.30.8.0/22]", "]", everywhere, restartBoth, true,
			"Take from phase 2 (proxy IDs): yours 172.30.8.0/22, ours 10.20.0.0/26.", "changed security group"),
		Entry("another endpoint", "198.51.100.10", "198.51.100.11",
			map[string]string{gateway: everywhere[gateway]}, restartGateway, true, "Open the tunnel from 198.51.100.11; we no longer answer 198.51.100.10.", "new connections fail"),
		Entry("another device", "paloalto", "vyos",
			map[string]string{gateway: everywhere[gateway]}, restartGateway, false, "the words of your new device", "new connections fail"),
		Entry("more apps", "apps: 40", "apps: 80", map[string]string{}, []impact.VMs{{Group: cells, Count: 2, What: impact.Create}}, false, "", "Nothing."),
		Entry("fewer apps", "apps: 40", "apps: 10", map[string]string{}, []impact.VMs{{Group: cells, Count: 2, What: impact.Delete}}, false, "", "on the cells that go"),
		Entry("another IKE version", "", "ike: 1", map[string]string{gateway: "ipsec-gateway"}, restartGateway, true, "Set your device to IKEv1", "new connections fail"),
		Entry("either IKE version", "", "ike: auto", map[string]string{gateway: "ipsec-gateway"}, restartGateway, true, "we accept IKEv1 and IKEv2", "new connections fail"),
		Entry("another crypto policy", "", "policy: compatible", map[string]string{gateway: "ipsec-gateway"}, restartGateway, true, "algorithms", "new connections fail"),
		Entry("a second key", "", "psk: {next: true}", map[string]string{gateway: "ipsec-gateway"}, restartGateway, true, "we accept it and the old one", "new connections fail"),
		Entry("a smaller path MTU", "", "path_mtu: 1400",
			map[string]string{gateway: "egress-enforcer tunnel-doctor"}, restartGateway, false, "", "new connections fail"),
		Entry("narrower flows", "", "allow: [{protocol: tcp, ports: 443}]",
			map[string]string{gateway: "egress-enforcer", cells: "egress-enforcer", errand: "org-isolation"}, restartBoth, false, "is now: tcp 443.", "changed security group"),
		Entry("inbound flows", "", "inbound: [{protocol: tcp, ports: 61001}]",
			map[string]string{gateway: "egress-enforcer", cells: "egress-enforcer"}, restartBoth, false, "towards the apps is now: tcp 61001.", "one after the other"),
		Entry("a probe", "", "probes: [{address: 10.150.0.1}]",
			map[string]string{gateway: "tunnel-prober tunnel-doctor", cells: "tunnel-prober tunnel-doctor"}, restartBoth, false, "", "one after the other"),
		Entry("a private domain", "", "dns: [{domain: corp.example, servers: [10.150.0.53]}]",
			map[string]string{cells: "private-dns"}, restartBoth[1:], false, "ask your DNS servers for: corp.example at 10.150.0.53", "one after the other"),
	)

	It("that ends a rotation tells to look first, and leaves the customer alone", func() {
		i := change(platformText, requestText+"psk: {next: true}\n", "psk: {next: true}", "psk: {generation: 2}")
		Expect(i.Customer.Must).To(BeFalse())
		Expect(i.Customer.Message).To(ContainSubstring("the old one has ended"))
		Expect(i.Operator).To(ContainElement(And(ContainSubstring(`in_use of`), ContainSubstring(`is "b"`),
			HaveSuffix("credhub delete -n /DIRECTOR/DEPLOYMENT/private-network-agency-a-psk"))))
		Expect(i.Reload).To(HavePrefix("Cuts nothing"))
	})

	It("to IKEv2 alone says that the default algorithms change with the version, unless the request names them", func() {
		i := change(platformText, requestText+"ike: auto\n", "ike: auto", "ike: 2")
		Expect(i.Customer.Must).To(BeTrue())
		Expect(i.Customer.Message).To(ContainSubstring("Set the algorithms of both phases"))
		i = change(platformText, requestText+"policy: compatible\nike: auto\n", "ike: auto", "ike: 2")
		Expect(i.Customer.Must).To(BeFalse())
		Expect(i.Customer.Message).NotTo(ContainSubstring("algorithms"))
	})

	It("that changes a key at once makes the customer act, and tells where the new key is and which to delete", func() {
		i := change(platformText, requestText, "", "psk: {generation: 2}")
		Expect(i.Customer.Must).To(BeTrue())
		Expect(i.Customer.Message).To(ContainSubstring("we accept it alone"))
		Expect(i.Operator).To(ContainElements(
			"Give the customer the new key: credhub get -q -n /DIRECTOR/DEPLOYMENT/private-network-agency-a-psk-2",
			"After the deploy, delete the old key: credhub delete -n /DIRECTOR/DEPLOYMENT/private-network-agency-a-psk"))
	})

	It("that ends a rotation and begins the next gives the customer the third key", func() {
		i := change(platformText, requestText+"psk: {next: true}\n", "psk: {next: true}", "psk: {generation: 2, next: true}")
		Expect(i.Customer.Must).To(BeTrue())
		Expect(i.Customer.Message).To(ContainSubstring("we accept it and the old one"))
		Expect(i.Operator).To(ContainElement(HaveSuffix("credhub get -q -n /DIRECTOR/DEPLOYMENT/private-network-agency-a-psk-3")))
	})

	It("that gives a rotation up sends the customer back to the key that it had", func() {
		i := change(platformText, requestText+"psk: {next: true}\n", "psk: {next: true}", "psk: {generation: 1}")
		Expect(i.Customer.Must).To(BeTrue())
		Expect(i.Customer.Message).To(ContainSubstring("We accept the old pre-shared key only"))
		Expect(strings.Join(i.Operator, " ")).NotTo(ContainSubstring("credhub"))
	})

	It("says where the only cell takes the apps down with it", func() {
		i := change(platformText+"cells: {spare: 0, memory: 65536}\n", requestText, ", 172.30.8.0/22]", "]")
		Expect(i.Apps[0]).To(HavePrefix("The only cell restarts: the org's apps are down until it is back."))
	})

	It("restarts the cells that stay and no other where some go", func() {
		i := change(platformText, requestText+"allow: [{protocol: tcp, ports: 443}]\n", "apps: 40\nallow: [{protocol: tcp, ports: 443}]", "apps: 10")
		Expect(i.VMs).To(Equal([]impact.VMs{{Group: gateway, Count: 1, What: impact.Restart}, {Group: cells, Count: 2, What: impact.Restart},
			{Group: cells, Count: 2, What: impact.Delete}}))
	})

	It("recreates the gateway where the cloud-config has its routes", func() {
		aws := "iaas: aws\nnetworks: [10.0.0.0/16]\nsegments: [{az: z1, cidr: 10.20.0.0/20, route_table: rtb-1}]\npublic_addresses: [203.0.113.10]\nrouting: iaas\n"
		i := change(aws, requestText, ", 172.30.8.0/22]", "]")
		Expect(i.VMs).To(ContainElement(impact.VMs{Group: gateway, Count: 1, What: impact.Recreate}))
		Expect(i.Operator).To(ContainElements(
			ContainSubstring("bosh update-config --type=cloud --name=private-network-agency-a"),
			ContainSubstring("Run the errand org-isolation again"),
			ContainSubstring("Open the firewalls")))
	})

	It("says when the gateway's reload does without the deploy, and which errand brings the security group", func() {
		both := strings.Replace(requestText, "apps: 40\n", "apps: 40\nike: 2\n", 1)
		i := change(platformText, both, "ike: 2", "ike: 1\npsk: {next: true}")
		Expect(i.Reload).To(HavePrefix("Does not help"))
		i = change(platformText, requestText, "", "allow: [{protocol: tcp, ports: 443}]")
		Expect(i.Operator).To(ContainElement(ContainSubstring("run-errand org-isolation --instance=" + errand)))
		Expect(i.Operator).NotTo(ContainElement(ContainSubstring("Run the errand org-isolation again")))
	})

	It("deploys a gateway of its own first", func() {
		i := change(platformText+"gateway_deployment: own\n", requestText, "", "ike: 1")
		Expect(i.Operator[1]).To(Equal("bosh -d vpn-gateway-agency-a deploy rendered/agency-a/gateway.yml"))
	})

	It("that is none says nothing", func() {
		i := change(platformText, requestText, "apps: 40", "apps: 39")
		Expect(i.Text()).To(BeEmpty())
		Expect(i.Renders).To(BeEmpty())
	})

	It("of a new org restarts nothing", func() {
		i, err := impact.Of(nil, onboardtest.Input(platformText, requestText, nil))
		Expect(err).NotTo(HaveOccurred())
		Expect(i.VMs).To(Equal([]impact.VMs{{Group: gateway, Count: 1, What: impact.Create}, {Group: cells, Count: 4, What: impact.Create}}))
		Expect(i.Text()).To(HavePrefix("agency-a: what the next deploy brings; nothing restarts\n"))
	})

	It("has no key in what is printed, as text or JSON", func() {
		i := change(platformText, requestText, "", "psk: {next: true}")
		Expect(i.Text()).To(ContainSubstring("psk_b: not given -> ((private-network-agency-a-psk-2))"))
		data, err := json.Marshal(i)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(data)).To(ContainSubstring(`"changes":[{"what":"psk_b","from":"not given"`))
	})
})
