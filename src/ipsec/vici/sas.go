package vici

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/strongswan/govici/vici"
	"go4.org/netipx"
)

// SA is one IKE_SA as charon lists it.
type SA struct {
	// Name is the name of its connection in charon.
	Name string
	// UniqueID is charon's number for it; numbers start again when charon does.
	UniqueID string
	// State is charon's word, as in CONNECTING or ESTABLISHED.
	State string
	// Version is 1 or 2.
	Version               int
	LocalHost, RemoteHost netip.Addr
	LocalPort, RemotePort uint16
	LocalID, RemoteID     string
	LocalSPI, RemoteSPI   string
	Initiator             bool
	LocalNAT, RemoteNAT   bool
	Algorithms            Algorithms
	// Established is how long ago the SA was established; 0 before.
	Established time.Duration
	Children    []Child
}

// IsEstablished says whether phase 1 is complete.
func (s SA) IsEstablished() bool {
	return s.State == "ESTABLISHED" || s.State == "REKEYING"
}

// Child is one CHILD_SA as charon lists it.
type Child struct {
	Name, UniqueID string
	// State is charon's word, as in INSTALLED.
	State string
	// Mode and Protocol are charon's words, as in TUNNEL and ESP.
	Mode, Protocol string
	// Encap says whether ESP travels in UDP.
	Encap         bool
	SPIIn, SPIOut string
	Algorithms    Algorithms
	// The counters are of this CHILD_SA alone: a rekeyed one starts at 0.
	BytesIn, PacketsIn, BytesOut, PacketsOut uint64
	// UsedIn and UsedOut are how long ago the last packet passed; negative if none did.
	UsedIn, UsedOut time.Duration
	// Installed is how long ago it was installed.
	Installed         time.Duration
	LocalTS, RemoteTS []Selector
}

// Carries says whether packets can pass: while its successor is negotiated a CHILD_SA still carries.
func (c Child) Carries() bool {
	return slices.Contains([]string{"INSTALLED", "UPDATING", "REKEYING"}, c.State)
}

// Algorithms is what was negotiated, in charon's words; what does not apply is empty.
type Algorithms struct {
	Encryption  string
	Integrity   string
	PRF         string
	KeyExchange string
}

// String is the algorithms as in AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384.
func (a Algorithms) String() string {
	parts := slices.DeleteFunc([]string{a.Encryption, a.Integrity, a.PRF, a.KeyExchange}, func(s string) bool { return s == "" })
	return strings.Join(parts, "/")
}

// Selector is one traffic selector.
type Selector struct {
	Range netipx.IPRange
	// Only is the protocol and port to which it is narrowed, in charon's words; empty means all.
	Only string
}

// String is the selector as charon writes it.
func (s Selector) String() string {
	text := s.Range.String()
	if prefix, ok := s.Range.Prefix(); ok {
		text = prefix.String()
	}
	if s.Only != "" {
		text += "[" + s.Only + "]"
	}
	return text
}

// ParseSelector reads a selector as charon writes it: 10.0.0.0/8, 10.0.0.1..10.0.0.9 or either with
// [protocol/port] behind.
func ParseSelector(text string) (Selector, error) {
	network, only, narrowed := strings.Cut(text, "[")
	if narrowed {
		var closed bool
		if only, closed = strings.CutSuffix(only, "]"); !closed || only == "" {
			return Selector{}, fmt.Errorf("reading selector %q: its [protocol/port] is not complete", text)
		}
	}
	if first, last, isRange := strings.Cut(network, ".."); isRange {
		r, err := netipx.ParseIPRange(first + "-" + last)
		if err != nil {
			return Selector{}, fmt.Errorf("reading selector %q: %w", text, err)
		}
		return Selector{Range: r, Only: only}, nil
	}
	if !strings.Contains(network, "/") {
		address, err := netip.ParseAddr(network)
		if err != nil || address.Zone() != "" {
			return Selector{}, fmt.Errorf("reading selector %q: it is no address, range or network", text)
		}
		return Selector{Range: netipx.IPRangeFrom(address, address), Only: only}, nil
	}
	prefix, err := netip.ParsePrefix(network)
	if err != nil {
		return Selector{}, fmt.Errorf("reading selector %q: %w", text, err)
	}
	return Selector{Range: netipx.RangeOfPrefix(prefix), Only: only}, nil
}

// listSAs asks charon for all its IKE_SAs, in the order of their names. After an error the session is of no
// further use.
func listSAs(ctx context.Context, s session) ([]SA, error) {
	messages, err := s.list(ctx, "list-sas", "list-sa", nil)
	if err != nil {
		return nil, fmt.Errorf("listing security associations: %w", err)
	}
	var out []SA
	for _, message := range messages {
		sas, err := readSAs(message)
		if err != nil {
			return nil, fmt.Errorf("listing security associations: %w", err)
		}
		out = append(out, sas...)
	}
	slices.SortStableFunc(out, func(a, b SA) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// readSAs reads the sections of a list-sa, ike-updown or child-updown message.
func readSAs(message *vici.Message) ([]SA, error) {
	var out []SA
	for _, name := range message.Keys() {
		section, ok := message.Get(name).(*vici.Message)
		if !ok {
			continue
		}
		sa, err := readSA(name, section)
		if err != nil {
			return nil, fmt.Errorf("reading IKE_SA %q: %w", name, err)
		}
		out = append(out, sa)
	}
	return out, nil
}

func readSA(name string, m *vici.Message) (SA, error) {
	r := reader{message: m}
	sa := SA{
		Name:        name,
		UniqueID:    r.text("uniqueid"),
		State:       r.text("state"),
		Version:     int(r.number("version")),
		LocalHost:   r.address("local-host"),
		RemoteHost:  r.address("remote-host"),
		LocalPort:   uint16(r.number("local-port")),
		RemotePort:  uint16(r.number("remote-port")),
		LocalID:     r.text("local-id"),
		RemoteID:    r.text("remote-id"),
		Initiator:   r.text("initiator") == "yes",
		LocalNAT:    r.text("nat-local") == "yes",
		RemoteNAT:   r.text("nat-remote") == "yes",
		Algorithms:  r.algorithms(),
		Established: r.seconds("established", 0),
	}
	sa.LocalSPI, sa.RemoteSPI = r.text("responder-spi"), r.text("initiator-spi")
	if sa.Initiator {
		sa.LocalSPI, sa.RemoteSPI = sa.RemoteSPI, sa.LocalSPI
	}
	if children, ok := m.Get("child-sas").(*vici.Message); ok {
		for _, key := range children.Keys() {
			section, ok := children.Get(key).(*vici.Message)
			if !ok {
				continue
			}
			// A rekey event holds the CHILD_SA before and after.
			if successor, ok := section.Get("new").(*vici.Message); ok {
				section = successor
			}
			child, err := readChild(section)
			if err != nil {
				return SA{}, fmt.Errorf("reading CHILD_SA %q: %w", key, err)
			}
			sa.Children = append(sa.Children, child)
		}
	}
	return sa, r.err
}

func readChild(m *vici.Message) (Child, error) {
	r := reader{message: m}
	child := Child{
		Name:       r.text("name"),
		UniqueID:   r.text("uniqueid"),
		State:      r.text("state"),
		Mode:       r.text("mode"),
		Protocol:   r.text("protocol"),
		Encap:      r.text("encap") == "yes",
		SPIIn:      r.text("spi-in"),
		SPIOut:     r.text("spi-out"),
		Algorithms: r.algorithms(),
		BytesIn:    r.number("bytes-in"),
		PacketsIn:  r.number("packets-in"),
		BytesOut:   r.number("bytes-out"),
		PacketsOut: r.number("packets-out"),
		UsedIn:     r.seconds("use-in", -1),
		UsedOut:    r.seconds("use-out", -1),
		Installed:  r.seconds("install-time", 0),
		LocalTS:    r.selectors("local-ts"),
		RemoteTS:   r.selectors("remote-ts"),
	}
	return child, r.err
}

// reader reads values of a message and keeps the first error.
type reader struct {
	message *vici.Message
	err     error
}

func (r *reader) text(key string) string {
	text, _ := r.message.Get(key).(string)
	return text
}

func (r *reader) keep(key string, err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("reading %s: %w", key, err)
	}
}

func (r *reader) number(key string) uint64 {
	text := r.text(key)
	if text == "" {
		return 0
	}
	number, err := strconv.ParseUint(text, 10, 64)
	r.keep(key, err)
	return number
}

func (r *reader) seconds(key string, absent time.Duration) time.Duration {
	if r.text(key) == "" {
		return absent
	}
	return time.Duration(r.number(key)) * time.Second
}

// address gives the zero address for %any, which charon writes before it knows the peer.
func (r *reader) address(key string) netip.Addr {
	text := r.text(key)
	if text == "" || strings.HasPrefix(text, "%any") {
		return netip.Addr{}
	}
	address, err := netip.ParseAddr(text)
	r.keep(key, err)
	return address
}

func (r *reader) algorithms() Algorithms {
	sized := func(name, size string) string {
		if bits := r.text(size); bits != "" && r.text(name) != "" {
			return r.text(name) + "-" + bits
		}
		return r.text(name)
	}
	return Algorithms{
		Encryption:  sized("encr-alg", "encr-keysize"),
		Integrity:   sized("integ-alg", "integ-keysize"),
		PRF:         r.text("prf-alg"),
		KeyExchange: r.text("dh-group"),
	}
}

func (r *reader) selectors(key string) []Selector {
	list, _ := r.message.Get(key).([]string)
	var out []Selector
	for _, text := range list {
		selector, err := ParseSelector(text)
		r.keep(key, err)
		if err == nil {
			out = append(out, selector)
		}
	}
	return out
}
