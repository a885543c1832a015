package egress

import (
	"net/netip"

	"privnet/connection"
)

// Family is an IP version.
type Family int

const (
	IPv4 Family = 4
	IPv6 Family = 6
)

// Hook is a place on a packet's way through the kernel, by the name of iptables' built-in chain.
type Hook string

const (
	Input       Hook = "INPUT"
	Forward     Hook = "FORWARD"
	Output      Hook = "OUTPUT"
	Postrouting Hook = "POSTROUTING"
)

// Chain is a list of rules, tried in order until one gives a verdict. At its end the packet returns to
// where it came from.
type Chain struct {
	Family Family
	// Name is at most 28 characters long, the limit of iptables.
	Name string
	// Hook is where every packet enters the chain, before any other rule of the table; a chain without one is
	// entered by Rule.Jump or Rule.Goto.
	Hook  Hook
	Rules []Rule
}

// Rule is a match and what happens to a packet that fits. Exactly one of Verdict, Jump, Goto and MSS is
// set.
type Rule struct {
	Match
	Verdict Verdict
	// Jump and Goto name a chain of the same family. From a Jump a packet returns to the next rule; from a
	// Goto to where this chain was entered.
	Jump, Goto string
	// MSS lowers the maximum segment size of a TCP handshake to this many bytes, and goes on with the next rule.
	MSS int
}

// Verdict ends a packet's way through a chain.
type Verdict string

const (
	// Return leaves the packet to the chain it came from, and in the end to the rules of others.
	Return Verdict = "RETURN"
	// Drop is final, whatever rules others have.
	Drop Verdict = "DROP"
)

// Match is a conjunction; the zero value of a field matches any packet.
type Match struct {
	// Sources and Destinations match an address in any of the networks. There may be thousands.
	Sources, Destinations []netip.Prefix
	// Protocol is tcp, udp, icmp or esp.
	Protocol string
	// SourcePorts and Ports need a protocol of tcp or udp.
	SourcePorts, Ports connection.PortRange
	// OriginalPorts is the destination port by which the flow's first packet came to this VM, before any
	// translation: a container's port is mapped from one of its cell's.
	OriginalPorts connection.PortRange
	Flow          Flow
	// NotRealm matches packets whose route carries another realm.
	NotRealm uint16
	Tunnel   Tunnel
	// Interface is the device of a tunnel whose data path is userland; see Tunnel.
	Interface string
}

// Flow is a packet's place in a tracked flow.
type Flow string

const (
	// FlowReply is a packet that answers.
	FlowReply Flow = "reply"
	// FlowOriginal is a packet in the direction of the one that opened the flow, that one included.
	FlowOriginal Flow = "original"
	// FlowRelated is a packet about another flow, such as an ICMP error.
	FlowRelated Flow = "related"
	// FlowTranslated is a packet of a flow whose source or destination this VM has changed. In iptables the
	// first packet of a flow whose source it will change is none yet.
	FlowTranslated Flow = "translated"
	// FlowStray is a TCP packet of a flow that is not known and that it does not open.
	FlowStray Flow = "stray"
)

// Tunnel says how a packet stands to IPsec. With Match.Interface it is a matter of the device: the packet
// came or will go through that one. Without, the kernel encrypts, and its policy decides.
type Tunnel string

const (
	// CameInside and CameOutside say whether the packet was protected when it arrived.
	CameInside  Tunnel = "came inside"
	CameOutside Tunnel = "came outside"
	// GoesOutside is a packet that will leave unprotected.
	GoesOutside Tunnel = "goes outside"
)
