package render

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"privnet/connection"
	"privnet/onboard/platform"
	"privnet/onboard/tree"
)

type firewall struct {
	Org    string         `yaml:"org"`
	Places []place        `yaml:"places"`
	Rules  []firewallRule `yaml:"rules"`
	Routes []iaasRoute    `yaml:"routes,omitempty"`
}

// place is a name that rules use, and the addresses that it stands for.
type place struct {
	Name      string         `yaml:"name"`
	Addresses []netip.Prefix `yaml:"addresses"`
}

type firewallRule struct {
	From     string `yaml:"from"`
	To       string `yaml:"to"`
	Protocol string `yaml:"protocol"`
	Ports    string `yaml:"ports,omitempty"`
	Why      string `yaml:"why"`
}

type iaasRoute struct {
	AZ          string       `yaml:"az"`
	Destination netip.Prefix `yaml:"destination"`
	NextHop     netip.Addr   `yaml:"next_hop"`
	RouteTable  string       `yaml:"route_table,omitempty"`
}

const firewallHeading = `# What the IaaS's firewalls must let pass for %ORG%'s segment, and nothing else. Written by "privnet
# render"; render again instead of editing. Ports are cf-deployment's defaults. Answers are not listed:
# the rules are stateful.
`

// vmRules are between the platform and any VM that BOSH makes in a segment, whoever the org is.
var vmRules = []firewallRule{
	{"platform", "segment", "tcp", "8853", "bosh-dns asks every VM for its health"},
	{"platform", "segment", "tcp", "22", "bosh ssh and bosh logs"},
	{"segment", "platform", "tcp", "8853", "bosh-dns asks every VM for its health"},
	{"segment", "platform", "tcp", "4222,25250,25777", "the BOSH agent: the director's NATS, blobstore and registry"},
	{"segment", "platform", "udp", "53", "bosh-dns's upstream resolvers"},
	{"segment", "platform", "tcp", "53", "bosh-dns's upstream resolvers"},
	{"segment", "platform", "udp", "123", "time"},
	{"segment", "platform", "tcp", "8082,6067,9000", "logs and metrics: doppler, log-cache, binding cache"},
}

// cellRules are those of Diego cells alone.
var cellRules = []firewallRule{
	{"platform", "segment", "tcp", "61001-65535", "gorouter, TCP router and SSH proxy reach apps on the cells' host ports"},
	{"platform", "segment", "tcp", "1801", "BBS and auctioneer place apps through rep"},
	{"platform", "segment", "udp", "4789", "silk's VXLAN between all cells: container-to-container networking"},
	{"segment", "platform", "udp", "4789", "silk's VXLAN between all cells: container-to-container networking"},
	{"segment", "platform", "tcp", "8889,8891", "rep and route_emitter: BBS and locket"},
	{"segment", "platform", "tcp", "4224", "route_emitter registers routes with NATS by TLS"},
	{"segment", "platform", "tcp", "3001", "route_emitter registers TCP routes with the routing API"},
	{"segment", "platform", "tcp", "8443,8080,9090,9091,4443", "droplets and buildpacks: UAA, file server, CC uploader, blobstore"},
	{"segment", "platform", "tcp", "9023,9024", "CC uploader and binding cache: Cloud Controller"},
	{"segment", "platform", "tcp", "4103", "silk-daemon leases the cell's part of the overlay from silk-controller"},
	{"segment", "platform", "tcp", "4003", "vxlan-policy-agent asks the policy server"},
	{"segment", "platform", "tcp", "8054", "bosh-dns-adapter asks the service discovery controller"},
	{"segment", "platform", "tcp", "8844", "apps resolve service bindings with CredHub"},
	{"segment", "platform", "tcp", "80,443", "apps call the platform's own routes"},
}

// Firewall is the table of what must reach the org's segment and gateways and why, as data.
func Firewall(in Input) []byte {
	return tree.Write(strings.ReplaceAll(firewallHeading, "%ORG%", in.Plan.Name), firewallTable(in))
}

func firewallTable(in Input) firewall {
	out := firewall{Org: in.Plan.Name, Places: []place{
		{"platform", in.Platform.Networks},
		{"segment", in.Plan.CIDRs()},
		{"gateway", gatewayHosts(in)},
		{"endpoint", []netip.Prefix{host(in.Request.Endpoint.Address)}},
		{"private-network", in.Request.PrivateNetworks},
	}}
	out.Rules = append(out.Rules,
		firewallRule{"segment", "segment", "all", "", "cells and gateway reach each other"},
		firewallRule{"endpoint", "gateway", "udp", "500,4500", "IKE, and ESP in UDP where there is NAT"},
		firewallRule{"endpoint", "gateway", "esp", "", "the tunnel's packets (IP protocol 50)"},
		firewallRule{"gateway", "endpoint", "udp", "500,4500", "IKE, and ESP in UDP where there is NAT"},
		firewallRule{"gateway", "endpoint", "esp", "", "the tunnel's packets (IP protocol 50)"},
	)
	out.Rules = slices.Concat(out.Rules, vmRules, cellRules)
	if in.Platform.GatewayAddress == platform.GatewayNIC {
		out.Rules = append(out.Rules, publicNICRules()...)
	}
	out.Rules = append(out.Rules, firewallRule{"segment", "internet", "all", "",
		fmt.Sprintf("apps reach the internet, seen there as %s", list(in.Platform.EgressAddresses))})
	allowed := flows(in.Request.Allow)
	if len(allowed) == 0 {
		allowed = []flow{{Protocol: "all"}}
	}
	for _, f := range allowed {
		out.Rules = append(out.Rules, firewallRule{"segment", "private-network", f.Protocol, f.Ports, "apps reach the customer's services, by the gateway"})
	}
	for _, f := range flows(in.Request.Inbound) {
		out.Rules = append(out.Rules, firewallRule{"private-network", "segment", f.Protocol, f.Ports, "what the customer may open, by the gateway"})
	}
	if in.Plan.Routing == connection.RoutingIaaS {
		out.Routes = iaasRoutes(in)
	}
	return out
}

// publicNICRules are vmRules for a gateway whose default route leaves by its public NIC: BOSH calls it at its public
// address, and from there it calls the platform.
func publicNICRules() []firewallRule {
	var out []firewallRule
	for _, r := range vmRules {
		if r.From == "segment" {
			r.From = "gateway"
		} else {
			r.To = "gateway"
		}
		out = append(out, r)
	}
	return out
}

// iaasRoutes are what the IaaS's route tables need where BOSH's CPI does not write them itself.
func iaasRoutes(in Input) []iaasRoute {
	var out []iaasRoute
	for _, s := range in.Plan.Segment {
		pool := in.pool(s.AZ)
		for _, destination := range in.Request.PrivateNetworks {
			out = append(out, iaasRoute{s.AZ, destination, in.Plan.Gateways[0].Address, pool.RouteTable})
		}
	}
	return out
}

func gatewayHosts(in Input) []netip.Prefix {
	var out []netip.Prefix
	for _, g := range in.Plan.Gateways {
		out = append(out, host(g.PublicAddress))
	}
	return out
}

func host(address netip.Addr) netip.Prefix { return netip.PrefixFrom(address, address.BitLen()) }

func list(addresses []netip.Addr) string {
	if len(addresses) == 0 {
		return "the platform's own egress address"
	}
	words := make([]string, len(addresses))
	for i, a := range addresses {
		words[i] = a.String()
	}
	return strings.Join(words, ", ")
}
