package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"privnet/egress"
	"privnet/verify/space"
)

// Packet is a counter-example: a packet that passes and must not, or the other way round.
type Packet struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Protocol string `json:"protocol"`
	// State is what else the rules ask about.
	State string `json:"state"`
	// Way is what it passes: a line for each host and rule.
	Way []string `json:"way"`
}

// The ways of a packet through a host, by the hooks that it passes.
var (
	forward  = []string{"FORWARD", "POSTROUTING"}
	send     = []string{"OUTPUT", "POSTROUTING"}
	receive  = []string{"INPUT"}
	forward6 = []string{"FORWARD", "POSTROUTING", "IPv6"}
)

// dropped is what is said at the end of a way that ends.
const dropped = "drops it"

// counter records a finding with a packet out of the set, if there is one. hooks are the packet's way through
// the host; with none, it is a matter of charon's alone.
func (o *orgCheck) counter(which Obligation, h host, hooks []string, wrong space.Region, format string, args ...any) {
	if len(wrong) == 0 {
		return
	}
	p := o.example(wrong, hooks)
	o.find(which, h.Name+": "+format, args...)
	shown := &Packet{
		From:     o.describe(p, space.Source, space.SourcePort),
		To:       o.describe(p, space.Destination, space.Port),
		Protocol: protocolName(p[space.Protocol]),
		State:    state(p),
	}
	switch {
	case hooks == nil:
		p[space.Protocol] = 0
		shown.From, shown.To = o.describe(p, space.Source, space.SourcePort), o.describe(p, space.Destination, space.Port)
		shown.Protocol, shown.State = "any", "in any state"
	case slices.Contains(hooks, "IPv6"):
		shown = &Packet{From: "any IPv6 address", To: "any IPv6 address", Protocol: "IPv6", State: state(p)}
	case h.Group.IsGateway && hooks[0] == "FORWARD":
		// It may have come by somebody's cell.
		shown.Way = append(shown.Way, o.departure(p)...)
	}
	shown.Way = append(shown.Way, through(h, hooks, p)...)
	if h.Group.IsGateway {
		shown.Way = append(shown.Way, protection(h, p)...)
	}
	o.findings[len(o.findings)-1].Packet = shown
}

// departure is the packet's way out of the cells in whose segment it starts, if it does in somebody else's.
func (o *orgCheck) departure(p space.Packet) []string {
	source := space.Address(p[space.Source])
	for _, s := range o.segments {
		if !s.prefix.Contains(source) || s.link == o.link {
			continue
		}
		for _, vm := range o.world.cells[s.link] {
			h, err := readHost(vm)
			if err != nil {
				return nil
			}
			// On the cell it is not yet in a tunnel, and not on the route to the cell's own gateway.
			for _, d := range []space.Dimension{space.ArrivedBy, space.LeavesBy, space.Arrived, space.Leaves, space.Realm} {
				p[d] = space.No
			}
			way := append([]string{fmt.Sprintf("%s: sent by an app in %s", vm.Name, s.owner)}, through(h, forward, p)...)
			if strings.HasSuffix(way[len(way)-1], dropped) {
				way = append(way, "the gateway must not rely on that; there:")
			}
			return way
		}
	}
	return nil
}

// through is what the packet passes on a host.
func through(h host, hooks []string, p space.Packet) []string {
	table := h.ipv4
	if slices.Contains(hooks, "IPv6") {
		table, hooks = h.ipv6, hooks[:2]
	}
	var out []string
	for _, hook := range hooks {
		passes, way := table.Judge(hook, p)
		if len(way) == 0 {
			out = append(out, fmt.Sprintf("%s: %s: no rule fits", h.Name, hook))
		}
		for _, step := range way {
			out = append(out, fmt.Sprintf("%s: %s: %s", h.Name, hook, step))
		}
		if !passes {
			return append(out, fmt.Sprintf("%s: %s: %s", h.Name, hook, dropped))
		}
		out = append(out, fmt.Sprintf("%s: %s: passes it", h.Name, hook))
	}
	return out
}

// protection is what charon does with the packet.
func protection(h host, p space.Packet) []string {
	var out []string
	for _, child := range h.children {
		if !child.Drops && between(child.Local, child.Remote).Contains(p) {
			out = append(out, fmt.Sprintf("%s: charon: protected by %s of %s", h.Name, child.Name, child.Connection))
		}
	}
	if len(out) == 0 {
		out = append(out, fmt.Sprintf("%s: charon: no traffic selector has it", h.Name))
	}
	return out
}

// example picks a packet that says much: from another org's cell, else from the overlay, the platform or the
// internet, to a private network of the org or to the gateway itself; of a shared cell's, one from an app or from the cell.
func (o *orgCheck) example(wrong space.Region, hooks []string) space.Packet {
	narrowed, targets := wrong, o.entry.Request.PrivateNetworks
	if slices.Equal(hooks, receive) && len(o.deployed.Gateways) > 0 {
		targets = []netip.Prefix{netip.PrefixFrom(o.deployed.Gateways[0].Address, 32)}
	}
	if to := wrong.Within(space.Destination, ranges(targets)...); len(to) > 0 {
		narrowed = to
	}
	sources := slices.Concat(o.segments, o.forbidden, []claim{{prefix: netip.MustParsePrefix("198.51.100.0/24")}})
	if o.link == "" {
		sources = slices.Concat(o.forbidden, o.segments)
		if slices.Equal(hooks, send) {
			sources = slices.Concat(o.platform, sources)
		}
	}
	for _, c := range sources {
		if from := narrowed.Within(space.Source, space.Prefix(c.prefix)); len(from) > 0 && (c.link == "" || c.link != o.link) {
			return pick(from[0])
		}
	}
	return pick(narrowed[0])
}

// pick is a packet of the box with the values that a reader knows where the box has them.
func pick(b space.Box) space.Packet {
	var p space.Packet
	for d, r := range b {
		p[d] = r.First
	}
	prefer := func(d space.Dimension, values ...uint32) {
		for _, v := range values {
			if b[d].First <= v && v <= b[d].Last {
				p[d] = v
				return
			}
		}
	}
	prefer(space.Source, b[space.Source].First+10, b[space.Source].First+1)
	prefer(space.Destination, b[space.Destination].First+10, b[space.Destination].First+1)
	prefer(space.Protocol, tcp, udp, icmp)
	prefer(space.SourcePort, 40000)
	prefer(space.Port, 443)
	prefer(space.OriginalPort, p[space.Port])
	return p
}

func (o *orgCheck) describe(p space.Packet, where, port space.Dimension) string {
	address := space.Address(p[where])
	text := address.String()
	if p[space.Protocol] == tcp || p[space.Protocol] == udp {
		text += fmt.Sprintf(":%d", p[port])
	}
	for _, network := range o.entry.Request.PrivateNetworks {
		if network.Contains(address) {
			return fmt.Sprintf("%s (the private network %s of %s)", text, network, o.entry.Plan.Name)
		}
	}
	return fmt.Sprintf("%s (%s)", text, o.owner(address))
}

func protocolName(number uint32) string {
	for name, n := range map[string]uint32{"icmp": icmp, "tcp": tcp, "udp": udp, "esp": esp} {
		if n == number {
			return name
		}
	}
	return fmt.Sprintf("protocol %d", number)
}

// state spells out the other dimensions where they say something.
func state(p space.Packet) string {
	flow := map[uint32]string{
		space.New: "the first of its flow", space.Established: "of an established flow", space.Reply: "an answer",
		space.Related: "about another flow", space.RelatedReply: "about another flow", space.Invalid: "of no flow",
	}[p[space.Flow]]
	parts := []string{flow}
	if p[space.Arrived] == space.Yes || p[space.ArrivedBy] == space.Yes {
		parts = append(parts, "came out of the tunnel")
	}
	if p[space.Leaves] == space.Yes || p[space.LeavesBy] == space.Yes {
		parts = append(parts, "will leave through the tunnel")
	} else {
		parts = append(parts, "will leave unprotected")
	}
	if p[space.Realm] == uint32(egress.Realm) {
		parts = append(parts, "by the route to the gateway")
	}
	return strings.Join(parts, ", ")
}
