package render

import (
	"fmt"
	"net/netip"
	"strings"

	"privnet/connection"
)

// Priorities. What may be opened comes before the denial of everything else; a lower number wins.
const (
	azureFirst, azureLast = 100, 4096
	gcpAllow, gcpDeny     = 1000, 2000
	gcpRoute              = 900
)

// gcp makes firewall rules for VMs with the network tag of the org, and routes for them alone, so that
// two orgs may have the same private network.
func (m *module) gcp(in Input, table firewall) {
	tag := in.Plan.Names().Network
	network := m.variable("network", "string", "The VPC network of the segment")
	platformTag := m.variable("platform_tag", "string", "The network tag of the platform's VMs")
	rule := func(name, direction, target string, priority int, networks []netip.Prefix, attributes object) {
		side := "source_ranges"
		if direction == "EGRESS" {
			side = "destination_ranges"
		}
		attributes["name"], attributes["network"], attributes["direction"] = tag+"-"+name, network, direction
		attributes["priority"], attributes["target_tags"], attributes[side] = priority, []string{target}, words(networks)
		m.add("google_compute_firewall", name, attributes)
	}
	allow := func(o opening) object {
		what := object{"protocol": o.protocol}
		if len(o.ports) > 0 {
			what["ports"] = o.ports
		}
		return object{"allow": []object{what}, "description": o.why}
	}
	ingress, egress := table.openings()
	for i, o := range ingress {
		rule(fmt.Sprintf("in-%d", i+1), "INGRESS", tag, gcpAllow, o.networks, allow(o))
	}
	for i, o := range egress {
		rule(fmt.Sprintf("out-%d", i+1), "EGRESS", tag, denyOrder(o, gcpAllow, gcpDeny), o.networks, allow(o))
	}
	for i, o := range table.platformOpenings() {
		rule(fmt.Sprintf("pf-%d", i+1), "INGRESS", platformTag, gcpAllow, o.networks, allow(o))
	}
	nothingElse := func() object {
		return object{"deny": []object{{"protocol": "all"}}, "description": "nothing else"}
	}
	rule("in-0", "INGRESS", tag, gcpDeny, table.place("internet"), nothingElse())
	rule("out-0", "EGRESS", tag, gcpDeny, table.place("platform"), nothingElse())
	if in.Plan.Routing == connection.RoutingIaaS {
		for i, destination := range in.Request.PrivateNetworks {
			m.add("google_compute_route", fmt.Sprintf("to-%d", i+1), object{
				"name": fmt.Sprintf("%s-to-%d", tag, i+1), "network": network, "tags": []string{tag}, "priority": gcpRoute,
				"dest_range": destination.String(), "next_hop_ip": in.Plan.Gateways[0].Address.String(),
			})
		}
	}
}

// denyOrder is the priority of an opening: what goes to all of the internet comes after the denial of the
// platform's networks, which are part of it.
func denyOrder(o opening, before, after int) int {
	if o.networks[0].Bits() == 0 {
		return after + 1
	}
	return before
}

// azure makes a network security group and, with routing by the IaaS, a route table for the segment's
// subnets. Azure's own rules let a virtual network's VMs reach one another, so the platform's side needs
// none.
func (m *module) azure(in Input, table firewall) {
	name := in.Plan.Names().Network
	resourceGroup := m.variable("resource_group_name", "string", "The resource group of the segment's subnets")
	location := m.variable("location", "string", "Their location, such as westeurope")
	m.variable("subnet_ids", "list(string)", "The ids of the segment's subnets")
	m.add("azurerm_network_security_group", "segment", object{"name": name, "location": location, "resource_group_name": resourceGroup})
	rule := func(name, direction, access string, priority int, o opening) {
		other, own := "source", "destination"
		if direction == "Outbound" {
			other, own = own, other
		}
		attributes := object{
			"name": name, "direction": direction, "access": access, "priority": priority,
			"protocol": azureProtocol(o.protocol), "description": o.why,
			other + "_address_prefixes": words(o.networks), own + "_address_prefix": "*", "source_port_range": "*",
			"resource_group_name": resourceGroup, "network_security_group_name": "${azurerm_network_security_group.segment.name}",
		}
		if len(o.ports) == 0 {
			attributes["destination_port_range"] = "*"
		} else {
			attributes["destination_port_ranges"] = o.ports
		}
		m.add("azurerm_network_security_rule", name, attributes)
	}
	ingress, egress := table.openings()
	for i, o := range ingress {
		rule(fmt.Sprintf("in-%d", i+1), "Inbound", "Allow", azureFirst+i, o)
	}
	for i, o := range egress {
		rule(fmt.Sprintf("out-%d", i+1), "Outbound", "Allow", denyOrder(o, azureFirst+i, azureLast-1), o)
	}
	none := opening{networks: table.place("internet"), protocol: "all", why: "nothing else"}
	rule("in-0", "Inbound", "Deny", azureLast, none)
	none.networks = table.place("platform")
	rule("out-0", "Outbound", "Deny", azureLast-1, none)
	m.add("azurerm_subnet_network_security_group_association", "segment", object{
		"count": "${length(var.subnet_ids)}", "subnet_id": "${var.subnet_ids[count.index]}",
		"network_security_group_id": "${azurerm_network_security_group.segment.id}",
	})
	if in.Plan.Routing != connection.RoutingIaaS {
		return
	}
	m.add("azurerm_route_table", "segment", object{"name": name, "location": location, "resource_group_name": resourceGroup})
	for i, destination := range in.Request.PrivateNetworks {
		to := fmt.Sprintf("to-%d", i+1)
		m.add("azurerm_route", to, object{
			"name": to, "resource_group_name": resourceGroup, "route_table_name": "${azurerm_route_table.segment.name}",
			"address_prefix": destination.String(), "next_hop_type": "VirtualAppliance",
			"next_hop_in_ip_address": in.Plan.Gateways[0].Address.String(),
		})
	}
	m.add("azurerm_subnet_route_table_association", "segment", object{
		"count": "${length(var.subnet_ids)}", "subnet_id": "${var.subnet_ids[count.index]}",
		"route_table_id": "${azurerm_route_table.segment.id}",
	})
}

func azureProtocol(protocol string) string {
	if protocol == "all" {
		return "*"
	}
	return strings.ToUpper(protocol[:1]) + protocol[1:]
}

func words(networks []netip.Prefix) []string {
	out := make([]string, len(networks))
	for i, n := range networks {
		out[i] = n.String()
	}
	return out
}
