// Package templates_test renders every job of the release as a director would and looks at the result.
package templates_test

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/lab/compile"
	"privnet/lab/manifest"
	"privnet/lab/template"
)

func TestTemplates(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "templates")
}

// jobNames are the directories of jobs/, known before any spec runs.
var jobNames = func() []string {
	entries, err := os.ReadDir("../../jobs")
	if err != nil {
		panic(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}()

func readJob(name string) compile.Job {
	GinkgoHelper()
	dir, err := filepath.Abs(filepath.Join("../../jobs", name))
	Expect(err).NotTo(HaveOccurred())
	job, err := compile.ReadJob(dir)
	Expect(err).NotTo(HaveOccurred())
	return job
}

// examples are the job's properties as its spec's examples give them, with changes by dotted name. A
// change to nil takes the property away.
func examples(job compile.Job, changes map[string]any) map[string]any {
	out := map[string]any{}
	set := func(name string, value any) {
		at := out
		parts := strings.Split(name, ".")
		for _, part := range parts[:len(parts)-1] {
			if at[part] == nil {
				at[part] = map[string]any{}
			}
			at = at[part].(map[string]any)
		}
		at[parts[len(parts)-1]] = value
	}
	for name, property := range job.Properties {
		set(name, property.Example)
	}
	for name, value := range changes {
		set(name, value)
	}
	return out
}

// place is a way in which a job is deployed.
type place struct {
	job string
	// changes are its properties that differ from the examples, by dotted name.
	changes map[string]any
	// address is the instance's; others are those that it has on further networks.
	address string
	others  []string
	// linked says whether it consumes the link.
	linked bool
}

// places are all ways in which this release's jobs are deployed, by job and role.
var places = map[string]place{
	// Proposals and policy, certificates and keys, and waivers and FIPS exclude each other.
	"ipsec-gateway": {job: "ipsec-gateway", changes: map[string]any{
		"psk_a": goodKey, "psk_b": otherKey, "proposals": nil, "certificate": nil, "endpoint_ca": nil, "endpoint_crl": nil, "fips": false,
	}, address: gatewayAddress},
	"egress-enforcer/gateway":     {job: "egress-enforcer", changes: map[string]any{"role": "gateway"}, address: gatewayAddress, linked: true},
	"egress-enforcer/cell":        {job: "egress-enforcer", changes: map[string]any{"role": "cell"}, address: cellAddress, linked: true},
	"egress-enforcer/shared-cell": {job: "egress-enforcer", changes: map[string]any{"role": "shared-cell"}, address: "10.0.16.9"},
	"egress-decommission":         {job: "egress-decommission", address: gatewayAddress},
	"private-dns":                 {job: "private-dns", address: cellAddress},
	"tunnel-doctor/gateway":       {job: "tunnel-doctor", changes: map[string]any{"role": "gateway"}, address: gatewayAddress, linked: true},
	"tunnel-doctor/cell":          {job: "tunnel-doctor", changes: map[string]any{"role": "cell"}, address: cellAddress, linked: true},
	"tunnel-prober/gateway":       {job: "tunnel-prober", changes: map[string]any{"role": "gateway"}, address: gatewayAddress, linked: true},
	"tunnel-prober/cell":          {job: "tunnel-prober", changes: map[string]any{"role": "cell"}, address: cellAddress, linked: true},
	"org-isolation":               {job: "org-isolation", changes: map[string]any{"api_ca_certificate": nil, "client_secret": clientSecret}, address: "10.0.16.10", linked: true},
}

const (
	gatewayAddress = "10.20.0.4" // as in the examples of the gateway's spec
	cellAddress    = "10.20.0.16"
	goodKey        = "a.key.of.more.than.32.characters.A"
	otherKey       = "a.key.of.more.than.32.characters.B"
	clientSecret   = "the secret of a UAA client"
)

// render renders the job of a place, next to a gateway whose properties are the examples but for changes.
func render(name string, gatewayChanges map[string]any) (map[string]string, error) {
	GinkgoHelper()
	p, ok := places[name]
	Expect(ok).To(BeTrue(), name)
	return renderWith(p, gatewayChanges)
}

func renderWith(p place, gatewayChanges map[string]any) (map[string]string, error) {
	GinkgoHelper()
	job, gateway := readJob(p.job), readJob("ipsec-gateway")
	changes := maps.Clone(p.changes)
	if p.job == gateway.Name {
		maps.Copy(changes, gatewayChanges)
	}
	placement := manifest.JobPlacement{
		Name: p.job, Release: "private-network", Properties: job.Values(examples(job, changes)),
	}
	if p.linked {
		Expect(gateway.Provides).To(HaveLen(1))
		placement.Links = map[string]manifest.Link{gateway.Provides[0].Name: {
			Properties: gateway.Provides[0].Pick(gateway.Values(examples(gateway, gatewayChanges))),
			Instances: []manifest.LinkInstance{{
				Name: "vpn-gateway-agency-a", ID: "2d6e", AZ: "z1", Address: gatewayAddress, Bootstrap: true,
			}},
		}}
	}
	address := netip.MustParseAddr(p.address)
	networks := map[string]netip.Addr{"private-network-agency-a": address}
	for _, other := range p.others {
		networks["other-"+other] = netip.MustParseAddr(other)
	}
	files, err := template.Render(context.Background(), job, manifest.Instance{
		Deployment: "cf", Group: "group", ID: "f00d", AZ: "z1", Address: address, Networks: networks,
	}, placement)
	out := map[string]string{}
	for path, content := range files {
		out[path] = string(content)
	}
	return out, err
}
