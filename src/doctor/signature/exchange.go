package signature

import (
	"net/netip"
	"regexp"
	"strings"
	"time"

	"go4.org/netipx"

	"privnet/connection"
	"privnet/ipsec/vici"
)

// exchange is what the lines on one IKE_SA have said so far.
type exchange struct {
	remote      netip.Addr
	ike         int
	begun, last time.Time
	// inPort is the endpoint's port of its last packet, outPort that of our last.
	inPort, outPort      string
	received, configured string
	method, local, id    string
	// parsed is the last kind of message understood, repeats how often it came again.
	parsed  string
	repeats int
	// transport says that its last message asks for transport mode.
	transport   bool
	established time.Time
	children    int
	failed      bool
	// renewed says that another IKE_SA has taken its place.
	renewed bool
	// subject is of the certificate that the endpoint sent, refusal why it is refused.
	subject string
	refusal *Finding
}

func proposals(r *Reader, x *exchange, _ map[string]string) []Finding {
	phase1 := strings.HasPrefix(x.received, "IKE:")
	inAuth := x.ike == 2 && x.parsed == "IKE_AUTH"
	if strings.HasPrefix(x.received, "AH:") {
		return []Finding{{Parameter: ESPMode, Got: "AH", Want: "ESP", Meaning: "the endpoint asks for AH, which encrypts nothing"}}
	}
	return named(difference(parseProposals(x.received), parseProposals(x.configured), inAuth), phase1)
}

func selectors(r *Reader, x *exchange, match map[string]string) []Finding {
	ours, theirs := parseSelectors(match["ours"]), parseSelectors(match["theirs"])
	// IKEv1 does not say so in clear, but only then an endpoint asks for the two devices' own addresses.
	devices := isHost(ours, r.Expect.Gateway) && isHost(theirs, x.remote)
	if x.transport || devices {
		return []Finding{{Parameter: ESPMode, Got: "transport", Want: "tunnel", Meaning: "the endpoint asks for transport mode, in which the two devices talk and no networks behind them"}}
	}
	return r.Expect.Compare(ours, theirs)
}

// isHost says whether selectors are one address alone.
func isHost(selectors []vici.Selector, address netip.Addr) bool {
	return len(selectors) == 1 && selectors[0].Range == netipx.IPRangeFrom(address, address)
}

// noConfig is charon's answer to a peer for which it has no connection: of another address, or version.
func noConfig(r *Reader, x *exchange, match map[string]string) []Finding {
	remote := match["remote"]
	address, err := netip.ParseAddr(remote)
	if err != nil {
		return nil
	}
	if _, declared := r.Expect.endpoint(address); !declared {
		var want []string
		for _, e := range r.Expect.Endpoints {
			want = append(want, e.Address.String())
		}
		return []Finding{{
			Parameter: SourceAddress, Got: remote, Want: strings.Join(want, " or "),
			Meaning: "IKE packets come from an address that was not declared; if it is the customer's, the endpoint sends from another address than agreed",
		}}
	}
	other := x.ike != 0 && r.Expect.IKE != connection.IKEAuto && string(r.Expect.IKE) != string(rune('0'+x.ike))
	if other {
		return []Finding{{
			Parameter: IKEVersion, Got: "IKEv" + string(rune('0'+x.ike)), Want: "IKEv" + string(r.Expect.IKE),
			Meaning: "the endpoint speaks another version of IKE than was agreed",
		}}
	}
	return []Finding{{
		Parameter: GatewayConnection, Side: Platform, Got: match["local"] + " from " + remote,
		Meaning: "charon holds no connection for this endpoint and address",
	}}
}

var (
	addressID = regexp.MustCompile(`^\d+\.\d+\.\d+\.\d+$|^[0-9a-fA-F]*:[0-9a-fA-F:.]+$`)
	userID    = regexp.MustCompile(`^[^@\s]+@\S+$`)
	dnID      = regexp.MustCompile(`^[A-Za-z]+=.+`)
	fqdnID    = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)+\.?$`)
)

// IdentityType is the type of an identity as an admin screen calls it. charon prints the text alone: a key
// id without an @ or a dot cannot be told from a host name.
func IdentityType(id string) string {
	switch {
	case strings.HasPrefix(id, "keyid:"):
		return "key id"
	case addressID.MatchString(id):
		return "IP address"
	case dnID.MatchString(id):
		return "distinguished name"
	case userID.MatchString(id):
		return "user FQDN (e-mail)"
	case fqdnID.MatchString(id):
		return "FQDN"
	}
	return "key id or host name"
}

// method is the failure of an endpoint that authenticates in another way than was agreed.
func method(r *Reader, _ *exchange, match map[string]string) []Finding {
	want := "pre-shared key"
	if r.Expect.Certificates {
		want = "certificate"
	}
	return []Finding{{Parameter: AuthMethod, Got: match["method"], Want: want, Meaning: otherMethod}}
}

func identities(r *Reader, x *exchange, _ map[string]string) []Finding {
	// With IKEv2 the method is not known when a peer is looked for.
	if byKey := x.method == "pre-shared key"; x.method != "" && byKey == r.Expect.Certificates {
		return method(r, x, map[string]string{"method": x.method})
	}
	if x.local != "" && x.local != "%any" && x.local != r.Expect.Gateway.String() {
		return []Finding{{
			Parameter: PeerIdentity, Got: x.local, Want: r.Expect.Gateway.String(),
			Meaning: "the endpoint expects another identity of the gateway (peer or remote id)",
		}}
	}
	endpoint, declared := r.Expect.endpoint(x.remote)
	if !declared {
		return nil
	}
	want := strings.TrimPrefix(endpoint.ID, "keyid:")
	right := IdentityType(endpoint.ID) + " " + want
	switch {
	case x.id == want && x.ike == 2 && x.local == r.Expect.Gateway.String():
		return []Finding{{
			Parameter: OwnIdentityType, Got: want + " for itself and " + x.local + " for the gateway", Want: right + " and IP address " + x.local,
			Meaning: "both identities that the endpoint names read as agreed, and one of them is of another type: its own, or the one that it expects of the gateway",
		}}
	case x.id == want:
		return []Finding{{
			Parameter: OwnIdentityType, Got: want + " as another type", Want: right,
			Meaning: "the endpoint presents an identity that reads as agreed and is of another type",
		}}
	case IdentityType(x.id) != IdentityType(endpoint.ID):
		return []Finding{{Parameter: OwnIdentityType, Got: IdentityType(x.id) + " " + x.id, Want: right}}
	}
	return []Finding{{Parameter: OwnIdentityValue, Got: IdentityType(x.id) + " " + x.id, Want: right}}
}

// brokenOff is of an endpoint that ends phase 1 before it is encrypted, and says why. charon ignores that, as
// anybody could have sent it.
func brokenOff(r *Reader, x *exchange, match map[string]string) []Finding {
	switch {
	case !x.established.IsZero():
		return nil
	case match["notify"] == "INVAL_KE" && !r.Expect.Certificates:
		return []Finding{{Parameter: PreSharedKey, Got: "none", Meaning: "the endpoint breaks off where it needs the key: it holds none for this gateway's address or identity"}}
	}
	return []Finding{{Parameter: Refusal, Got: match["notify"], Meaning: "the endpoint does not take the gateway's answer in phase 1 and breaks off; its own log says why"}}
}
