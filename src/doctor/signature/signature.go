// Package signature reads what charon logs as the responder and says which one parameter is wrong, on whose
// side, and what is right instead. Each signature is a row of data (rows.go); a Reader puts the lines of one
// exchange together, because the line that names the failure seldom holds its cause.
//
// It is pure: lines come in, findings come out, and time is in the lines. It reads logs because that is
// the only place: charon raises no alert for a mismatch of IKEv1, and those for IKEv2 carry neither proposals nor selectors.
//
// A log line holds what a stranger sent. Patterns are anchored at both ends, an identity in a line is
// believed only from the peer that the exchange is with, everything kept is bounded, and what no row
// knows is kept and shown, never swallowed.
package signature

import (
	"net/netip"
	"strings"
	"time"
	"unicode"

	"privnet/connection"
)

// Line is one line of charon's log.
type Line struct {
	Time time.Time
	// SA is charon's number of the IKE_SA that the line is about; empty if it is about none.
	SA string
	// Text is charon's message alone.
	Text string
}

// Expect is what was agreed with the customer: what the lines are compared with.
type Expect struct {
	// Gateway is the address that the endpoint connects to, and the gateway's identity.
	Gateway         netip.Addr
	Endpoints       []connection.Endpoint
	Segment         []netip.Prefix
	PrivateNetworks []netip.Prefix
	IKE             connection.IKE
	// Userland says that the gateway's ESP needs UDP around it: strongSwan's libipsec sends no other.
	Userland bool
	// Certificates says that both sides authenticate by certificate and not by pre-shared key.
	Certificates bool
}

// endpoint finds the declared endpoint with an address.
func (e Expect) endpoint(address netip.Addr) (connection.Endpoint, bool) {
	for _, endpoint := range e.Endpoints {
		if endpoint.Address == address {
			return endpoint, true
		}
	}
	return connection.Endpoint{}, false
}

// Parameter is one thing that somebody can set, in the words of the doctor's report.
type Parameter string

// The parameters that a signature can name.
const (
	Nothing           Parameter = ""
	IKEVersion        Parameter = "IKE version"
	ExchangeMode      Parameter = "exchange mode"
	SourceAddress     Parameter = "endpoint address"
	AuthMethod        Parameter = "authentication method"
	PreSharedKey      Parameter = "pre-shared key"
	OwnIdentityType   Parameter = "identity type"
	OwnIdentityValue  Parameter = "identity value"
	PeerIdentity      Parameter = "peer identity"
	IKEEncryption     Parameter = "phase 1 encryption"
	IKEHash           Parameter = "phase 1 hash"
	IKEPRF            Parameter = "phase 1 PRF"
	IKEGroup          Parameter = "phase 1 DH group"
	IKELifetime       Parameter = "phase 1 lifetime"
	ESPEncryption     Parameter = "phase 2 encryption"
	ESPHash           Parameter = "phase 2 hash"
	ESPGroup          Parameter = "phase 2 PFS group"
	ESPLifetime       Parameter = "phase 2 lifetime"
	ESPMode           Parameter = "phase 2 mode"
	ESPSequence       Parameter = "phase 2 extended sequence numbers"
	VirtualAddress    Parameter = "request for a virtual address"
	PrivateSelector   Parameter = "private network selector"
	SegmentSelector   Parameter = "segment selector"
	Selectors         Parameter = "selectors"
	AnswersOn500      Parameter = "UDP 500 from the gateway"
	RequestsOn4500    Parameter = "UDP 4500 to the gateway"
	AnswersOn4500     Parameter = "UDP 4500 from the gateway"
	LargePackets      Parameter = "large IKE packets to the gateway"
	Path              Parameter = "path to the endpoint"
	Retries           Parameter = "retries"
	Refusal           Parameter = "refusal by the endpoint"
	NATTraversal      Parameter = "NAT traversal"
	IdleTimeout       Parameter = "idle timeout"
	Certificate       Parameter = "certificate's end"
	Clock             Parameter = "clock"
	CertificateCA     Parameter = "certificate's CA"
	CertificateName   Parameter = "certificate's name"
	Revoked           Parameter = "revoked certificate"
	GatewayTrust      Parameter = "trust in the gateway's certificate"
	OneBox            Parameter = "one device for one identity"
	GatewayFirewall   Parameter = "firewall on the gateway"
	GatewayKey        Parameter = "key on the gateway"
	GatewayConnection Parameter = "connection on the gateway"
)

// Side is who has to change something.
type Side string

const (
	Customer Side = "customer"
	Platform Side = "platform"
	// Between is the way between both: mostly the firewall before the customer's endpoint.
	Between Side = "between"
)

// Finding is one parameter that a log says is wrong.
type Finding struct {
	// Signature is the row's name.
	Signature string     `json:"signature"`
	Time      time.Time  `json:"time"`
	Endpoint  netip.Addr `json:"endpoint"`
	// IKE is the version that the endpoint spoke, 1 or 2; 0 if the log does not tell.
	IKE       int       `json:"ike,omitempty"`
	Parameter Parameter `json:"parameter"`
	Side      Side      `json:"side"`
	// Got is what the endpoint sent, Want what is right; either may be empty.
	Got     string `json:"got,omitempty"`
	Want    string `json:"want,omitempty"`
	Meaning string `json:"meaning"`
	// Evidence is charon's line.
	Evidence string `json:"evidence"`
	// Warning says that the tunnel works all the same.
	Warning bool `json:"warning,omitempty"`
	// Count is how often it was seen.
	Count int `json:"count"`
	// Renewal says that the endpoint had a tunnel when it failed: what stands ends when its lifetime does.
	Renewal bool `json:"renewal,omitempty"`
	stage   stage
}

// stage is how far an exchange came. A success overtakes the failures of its stage and of those before.
type stage int

const (
	stageContact stage = iota
	stageProposal
	stageAuth
	stageEstablished
	stageChild
)

// maxLine is the number of bytes of a line that are looked at.
const maxLine = 16 << 10

// Clean makes text from strangers fit for a terminal: no control characters, no invalid UTF-8, not endless.
func Clean(text string) string {
	if len(text) > maxLine {
		text = text[:maxLine]
	}
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, "?")))
}
