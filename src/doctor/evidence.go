package doctor

import (
	"net/netip"
	"time"

	"go4.org/netipx"

	"privnet/connection"
	"privnet/doctor/signature"
	"privnet/ipsec/vici"
	"privnet/probe/check"
	"privnet/probe/health"
)

// Role is what the VM is to the connection.
type Role string

const (
	Gateway Role = "gateway"
	Cell    Role = "cell"
)

// Evidence is all that was observed on one VM.
type Evidence struct {
	Role       Role
	Connection connection.Connection
	// Source is this VM's address in the segment.
	Source netip.Addr
	Now    time.Time
	// Configuration says what is wrong with the jobs' configuration; empty if nothing is.
	Configuration string
	// Services are the processes that must run here.
	Services    []Service
	Enforcement health.Enforcement
	Network     Network
	// Cell is nil on a gateway.
	Cell *CellEvidence
	// IKE is nil on a cell.
	IKE *IKE
	// Probes are the answers of the declared targets that this VM can ask.
	Probes []Probe
	// PathMTU is nil if nothing answered by which it could be measured.
	PathMTU *PathMTU
}

// Service is a process that must run.
type Service struct {
	Name string
	// Problem is empty if it answers.
	Problem string
}

// Network is what the kernel says of this VM's place in it.
type Network struct {
	// Addresses are the VM's own.
	Addresses []netip.Addr
	// Forwarding is the kernel's ip_forward.
	Forwarding bool
	// DefaultRoute says that there is one.
	DefaultRoute bool
	// Routes are, on a cell, the next hops to the private networks.
	Routes []Route
	// Problem says why the kernel could not be asked.
	Problem string
}

// Route is the way that the kernel would take to a private network.
type Route struct {
	PrivateNetwork netip.Prefix
	// NextHop is not valid if there is none.
	NextHop netip.Addr
	// Problem says that the kernel refuses.
	Problem string
	// Heard says that the next hop answers on the link.
	Heard bool
	// Seen is the router that names itself on the way: a gateway if one does, or else the first. It is not
	// valid if none does.
	Seen netip.Addr
}

// CellEvidence is what only a cell has.
type CellEvidence struct {
	// Tags are the placement tags of the rep; nil if there is none.
	Tags        []string
	TagsProblem string
	// Apps are the containers on the cell.
	Apps        []App
	AppsProblem string
	// Names are the answers of the private domains' servers.
	Names        []Name
	NamesProblem string
}

// App is a container and what its security groups let it open.
type App struct {
	Container string
	Open      []Range
}

// Range is from an address to another, both included.
type Range struct{ From, To netip.Addr }

// RangeOf is a network's.
func RangeOf(network netip.Prefix) Range {
	r := netipx.RangeOfPrefix(network)
	return Range{r.From(), r.To()}
}

// And is what both hold; it is not valid if that is nothing.
func (r Range) And(o Range) Range {
	if !r.overlaps(o) {
		return Range{}
	}
	if r.From.Less(o.From) {
		r.From = o.From
	}
	if o.To.Less(r.To) {
		r.To = o.To
	}
	return r
}

func (r Range) overlaps(o Range) bool {
	return r.From.IsValid() && r.To.IsValid() && o.From.IsValid() && o.To.IsValid() && r.From.Compare(o.To) <= 0 && o.From.Compare(r.To) <= 0
}

// Name is what asking for a private domain came to.
type Name struct {
	Domain string
	Server netip.Addr
	// Here says that the server is the cell's own resolver.
	Here bool
	// Problem is empty if it answers.
	Problem string
}

// IKE is what charon and the wire said.
type IKE struct {
	// Problem says why charon could not be asked; then SAs means nothing.
	Problem string
	// Missing is what charon does not hold of its configuration.
	Missing string
	// Certificates says that both sides prove themselves by certificates.
	Certificates bool
	SAs          []vici.SA
	// Before are the SAs before the probes were sent.
	Before []vici.SA
	// SPIs is the ESP on the wire while the probes were sent, by the tunnel's SPI as charon writes it; nil if it
	// could not be heard.
	SPIs map[string]Heard
	// Damaged counts the packets with ESP whose integrity check failed meanwhile.
	Damaged  int
	Contacts map[netip.Addr]signature.Contact
	Findings []signature.Finding
	// Unknown are charon's lines that no signature knows.
	Unknown []signature.Line
	// LogProblem says why charon's log could not be read.
	LogProblem string
	// Wire counts the endpoint's first packets of an exchange that reached the interface while it was
	// listened to, Stale its packets of a tunnel that stood before; Listened is for how long that was.
	Wire, Stale map[netip.Addr]int
	Listened    time.Duration
}

// Heard is what was heard of the ESP of one SPI.
type Heard struct {
	Packets int
	// Cut counts those that end 96 bits after a block of 16 bytes: with AES-CBC the length of the hash (RFC 4303).
	Cut int
}

// Probe is what asking a target came to.
type Probe struct {
	Pair   connection.Pair
	Name   string
	Result check.Result
}

// PathMTU is the size in bytes of the packets that pass inside the tunnel.
type PathMTU struct {
	Target netip.Addr
	// Passes is the largest that came back, Lost the smallest that did not though the kernel sent it; 0 if
	// none was lost.
	Passes, Lost int
}
