package verify_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cppforlife/go-patch/patch"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	yaml2 "gopkg.in/yaml.v2"

	"privnet/connection"
	"privnet/document"
	"privnet/onboard/ledger"
	"privnet/onboard/manifest"
	"privnet/onboard/plan"
	"privnet/onboard/platform"
	"privnet/onboard/render"
	"privnet/verify"
	"privnet/verify/artefact"
	"privnet/verify/netfilter"
	"privnet/verify/space"
)

func TestVerify(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "verify")
}

const platformText = `iaas: vsphere
networks: [10.0.0.0/16]
segments: [{az: z1, cidr: 10.64.0.0/14}]
public_addresses: [203.0.112.0/21]
egress_addresses: [192.0.2.7]
gateway_address: nat
`

const baseManifest = `name: cf
instance_groups:
- name: diego-cell
  azs: [z1]
  instances: 3
  stemcell: default
  networks: [{name: default}]
  jobs:
  - {name: rep, release: diego, properties: {diego: {rep: {}}}}
- name: router
  azs: [z1]
  instances: 1
  stemcell: default
  networks: [{name: default, static_ips: ["10.0.1.7 - 10.0.1.9", ((router_ip))]}]
  jobs: []
releases: []
`

// requests are of several kinds; the customers' networks overlap one another's.
func request(i int) string {
	kinds := []string{
		"private_networks: [10.150.0.0/16, 172.30.8.0/22]\n",
		"private_networks: [10.150.0.0/16]\nike: 1\nallow: [{protocol: tcp, ports: \"443,8000-8080\"}, {protocol: icmp}]\n",
		"private_networks: [192.168.10.0/24, 172.16.0.0/13]\nike: auto\ninbound: [{protocol: tcp, ports: 61001}]\n",
		"private_networks: [198.51.0.0/16]\nallow: [{protocol: udp, ports: 53}]\ninbound: [{protocol: udp, ports: 5000-65535}]\n",
	}
	return fmt.Sprintf("org: org-%04d\nendpoint: {address: 198.51.100.%d, device: paloalto}\napps: 40\n%s", i, 1+i%250, kinds[i%len(kinds)])
}

// fixture is a platform with orgs, as the operator has it: a ledger and a manifest with every ops-file applied.
type fixture struct {
	platform platform.Platform
	entries  []ledger.Entry
	manifest string
}

// newFixture plans and renders the orgs of the requests by the product's own code.
func newFixture(dir string, requests ...string) (fixture, error) {
	p, err := platform.Parse("platform.yml", []byte(platformText))
	if err != nil {
		return fixture{}, err
	}
	base, err := manifest.Parse("cf.yml", []byte(baseManifest))
	if err != nil {
		return fixture{}, err
	}
	l, allocator := ledger.New(dir), plan.NewAllocator(p, nil)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fixture{}, err
	}
	guard, err := render.SharedCellGuard(p, base)
	if err != nil {
		return fixture{}, err
	}
	files := [][]byte{guard}
	for _, text := range requests {
		r, err := connection.ParseRequest("request.yml", []byte(text))
		if err != nil {
			return fixture{}, err
		}
		made, err := allocator.Allocate(r, nil)
		if err != nil {
			return fixture{}, err
		}
		changes, err := l.Changes(made.Name, []byte(text), made.YAML())
		if err != nil {
			return fixture{}, err
		}
		if err := l.Write(made.Name, changes); err != nil {
			return fixture{}, err
		}
		ops, err := render.Ops(render.Input{Request: r, Plan: made, Platform: p}, base)
		if err != nil {
			return fixture{}, err
		}
		files = append(files, ops)
	}
	entries, err := l.Entries(func(document.Value) {})
	if err != nil {
		return fixture{}, err
	}
	text, err := apply(baseManifest, files)
	return fixture{platform: p, entries: entries, manifest: text}, err
}

// apply interpolates the way that bosh does.
func apply(text string, files [][]byte) (string, error) {
	var ops patch.Ops
	for _, file := range files {
		var definitions []patch.OpDefinition
		if err := yaml2.Unmarshal(file, &definitions); err != nil {
			return "", err
		}
		some, err := patch.NewOpsFromDefinitions(definitions)
		if err != nil {
			return "", err
		}
		ops = append(ops, some...)
	}
	var doc any
	if err := yaml2.Unmarshal([]byte(text), &doc); err != nil {
		return "", err
	}
	out, err := ops.Apply(doc)
	if err != nil {
		return "", err
	}
	data, err := yaml2.Marshal(out)
	return string(data), err
}

// read reads the manifest into what is deployed.
func (f fixture) read() (verify.Input, error) {
	m, err := manifest.Parse("manifest.yml", []byte(f.manifest))
	if err != nil {
		return verify.Input{}, err
	}
	d, err := artefact.Read([]manifest.Manifest{m}, f.platform.CellGroup)
	return verify.Input{Platform: f.platform, Entries: f.entries, Deployment: d}, err
}

func orgs(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = request(i)
	}
	return out
}

// found are the findings as text, a line each, with who has them.
func found(r verify.Result) string {
	var b strings.Builder
	for _, f := range r.Platform {
		fmt.Fprintf(&b, "platform: %s: %s\n", f.Obligation, f.Sentence)
	}
	for _, org := range r.Orgs {
		for _, f := range org.Findings {
			fmt.Fprintf(&b, "%s: %s: %s\n", org.Name, f.Obligation, f.Sentence)
		}
	}
	return b.String()
}

func ledgerDir(dir string) string { return filepath.Join(dir, "orgs") }

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

// replace and remove edit a file: they fail where there is nothing to edit.
func replace(text *string, old, replacement string) {
	GinkgoHelper()
	Expect(*text).To(ContainSubstring(old))
	*text = strings.ReplaceAll(*text, old, replacement)
}

func remove(text *string, rule string) {
	GinkgoHelper()
	lines := strings.Split(*text, "\n")
	kept := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.HasPrefix(line, "-A "+rule) })
	Expect(kept).To(HaveLen(len(lines)-1), *text)
	*text = strings.Join(kept, "\n")
}

// samePackets says whether the same packets pass a host with the one rules and with the other.
func samePackets(one, other string) bool {
	GinkgoHelper()
	for _, hooks := range [][]string{{"FORWARD", "POSTROUTING"}, {"OUTPUT", "POSTROUTING"}, {"INPUT"}} {
		var passed []space.Region
		for _, text := range []string{one, other} {
			table, err := netfilter.Parse(text)
			Expect(err).NotTo(HaveOccurred())
			all := space.Everything()
			for _, hook := range hooks {
				all = table.Passes(hook, all)
			}
			passed = append(passed, all)
		}
		if len(passed[0].Minus(passed[1]))+len(passed[1].Minus(passed[0])) > 0 {
			return false
		}
	}
	return true
}
