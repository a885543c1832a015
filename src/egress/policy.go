package egress

import (
	"net/netip"
	"slices"

	"privnet/connection"
	"privnet/document"
)

// Role is what the VM is to the connection.
type Role string

const (
	// RoleCell is a dedicated cell: it runs the org's apps.
	RoleCell Role = "cell"
	// RoleGateway is the VM that holds the tunnel.
	RoleGateway Role = "gateway"
	// RoleSharedCell is any other cell: it must keep out of every segment.
	RoleSharedCell Role = "shared-cell"
	// RoleDenied is no role that can be configured: see Policy.Denied.
	RoleDenied Role = "denied"
)

// Backend is what holds the rules.
type Backend string

const (
	// BackendAuto, or none, follows the VM's own iptables.
	BackendAuto     Backend = "auto"
	BackendIPTables Backend = "iptables"
	BackendNFTables Backend = "nftables"
)

// Policy is what one VM enforces.
type Policy struct {
	Role    Role
	Backend Backend
	// IPTablesBinDir is the directory of the iptables programs; empty means those on the PATH.
	IPTablesBinDir string
	// Connection holds the fields that the role needs; it is empty on a shared cell.
	Connection connection.Connection
	// Addresses are the VM's own, those of IPv4.
	Addresses []netip.Addr
	// Management is from where the platform may open flows to a gateway.
	Management []netip.Prefix
	// SegmentsPool is the platform's space for segments; for a shared cell only.
	SegmentsPool []netip.Prefix
	// Withdrawn are networks that were once the connection's, and are private no more. For a dedicated cell only.
	Withdrawn []netip.Prefix
	// Detours are destinations whose routes on this VM have their next hop in the pool, as observed: what a
	// container sends there would enter a segment under another address. For a shared cell only.
	Detours []netip.Prefix
}

// Fields are the names of a policy's fields in JSON.
var Fields = []string{"role", "backend", "iptables_bin_dir", "connection", "addresses", "segments_pool", "management_networks"}

// Read reads a policy. Problems are recorded in the value's document; what is returned beside problems
// holds the parts that are right, and is fit for Denied only.
func Read(v document.Value) Policy {
	if !v.Fields(Fields...) {
		return Policy{}
	}
	v.Get("role").Required("cell, gateway or shared-cell")
	p := Policy{
		Backend:        Backend(v.Get("backend").OneOf(string(BackendAuto), string(BackendAuto), string(BackendIPTables), string(BackendNFTables))),
		Role:           Role(v.Get("role").OneOf("", string(RoleCell), string(RoleGateway), string(RoleSharedCell))),
		IPTablesBinDir: v.Get("iptables_bin_dir").Text(),
		Addresses:      connection.ReadOwnAddresses(v.Get("addresses")),
	}
	if p.Management = readPrefixes(v.Get("management_networks")); p.Role == RoleGateway && len(p.Management) == 0 {
		p.Management = connection.PrivateSpace
	}
	if p.Role == RoleSharedCell {
		p.readPool(v.Get("segments_pool"))
	} else {
		p.readConnection(v)
	}
	return p
}

func readPrefixes(v document.Value) (out []netip.Prefix) {
	for _, element := range v.List() {
		if prefix, ok := connection.ReadPrefix(element); ok {
			out = append(out, prefix)
		}
	}
	return out
}

func (p *Policy) readPool(v document.Value) {
	p.SegmentsPool = readPrefixes(v)
	if len(v.List()) == 0 {
		v.Problem("is missing; give the CIDRs from which the platform takes its segments")
	}
	for _, a := range p.Addresses {
		if connection.Contains(p.SegmentsPool, a) {
			v.Problem("holds this VM's own address %s; a shared cell stands outside the pool", a)
		}
	}
}

func (p *Policy) readConnection(v document.Value) {
	p.Connection = connection.Read(v.Get("connection"))
	c, networks := p.Connection, v.Get("connection").Get("private_networks")
	for _, a := range p.Addresses {
		if connection.Contains(c.PrivateNetworks, a) {
			networks.Problem("holds this VM's own address %s; the VM would be cut off", a)
		}
	}
	switch {
	case p.Role == RoleGateway && len(v.Get("connection").Get("endpoints").List()) == 0:
		v.Get("connection").Get("endpoints").Problem("is missing; give the endpoints from which IKE and ESP are taken")
	case p.Role == RoleGateway && !slices.ContainsFunc(c.Gateways, p.isMine):
		v.Get("connection").Get("gateways").Problem("has none of this VM's addresses %v; the gateway's address in the segment must be one of them", p.Addresses)
	case p.Role == RoleCell && !slices.ContainsFunc(p.Addresses, p.inSegment):
		v.Get("connection").Get("segment").Problem("holds none of this VM's addresses %v; a dedicated cell is in the segment", p.Addresses)
	}
}

func (p Policy) isMine(g connection.Gateway) bool { return slices.Contains(p.Addresses, g.Address) }

func (p Policy) inSegment(a netip.Addr) bool { return connection.Contains(p.Connection.Segment, a) }

// Denied is what can be enforced where no policy is valid: nothing is forwarded, so that containers reach
// nothing. What is wrong may be any of the networks, so none can be let through. The VM's own traffic is left
// alone: it must not cut off its agent.
func (p Policy) Denied() Policy {
	return Policy{Role: RoleDenied, Backend: p.Backend, IPTablesBinDir: p.IPTablesBinDir}
}
