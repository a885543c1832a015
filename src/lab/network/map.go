// Package network is the lab's map: which hosts there are, how they are wired, and what each one's
// kernel is told. It stands for the IaaS, the internet and the customers' sites; on the platform's VMs it
// does what an IaaS, a stemcell, garden and silk do there, and nothing of what our own jobs do.
//
// Describe is pure. Apply works in the hosts' networks only; the machine's own is never touched.
package network

import (
	"fmt"
	"net/netip"
	"slices"

	"go4.org/netipx"

	"privnet/connection"
)

// The addresses of the lab that do not come from a plan. The public ones are for documentation
// (RFC 5737), the links to the customers for benchmarks (RFC 2544).
var (
	Platform      = netip.MustParsePrefix("10.0.16.0/24")
	Public        = netip.MustParsePrefix("203.0.113.0/24")
	platformHop   = netip.MustParseAddr("10.0.16.1")
	Router        = netip.MustParseAddr("10.0.16.10")
	SharedService = netip.MustParseAddr("10.0.16.20")
	firstVM       = netip.MustParseAddr("10.0.16.100")
	internetHop   = netip.MustParseAddr("203.0.113.1")
	// Egress is the platform's own public address: of what apps send, and of the shared router.
	Egress      = netip.MustParseAddr("203.0.113.2")
	customerHop = netip.MustParseAddr("198.18.0.1")
	siteHop     = netip.MustParseAddr("198.18.1.1")
	siteAddress = netip.MustParseAddr("198.18.1.2")
)

// AppPort is where an app listens in its container, CellPort where its cell maps it to.
const (
	AppPort  = 8080
	CellPort = 61001
)

// The hosts that every lab has, besides the deployment's VMs and the customers' sites.
const (
	Fabric     = "fabric"
	Internet   = "internet"
	RouterHost = "router"
	SharedHost = "shared-service"
)

// VM is one instance of the deployment.
type VM struct {
	Host string
	// Addresses tell by their network what each NIC is connected to. The first is the one inside, the
	// default route goes by the last.
	Addresses []netip.Addr
	// App is the name of the host that stands for an app's container on this cell, or empty.
	App string
	// Overlay is the container's address.
	Overlay netip.Addr
}

// Service is a host in one of a customer's networks.
type Service struct {
	Host    string
	Network netip.Prefix
	// Hop is the endpoint's address in the network.
	Hop     netip.Addr
	Address netip.Addr
	// Probed are further addresses, which the request names as probe targets.
	Probed []netip.Addr
}

// Org is one org's segment, and the site of its customer. Of two orgs only the public addresses have to
// be different: each site is a network of its own.
type Org struct {
	Name string
	// Number tells the orgs apart where a name has no room.
	Number  int
	Segment netip.Prefix
	// SegmentHop is the IaaS's router in the segment.
	SegmentHop netip.Addr
	// Gateway and GatewayPublic are the gateway's two addresses.
	Gateway, GatewayPublic netip.Addr
	// Endpoint is the address that the internet knows the customer's endpoint by.
	Endpoint netip.Addr
	Services []Service
}

// EndpointHost and natHost are the hosts at the edge of the customer's site.
func (o Org) EndpointHost() string { return "endpoint-" + o.Name }
func (o Org) natHost() string      { return "customer-nat-" + o.Name }

// Bridge is the fabric's interface in the segment.
func (o Org) Bridge() string { return fmt.Sprintf("segment%d", o.Number) }

// PrivateNetworks are the customer's CIDRs.
func (o Org) PrivateNetworks() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range o.Services {
		out = append(out, s.Network)
	}
	return out
}

// Map is what the wiring depends on.
type Map struct {
	Orgs []Org
	// GatewayNAT: the fabric maps each public address onto the only NIC of its gateway.
	GatewayNAT bool
	// CustomerNAT: each endpoint is behind a NAT that has its address.
	CustomerNAT bool
	VMs         []VM
}

// Cells are the VMs in the network that have an app.
func (m Map) Cells(in netip.Prefix) []VM {
	return slices.DeleteFunc(slices.Clone(m.VMs), func(vm VM) bool { return vm.App == "" || !in.Contains(vm.Addresses[0]) })
}

// Services are the hosts in an org's private networks, the second address of each; the first is the
// endpoint's.
func Services(org string, private []netip.Prefix, probes []connection.Target) ([]Service, error) {
	var out []Service
	for i, p := range private {
		if p.Bits() > 30 {
			return nil, fmt.Errorf("the lab does not do private networks smaller than /30 (%s)", p)
		}
		hop := p.Addr().Next()
		s := Service{Host: fmt.Sprintf("private-%d-%s", i+1, org), Network: p, Hop: hop, Address: hop.Next()}
		for _, probe := range probes {
			if p.Contains(probe.Address) && !slices.Contains(append(s.Probed, s.Address), probe.Address) {
				s.Probed = append(s.Probed, probe.Address)
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// Hosts lists all hosts, from the internet inwards.
func (m Map) Hosts() []string {
	out := []string{Internet, Fabric, RouterHost, SharedHost}
	for _, o := range m.Orgs {
		if out = append(out, o.EndpointHost()); m.CustomerNAT {
			out = append(out, o.natHost())
		}
		for _, s := range o.Services {
			out = append(out, s.Host)
		}
	}
	for _, vm := range m.VMs {
		if out = append(out, vm.Host); vm.App != "" {
			out = append(out, vm.App)
		}
	}
	return out
}

// VMAddress is the address of the platform's VM number n, from 0.
func VMAddress(n int) netip.Addr { return nth(firstVM, n) }

// CellAddress is the address of the segment's cell number n, from 0: the first that no gateway may have.
func CellAddress(static netipx.IPRange, n int) netip.Addr { return nth(static.To().Next(), n) }

func nth(first netip.Addr, n int) netip.Addr {
	for range n {
		first = first.Next()
	}
	return first
}
