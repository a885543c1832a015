// Package connection is the domain: what a customer asks for (Request), what an org has (Connection),
// and the rules that make either valid. It knows nothing of files, BOSH, charon or the kernel.
package connection

import (
	"net/netip"
	"slices"

	"privnet/document"
)

// Routing says who delivers the packets for a private network to the gateway.
type Routing string

const (
	// RoutingHost is a route on each cell; it works only where the gateway is on the cell's own link
	// and the fabric honours a guest's next hop.
	RoutingHost Routing = "host"
	// RoutingIaaS is a route in the IaaS's own route table.
	RoutingIaaS Routing = "iaas"
)

// DataPath says what encrypts the packets.
type DataPath string

const (
	// DataPathKernel is the kernel's own ESP.
	DataPathKernel DataPath = "kernel"
	// DataPathUserland is strongSwan's libipsec over a TUN device, always UDP-encapsulated; for kernels
	// that have no ESP.
	DataPathUserland DataPath = "userland"
)

// The MTU in bytes between a gateway and an endpoint: the one that is assumed, and the least and the most
// that are believed.
const (
	DefaultPathMTU = 1500
	MinPathMTU     = 576
	MaxPathMTU     = 9216
)

// Connection is one org's arrangement as the jobs on its VMs know it: the properties of the BOSH link
// private-network. It holds no secret.
type Connection struct {
	// Org is the org's name as a DNS label.
	Org string
	// Segment holds the dedicated subnets, one an AZ.
	Segment []netip.Prefix
	// PrivateNetworks are the customer's CIDRs behind its endpoint.
	PrivateNetworks []netip.Prefix
	Gateways        []Gateway
	Endpoints       []Endpoint
	Routing         Routing
	DataPath        DataPath
	// PathMTU is the MTU in bytes between gateway and endpoint.
	PathMTU int
	// Allow narrows what the segment may open to the private networks; empty means all.
	Allow []Flow
	// Inbound is what the private networks may open to the segment; empty means nothing.
	Inbound []Flow
	// Probes are services in the private networks whose answers tell that a pair carries traffic.
	Probes []Target
}

// Gateway is one of our VPN VMs.
type Gateway struct {
	// Address is the one in the segment, by which the cells reach it.
	Address netip.Addr
	// PublicAddress is the one the customer's endpoint connects to, and the gateway's IKE identity. It
	// may be a 1:1 NAT outside the VM.
	PublicAddress netip.Addr
}

// HasGateway says whether an address in the segment is a gateway's.
func (c Connection) HasGateway(address netip.Addr) bool {
	return slices.ContainsFunc(c.Gateways, func(g Gateway) bool { return g.Address == address })
}

// Pair is one traffic selector pair: a segment subnet and a private network.
type Pair struct {
	Segment, PrivateNetwork netip.Prefix
}

// Pairs lists segment × private network in the order of the declaration.
func (c Connection) Pairs() []Pair {
	var out []Pair
	for _, s := range c.Segment {
		for _, p := range c.PrivateNetworks {
			out = append(out, Pair{s, p})
		}
	}
	return out
}

// Fields are the names of a connection's fields in JSON and in the BOSH link.
var Fields = []string{
	"org", "segment", "private_networks", "gateways", "endpoints", "routing", "data_path", "path_mtu",
	"allow", "inbound", "probes",
}

// Read reads a connection out of a job's JSON. Fields that a job does not need may be absent: its
// template renders only those, so that a change of the others does not restart it. Problems are
// recorded in the value's document.
func Read(v document.Value) Connection {
	if !v.Fields(Fields...) {
		return Connection{}
	}
	c := Connection{
		Org:             readName(v.Get("org")),
		Segment:         readNetworks(v.Get("segment"), "the CIDRs of the dedicated segment"),
		PrivateNetworks: readNetworks(v.Get("private_networks"), "the CIDRs of the private network"),
		Routing:         Routing(v.Get("routing").OneOf(string(RoutingHost), string(RoutingHost), string(RoutingIaaS))),
		DataPath:        DataPath(v.Get("data_path").OneOf(string(DataPathKernel), string(DataPathKernel), string(DataPathUserland))),
		PathMTU:         v.Get("path_mtu").Int(MinPathMTU, MaxPathMTU),
		Allow:           readFlows(v.Get("allow")),
		Inbound:         readInbound(v.Get("inbound")),
	}
	if c.PathMTU == 0 {
		c.PathMTU = DefaultPathMTU
	}
	for _, g := range v.Get("gateways").RequiredList("at least one gateway with address and public_address") {
		if gateway, ok := readGateway(g, c.Segment); ok {
			if c.HasGateway(gateway.Address) {
				g.Problem("repeats the address %s of another gateway; each gateway has its own", gateway.Address)
				continue
			}
			c.Gateways = append(c.Gateways, gateway)
		}
	}
	for _, e := range v.Get("endpoints").List() {
		if endpoint, ok := readEndpoint(e); ok {
			c.Endpoints = append(c.Endpoints, endpoint)
		}
	}
	c.Probes = ReadTargets(v.Get("probes"), c.PrivateNetworks)
	if s, p, found := Overlap(c.Segment, c.PrivateNetworks); found {
		v.Get("segment").Problem("%s overlaps the private network %s; they must be disjoint", s, p)
	}
	return c
}

func readGateway(v document.Value, segment []netip.Prefix) (Gateway, bool) {
	if !v.Fields("address", "public_address") {
		return Gateway{}, false
	}
	address, ok := ReadAddress(v.Get("address"), "the gateway's address in the segment")
	if ok && len(segment) > 0 && !Contains(segment, address) {
		v.Get("address").Problem("is not in the segment; give an address of the segment")
		ok = false
	}
	public, ok2 := ReadPublicAddress(v.Get("public_address"), "the address that the customer's endpoint connects to")
	return Gateway{Address: address, PublicAddress: public}, ok && ok2
}
