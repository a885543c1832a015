package egress

import (
	"net/netip"
	"slices"

	"privnet/connection"
)

// Route is a route to a private network.
type Route struct {
	Destination netip.Prefix
	// Via is the gateway's address. Without one the destination is refused: that route stands behind the
	// other and is used only while it is gone.
	Via netip.Addr
}

// Routes lists the routes that the VM must have: on a cell whose packets the VM itself routes.
func (p Policy) Routes() []Route {
	c := p.Connection
	if p.Role != RoleCell || c.Routing != connection.RoutingHost {
		return nil
	}
	var out []Route
	for _, network := range c.PrivateNetworks {
		out = append(out,
			Route{Destination: network},
			Route{Destination: network, Via: c.Gateways[0].Address})
	}
	return out
}

// Blocked lists the networks to and from which the kernel's IPsec layer must let nothing pass
// unprotected. That layer looks after all address translation, where the rules cannot.
func (p Policy) Blocked() []netip.Prefix {
	if p.Role != RoleGateway {
		return nil
	}
	return p.Connection.PrivateNetworks
}

// Unblocked lists the endpoints inside the blocked networks, with which IKE and ESP behind NAT must pass
// unprotected, and the ports of ours that they use. charon asks the kernel for that itself only on the
// kernel's data path.
func (p Policy) Unblocked() (endpoints []netip.Addr, ports []uint16) {
	for _, endpoint := range p.Connection.Endpoints {
		if connection.Contains(p.Blocked(), endpoint.Address) {
			endpoints = append(endpoints, endpoint.Address)
		}
	}
	return endpoints, ikePorts
}

// ForbiddenNextHops is the space in which no route of this VM may have its next hop.
func (p Policy) ForbiddenNextHops() []netip.Prefix {
	if p.Role != RoleSharedCell {
		return nil
	}
	return p.SegmentsPool
}

// Setting is a kernel parameter.
type Setting struct {
	// Path is below /proc/sys. A * stands for each interface, for all of them and for those to come. A path
	// that does not exist is passed over until it does.
	Path  string
	Value string
}

// Settings lists the kernel parameters that close something. They can be set at any time.
func (p Policy) Settings() []Setting {
	// A neighbour must not talk the VM into another route.
	noRedirects := []Setting{{"net/ipv4/conf/*/accept_redirects", "0"}}
	switch {
	case p.Role == RoleCell:
		// An answer from a private network must come from where the route to it points: a container
		// cannot pose as one.
		return append(noRedirects, Setting{"net/ipv4/conf/all/rp_filter", "1"})
	case p.Role == RoleGateway && p.Connection.DataPath == connection.DataPathUserland:
		return slices.Concat(noRedirects, gatewaySettings, []Setting{
			// The packets on this device are the tunnel's inside: the block on unprotected ones is not
			// meant for them.
			{"net/ipv4/conf/" + TunnelDevice + "/disable_xfrm", "1"},
			{"net/ipv4/conf/" + TunnelDevice + "/disable_policy", "1"},
		})
	case p.Role == RoleGateway:
		return slices.Concat(noRedirects, gatewaySettings)
	case p.Role == RoleSharedCell:
		return noRedirects
	default:
		return nil
	}
}

// A gateway with one interface sends packets out by the one they came in, and must not tell the cells to
// take the short way past it.
var gatewaySettings = []Setting{
	{"net/ipv4/conf/*/send_redirects", "0"},
}

// Opening lists the kernel parameters that let packets pass. They are set only once everything else
// stands.
func (p Policy) Opening() []Setting {
	if p.Role != RoleGateway {
		return nil
	}
	return []Setting{{"net/ipv4/ip_forward", "1"}}
}
