// Package handoff renders what the customer receives: the facts of the connection, the configuration of
// its endpoint, and how to deploy apps into the segment. It is pure and it knows no key: the page says
// that the key comes another way, and tells the operator how to read it.
package handoff

import (
	"embed"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"text/template"

	"privnet/connection"
	"privnet/ipsec"
)

// Key is what stands in a configuration where the pre-shared key belongs.
const Key = "PRE-SHARED-KEY"

// Facts are all that a page is made of.
type Facts struct {
	// Org is the org's name as a DNS label.
	Org             string
	Endpoint        connection.Endpoint
	PrivateNetworks []netip.Prefix
	IKE             connection.IKE
	// Policy is the crypto policy's name; empty means the default of the IKE version.
	Policy string
	// Inbound is what the private networks may open to the segment.
	Inbound []connection.Flow
	// DNS are the private domains that apps look up at the customer's servers.
	DNS []connection.Domain
	// Segment holds the subnets of the dedicated segment.
	Segment []netip.Prefix
	// Gateways are the public addresses of our gateways.
	Gateways        []netip.Addr
	EgressAddresses []netip.Addr
	// IsolationSegment is the name in Cloud Foundry, PSKVariable the one in the deployment's manifest.
	IsolationSegment, PSKVariable string
	// Deployment is the name of the BOSH deployment.
	Deployment string
}

//go:embed templates
var files embed.FS

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"join": func(list any) string {
		return strings.Join(strings.Fields(strings.Trim(fmt.Sprint(list), "[]")), ", ")
	},
	"words": func(list any) string { return strings.Trim(fmt.Sprint(list), "[]") },
	"inc":   func(i int) int { return i + 1 },
	"add":   func(a, b int) int { return a + b },
}).ParseFS(files, "templates/*.tmpl"))

// form is a configuration to paste into a kind of device.
type form struct {
	// device is the device's name for people.
	device string
	// policies are those whose algorithms the device has, in words that we know.
	policies []ipsec.Policy
}

// forms by device, one template each; the page's parameters are for all others.
var forms = map[string]form{
	"strongswan": {"strongSwan", []ipsec.Policy{ipsec.Compatible, ipsec.Modern, ipsec.QuantumSafe}},
	"libreswan":  {"Libreswan", []ipsec.Policy{ipsec.Compatible, ipsec.Modern}},
	"openswan":   {"Openswan", []ipsec.Policy{ipsec.Compatible}},
	"paloalto":   {"Palo Alto PAN-OS", []ipsec.Policy{ipsec.Compatible, ipsec.Modern}},
}

// page is what the templates see.
type page struct {
	Facts
	Suite Suite
	// Device is the device's name for people; empty if there is no form for it with these algorithms.
	Device string
	// Name names things in the customer's device; some take 31 characters.
	Name  string
	Pairs []connection.Pair
	Key   string
}

// Page is the hand-off as a Markdown page. The same facts give the same bytes.
func Page(f Facts) ([]byte, error) {
	p, err := newPage(f)
	if err != nil {
		return nil, err
	}
	text, err := p.execute("page.md")
	return []byte(text), err
}

// Form is the configuration alone that the page has for the endpoint's device, with Key in place of the
// key. It is empty if there is none for it with these algorithms.
func Form(f Facts) (string, error) {
	p, err := newPage(f)
	if err != nil || p.Device == "" {
		return "", err
	}
	return p.Form()
}

func newPage(f Facts) (page, error) {
	suite, err := Recommend(f.IKE, f.Policy)
	if err != nil {
		return page{}, err
	}
	p := page{
		Facts: f, Suite: suite, Name: shortName(f.Org), Key: Key,
		Pairs: connection.Connection{Segment: f.Segment, PrivateNetworks: f.PrivateNetworks}.Pairs(),
	}
	if form := forms[f.Endpoint.Device]; slices.Contains(form.policies, suite.Policy) {
		p.Device = form.device
	}
	return p, nil
}

// Form is the configuration for the endpoint's device.
func (p page) Form() (string, error) {
	text, err := p.execute(p.Endpoint.Device)
	return strings.TrimSpace(text) + "\n", err
}

func (p page) execute(name string) (string, error) {
	var out strings.Builder
	if err := pages.ExecuteTemplate(&out, name+".tmpl", p); err != nil {
		return "", fmt.Errorf("rendering the hand-off of %s: %w", p.Org, err)
	}
	return out.String(), nil
}

// IKEv1 says whether the recommended version is 1.
func (p page) IKEv1() bool { return p.Suite.Version == connection.IKEv1 }

// ID is the endpoint's identity without the prefix that marks a key id.
func (p page) ID() string { return strings.TrimPrefix(p.Endpoint.ID, "keyid:") }

// IDType is the type of the endpoint's identity, in the words of most devices.
func (p page) IDType() string {
	switch _, err := netip.ParseAddr(p.Endpoint.ID); {
	case err == nil:
		return "IPv4 address"
	case strings.HasPrefix(p.Endpoint.ID, "keyid:"):
		return "key ID"
	case strings.Contains(p.Endpoint.ID, "@"):
		return "user FQDN"
	default:
		return "FQDN"
	}
}

const maxDeviceName = 31

func shortName(org string) string {
	name := "pn-" + org
	return strings.TrimRight(name[:min(len(name), maxDeviceName-4)], "-")
}
