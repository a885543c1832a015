package render_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/onboard/platform"
	"privnet/onboard/render"
)

// module is what is looked at of a Terraform module.
type module struct {
	Variable map[string]map[string]any
	Resource map[string]map[string]map[string]any
}

func terraform(iaas string, change func(*render.Input)) module {
	GinkgoHelper()
	text := strings.Replace(platformFile, "vsphere", iaas, 1) + "gateway_address: nat\n"
	in := input("Agency A", text)
	if change != nil {
		change(&in)
	}
	data := render.Terraform(in)
	Expect(render.Terraform(in)).To(Equal(data))
	var m module
	Expect(json.Unmarshal(data, &m)).To(Succeed())
	for _, match := range regexp.MustCompile(`\$\{(?:var\.|length\(var\.)(\w+)`).FindAllSubmatch(data, -1) {
		Expect(m.Variable).To(HaveKey(string(match[1])))
	}
	for kind, resources := range m.Resource {
		for name, attributes := range resources {
			Expect(name).To(MatchRegexp(`^[a-z][a-z0-9_-]*$`), kind)
			// Azure takes 140 characters, AWS no apostrophe.
			Expect(fmt.Sprint(attributes["description"])).To(MatchRegexp(`^[^']{0,140}$`), kind+"."+name)
		}
	}
	return m
}

// with says which of the resources have the attributes, as "name".
func with(resources map[string]map[string]any, attributes map[string]any) []string {
	var out []string
	for name, r := range resources {
		match := true
		for key, value := range attributes {
			match = match && fmt.Sprint(r[key]) == fmt.Sprint(value)
		}
		if match {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

var _ = Describe("An org's Terraform module", func() {
	It("is for AWS a security group that lets in what the table says, and what the platform's lets in from it", func() {
		m := terraform("aws", nil)
		in := m.Resource["aws_vpc_security_group_ingress_rule"]
		own := "${aws_security_group.segment.id}"
		for _, want := range []map[string]any{
			{"cidr_ipv4": "10.0.0.0/16", "ip_protocol": "tcp", "from_port": 61001, "to_port": 65535, "security_group_id": own},
			{"cidr_ipv4": "198.51.100.10/32", "ip_protocol": "udp", "from_port": 4500, "to_port": 4500, "security_group_id": own},
			{"cidr_ipv4": "198.51.100.10/32", "ip_protocol": "50", "security_group_id": own},
			{"cidr_ipv4": "10.20.0.0/26", "ip_protocol": "-1", "security_group_id": own},
			{"cidr_ipv4": "172.30.8.0/22", "ip_protocol": "tcp", "from_port": 9000, "to_port": 9010, "security_group_id": own},
			{"cidr_ipv4": "10.20.0.0/26", "ip_protocol": "tcp", "from_port": 4222, "to_port": 4222, "security_group_id": "${var.platform_security_group_id}"},
		} {
			Expect(with(in, want)).To(HaveLen(1), fmt.Sprint(want))
		}
		Expect(with(in, map[string]any{"cidr_ipv4": "0.0.0.0/0"})).To(BeEmpty())
		Expect(m.Resource["aws_security_group"]["segment"]).To(HaveKeyWithValue("name", "private-network-agency-a"))
		// AWS's quota is 60 rules a group and direction.
		Expect(len(with(in, map[string]any{"security_group_id": own}))).To(BeNumerically("<", 60))
		Expect(len(with(in, map[string]any{"security_group_id": "${var.platform_security_group_id}"}))).To(BeNumerically("<", 60))
		Expect(m.Resource).NotTo(HaveKey("aws_route"), "the CPI writes it")
	})

	It("has no rule twice for a gateway with a public NIC, and lets that into the platform's", func() {
		in := terraform("aws", func(in *render.Input) { in.Platform.GatewayAddress = platform.GatewayNIC }).Resource["aws_vpc_security_group_ingress_rule"]
		seen := map[string]string{}
		for name, r := range in {
			rule := fmt.Sprint(r["security_group_id"], r["cidr_ipv4"], r["ip_protocol"], r["from_port"], r["to_port"])
			Expect(seen).NotTo(HaveKey(rule), name)
			seen[rule] = name
		}
		Expect(with(in, map[string]any{"cidr_ipv4": "203.0.113.10/32", "from_port": 4222, "security_group_id": "${var.platform_security_group_id}"})).To(HaveLen(1))
	})

	It("is for GCP rules and routes of the org's own network tag, with a denial behind what is allowed", func() {
		m := terraform("gcp", nil)
		rules := m.Resource["google_compute_firewall"]
		for name, r := range rules {
			Expect(r["name"]).To(MatchRegexp(`^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$`), name)
			Expect(r["target_tags"]).To(Or(Equal([]any{"private-network-agency-a"}), Equal([]any{"${var.platform_tag}"})))
		}
		Expect(rules["in-0"]).To(And(HaveKeyWithValue("priority", 2000.0), HaveKeyWithValue("source_ranges", []any{"0.0.0.0/0"})))
		Expect(rules["out-0"]).To(And(HaveKeyWithValue("priority", 2000.0), HaveKeyWithValue("destination_ranges", []any{"10.0.0.0/16"})))
		Expect(with(rules, map[string]any{"priority": 2001, "destination_ranges": []string{"0.0.0.0/0"}})).To(HaveLen(1))
		Expect(with(rules, map[string]any{"source_ranges": []string{"198.51.100.10/32"}, "priority": 1000})).To(HaveLen(2))
		Expect(m.Resource["google_compute_route"]["to-2"]).To(Equal(map[string]any{
			"name": "private-network-agency-a-to-2", "network": "${var.network}", "priority": 900.0,
			"tags": []any{"private-network-agency-a"}, "dest_range": "172.30.8.0/22", "next_hop_ip": "10.20.0.4",
		}))
	})

	It("has names that GCP takes for the longest org", func() {
		name := strings.Repeat("a", connection.MaxNameLength)
		m := terraform("gcp", func(in *render.Input) { in.Plan.Name = name })
		for _, r := range m.Resource["google_compute_firewall"] {
			Expect(len(r["name"].(string))).To(BeNumerically("<=", 63))
		}
	})

	It("is for Azure a security group and a route table on the segment's subnets, no priority twice", func() {
		m := terraform("azure", nil)
		seen := map[string]string{}
		rules := m.Resource["azurerm_network_security_rule"]
		for name, r := range rules {
			Expect(r["priority"]).To(And(BeNumerically(">=", 100), BeNumerically("<=", 4096)))
			key := fmt.Sprint(r["direction"], r["priority"])
			Expect(seen).NotTo(HaveKey(key), name)
			seen[key] = name
			Expect(r["protocol"]).To(BeElementOf("Tcp", "Udp", "Icmp", "Esp", "*"))
		}
		Expect(rules["in-0"]).To(And(HaveKeyWithValue("access", "Deny"), HaveKeyWithValue("priority", 4096.0)))
		Expect(rules["out-0"]).To(HaveKeyWithValue("destination_address_prefixes", []any{"10.0.0.0/16"}))
		Expect(with(rules, map[string]any{"direction": "Outbound", "priority": 4096, "destination_address_prefixes": []string{"0.0.0.0/0"}})).To(HaveLen(1))
		Expect(with(rules, map[string]any{"direction": "Inbound", "source_address_prefixes": []string{"198.51.100.10/32"},
			"destination_port_ranges": []string{"500", "4500"}, "protocol": "Udp"})).To(HaveLen(1))
		Expect(m.Resource["azurerm_route"]["to-1"]).To(And(
			HaveKeyWithValue("address_prefix", "10.150.0.0/16"), HaveKeyWithValue("next_hop_type", "VirtualAppliance"),
			HaveKeyWithValue("next_hop_in_ip_address", "10.20.0.4")))
		Expect(m.Resource).To(And(HaveKey("azurerm_subnet_route_table_association"), HaveKey("azurerm_subnet_network_security_group_association")))
	})

	It("narrows what apps may open as the request does", func() {
		m := terraform("aws", func(in *render.Input) {
			in.Request.Inbound = []connection.Flow{{Protocol: connection.ICMP}, {Protocol: connection.TCP}}
			in.Request.PrivateNetworks = []netip.Prefix{netip.MustParsePrefix("10.150.0.0/16")}
		})
		in := m.Resource["aws_vpc_security_group_ingress_rule"]
		Expect(with(in, map[string]any{"cidr_ipv4": "10.150.0.0/16", "ip_protocol": "icmp", "from_port": -1, "to_port": -1})).To(HaveLen(1))
		Expect(with(in, map[string]any{"cidr_ipv4": "10.150.0.0/16", "ip_protocol": "tcp", "from_port": 0, "to_port": 65535})).To(HaveLen(1))
	})

	It("is for no other IaaS", func() {
		Expect(render.Terraform(input("Agency A", platformFile+"gateway_address: nat\n"))).To(BeNil())
	})
})
