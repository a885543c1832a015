package connection

import (
	"net/netip"
	"regexp"
	"strings"

	"privnet/document"
)

// IKE is the version of the protocol that the endpoint speaks.
type IKE string

const (
	IKEv1 IKE = "1"
	IKEv2 IKE = "2"
	// IKEAuto accepts either, for moving an endpoint from IKEv1 to IKEv2 without downtime.
	IKEAuto IKE = "auto"
)

// MaxApps is the number of apps up to which a request is believed.
const MaxApps = 10000

// MaxNameLength is the number of characters that a normalised org name may have: the names made of
// it, such as isolated-diego-cell-<org>, must still be DNS labels (63 characters, RFC 1035).
const MaxNameLength = 40

// Request is what the customer sent.
type Request struct {
	// Org is the Cloud Foundry organisation's name as the customer wrote it.
	Org string
	// Name is Org as a DNS label, see Normalise.
	Name            string
	Endpoint        Endpoint
	PrivateNetworks []netip.Prefix
	// Apps is about how many app instances will run.
	Apps int
	IKE  IKE
	// Policy is the name of a crypto policy preset; empty means the default of the IKE version.
	Policy  string
	Allow   []Flow
	Inbound []Flow
	Probes  []Target
	DNS     []Domain
	// PathMTU is the MTU in bytes between gateway and endpoint.
	PathMTU int
	PSK     PSK
}

// PSK says which of the org's pre-shared keys count. Each generation is a key of its own, which is made
// once and never again: so that no key changes but by a changed request.
type PSK struct {
	// Generation is the key that the endpoint has, from 1.
	Generation int
	// Next says that the key of the generation after it counts as well, while the customer changes it.
	Next bool
}

// MaxGeneration is the number of keys that a connection has in its life.
const MaxGeneration = 10000

// Domain is a private DNS domain and the servers that answer for it.
type Domain struct {
	Domain  string
	Servers []netip.Addr
}

// Policies are the names of the crypto policy presets.
var Policies = []string{"compatible", "modern", "quantum-safe"}

var (
	namePattern   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]*[a-z0-9])?$`)
	domainPattern = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.?$`)
)

// Normalise turns an org's name into a DNS label: lower case, with a hyphen for each run of spaces,
// dots and underscores. The result is not checked.
func Normalise(org string) string {
	fields := strings.FieldsFunc(strings.ToLower(org), func(r rune) bool {
		return r == ' ' || r == '_' || r == '.' || r == '\t'
	})
	return strings.Join(fields, "-")
}

// ParseRequest reads a request file. The error is document.Problems with everything that is wrong.
func ParseRequest(file string, data []byte) (Request, error) {
	doc, err := document.Parse(file, data)
	if err != nil {
		return Request{}, err
	}
	r := ReadRequest(doc.Root())
	if err := doc.Err(); err != nil {
		return Request{}, err
	}
	return r, nil
}

// ReadRequest reads a request; problems are recorded in the value's document.
func ReadRequest(v document.Value) Request {
	if !v.Fields("org", "endpoint", "private_networks", "apps", "ike", "policy", "allow", "inbound", "probes", "dns", "path_mtu", "psk") {
		return Request{}
	}
	r := Request{
		Org:     v.Get("org").Text(),
		Name:    readName(v.Get("org")),
		Apps:    v.Get("apps").Int(1, MaxApps),
		IKE:     IKE(v.Get("ike").OneOf(string(IKEv2), string(IKEv1), string(IKEv2), string(IKEAuto))),
		Policy:  v.Get("policy").OneOf("", Policies...),
		Allow:   readFlows(v.Get("allow")),
		Inbound: readInbound(v.Get("inbound")),
	}
	if r.PathMTU = v.Get("path_mtu").Int(MinPathMTU, MaxPathMTU); r.PathMTU == 0 {
		r.PathMTU = DefaultPathMTU
	}
	r.PSK = readPSK(v.Get("psk"))
	v.Get("apps").Required("about how many app instances will run")
	if endpoint := v.Get("endpoint"); endpoint.Present() {
		r.Endpoint, _ = readEndpoint(endpoint)
	} else {
		endpoint.Problem("is missing; give the endpoint's address and device")
	}
	r.PrivateNetworks = readNetworks(v.Get("private_networks"), "the CIDRs of the customer's private network")
	r.Probes = ReadTargets(v.Get("probes"), r.PrivateNetworks)
	r.DNS = readDomains(v.Get("dns"), r.PrivateNetworks)
	if r.IKE == IKEv1 && (r.Policy == "modern" || r.Policy == "quantum-safe") {
		v.Get("policy").Problem("needs IKEv2; use ike: 2, or policy: compatible")
	}
	return r
}

func readPSK(v document.Value) PSK {
	if !v.Present() || !v.Fields("generation", "next") {
		return PSK{Generation: 1}
	}
	return PSK{Generation: max(v.Get("generation").Int(1, MaxGeneration), 1), Next: v.Get("next").Bool()}
}

// readName reads an org's name and gives it back as a DNS label.
func readName(v document.Value) string {
	org := v.Required("the name of the Cloud Foundry org")
	if org == "" {
		return ""
	}
	name := Normalise(org)
	switch {
	case !namePattern.MatchString(name):
		v.Problem("makes the name %q, which is no DNS label; use letters, digits and hyphens (spaces, dots and underscores become hyphens)", name)
	case len(name) > MaxNameLength:
		v.Problem("is longer than %d characters; give a shorter name", MaxNameLength)
	default:
		return name
	}
	return ""
}

// ReadDomain reads a DNS domain, in lower case; the dot at its end may be there or not. Problems are recorded.
func ReadDomain(v document.Value) string {
	domain := strings.ToLower(v.Required("a DNS domain such as corp.example"))
	if domain != "" && (!domainPattern.MatchString(domain) || len(domain) > 253) {
		v.Problem("is no DNS domain; give one such as corp.example")
	}
	return domain
}

func readDomains(v document.Value, networks []netip.Prefix) []Domain {
	var out []Domain
	for _, element := range v.List() {
		if !element.Fields("domain", "servers") {
			continue
		}
		d := Domain{Domain: ReadDomain(element.Get("domain"))}
		for _, s := range element.Get("servers").RequiredList("the addresses of the domain's DNS servers") {
			address, ok := ReadAddress(s, "the address of a DNS server in a private network")
			if ok && !Contains(networks, address) {
				s.Problem("is in none of the private networks; give a server in one of them")
			}
			d.Servers = append(d.Servers, address)
		}
		out = append(out, d)
	}
	return out
}
