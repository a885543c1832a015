package leaks

import (
	"net/netip"
	"slices"
	"strings"
)

// Layer is one thing that alone keeps packets from leaking.
type Layer string

const (
	// CellRules and CellRoutes are the dedicated cell's.
	CellRules  Layer = "the cell's rules"
	CellRoutes Layer = "the cell's routes"
	// SharedRules are the shared cell's guard.
	SharedRules Layer = "the shared cell's rules"
	// GatewayRules and GatewayBlocks are the gateway's rules and its policies in the kernel's IPsec layer.
	GatewayRules  Layer = "the gateway's rules"
	GatewayBlocks Layer = "the gateway's IPsec blocks"
)

// Layers is a set of them.
type Layers []Layer

// hold says whether the set has all of the others.
func (l Layers) hold(others Layers) bool {
	return !slices.ContainsFunc(others, func(other Layer) bool { return !slices.Contains(l, other) })
}

// String names the layers.
func (l Layers) String() string {
	if len(l) == 0 {
		return "nothing"
	}
	names := make([]string, len(l))
	for i, layer := range l {
		names[i] = string(layer)
	}
	return strings.Join(names, " + ")
}

// Flow is a kind of packets that must not arrive at a place.
type Flow struct {
	Name string
	// Host sends from the address From to To, by protocols and on a port.
	Host      string
	From      string
	To        []string
	Protocols []protocol
	Port      uint16
	// Seen maps a host where no such packet may be seen to the cuts: the sets of layers without which it may be.
	Seen map[string][]Layers
}

const (
	// openPort is the one that the connection allows, closedPort is not.
	openPort, closedPort = 8080, 9
)

// inClear are the cuts of what the dedicated cell sends: it may go past the gateway, or through it in clear.
var inClear = []Layers{{CellRules, CellRoutes}, {GatewayRules, GatewayBlocks}}

// Flows is everything that is sent without a pause. Each has destinations of its own, by which it is known
// where it is seen, whatever became of its source on the way.
func Flows() []Flow {
	return []Flow{
		{
			Name: "an app of the org", Host: app, From: appAddress, To: []string{"10.150.0.10", "172.30.8.10"}, Protocols: every, Port: openPort,
			Seen: map[string][]Layers{internet: inClear},
		}, {
			Name: "a process of the dedicated cell", Host: cell, From: cellAddress, To: []string{"10.150.0.11", "172.30.8.11"}, Protocols: every, Port: openPort,
			Seen: map[string][]Layers{internet: inClear},
		}, {
			Name: "an app of the org to a port that is not allowed", Host: app, From: appAddress, To: []string{"10.150.0.12", "172.30.8.12"}, Protocols: []protocol{udp, tcp}, Port: closedPort,
			Seen: map[string][]Layers{internet: inClear, customer: {{CellRules, GatewayRules}}},
		}, {
			Name: "an app of another org", Host: sharedApp, From: sharedAppAddress, To: []string{"10.150.0.13", "172.30.8.13"}, Protocols: every, Port: openPort,
			// The tunnel takes it only if somebody's address translation gives it a source in the segment.
			Seen: map[string][]Layers{
				internet: {{SharedRules, GatewayRules, GatewayBlocks}},
				customer: {{SharedRules, GatewayRules}},
			},
		}, {
			Name: "a call from the private network", Host: customer, From: serviceAddress, To: []string{neighbourAddress}, Protocols: []protocol{udp, tcp}, Port: closedPort,
			Seen: map[string][]Layers{neighbour: {{GatewayRules}}},
		}, {
			Name: "a stranger posing as the private network", Host: internet, From: spoofedAddress, To: []string{strangersTarget}, Protocols: every, Port: openPort,
			Seen: map[string][]Layers{neighbour: {{GatewayRules, GatewayBlocks}}},
		},
	}
}

// Healthy are the flows that must arrive, and where, once everything is repaired.
var Healthy = map[string]string{"an app of the org": customer, "a process of the dedicated cell": customer}

func addresses(list []string) []netip.Addr {
	out := make([]netip.Addr, len(list))
	for i, text := range list {
		out[i] = netip.MustParseAddr(text)
	}
	return out
}
