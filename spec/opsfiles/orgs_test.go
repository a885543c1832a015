package opsfiles_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"gopkg.in/yaml.v2"

	"privnet/onboard/cli"
)

var rowPattern = regexp.MustCompile("(?m)^\\| \\[`([^`]+)`\\]\\(([^)]+)\\) \\|")

const platformFile = `iaas: vsphere
networks: [10.0.0.0/16]
segments: [{az: z1, cidr: 10.20.0.0/20}]
public_addresses: [203.0.113.10-203.0.113.20]
public_network: public
`

// onboard plans the orgs and renders them from a manifest; it returns their ops-files and the guard.
func onboard(manifest []byte, orgs ...string) (ops [][]byte, guard []byte) {
	GinkgoHelper()
	dir := rendered(manifest, platformFile, orgs...)
	for _, org := range orgs {
		ops = append(ops, read(dir, org, "ops.yml"))
	}
	return ops, read(dir, "shared-cell-guard.yml")
}

// rendered is the directory of what is rendered for the orgs.
func rendered(manifest []byte, platform string, orgs ...string) string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	path := func(name ...string) string { return filepath.Join(append([]string{dir}, name...)...) }
	write := func(name string, data []byte) {
		Expect(os.WriteFile(path(name), data, 0o644)).To(Succeed())
	}
	run := func(args ...string) {
		var stderr bytes.Buffer
		Expect(cli.Run(args, strings.NewReader(""), io.Discard, &stderr)).To(Equal(0), stderr.String())
	}
	write("platform.yml", []byte(platform))
	write("cf.yml", manifest)
	for _, org := range orgs {
		// Two customers may have the same private networks, and even the same endpoint.
		write("request.yml", fmt.Appendf(nil, `org: %s
endpoint: {address: 198.51.100.10, device: paloalto}
private_networks: [10.150.0.0/16]
apps: 20
`, org))
		run("plan", "--request", path("request.yml"), "--platform", path("platform.yml"), "--orgs", path("orgs"))
	}
	run("render", "--all", "--shared-cell-guard", "--platform", path("platform.yml"), "--manifest", path("cf.yml"),
		"--orgs", path("orgs"), "--out", path("rendered"))
	return path("rendered")
}

// expectExplicitLinks checks that whatever our jobs may consume has one named provider, or nil, and that
// they are given only properties that they have, and none with its default value. What is consumed from
// another deployment must be shared there, by one of the others.
func expectExplicitLinks(manifest []byte, others ...[]byte) {
	GinkgoHelper()
	m := parse(manifest)
	providers := map[string]int{}
	for i, one := range append([][]byte{manifest}, others...) {
		deployment := ""
		if i > 0 {
			deployment = parse(one)["name"].(string) + "/"
		}
		for _, group := range named(parse(one), "instance_groups") {
			for _, job := range named(group, "jobs") {
				provides, _ := job["provides"].(mapping)
				for _, link := range provides {
					if link, ok := link.(mapping); ok && link["as"] != nil && (i == 0 || link["shared"] == true) {
						providers[deployment+link["as"].(string)]++
					}
				}
			}
		}
	}
	ours := 0
	for _, group := range named(m, "instance_groups") {
		for name, job := range named(group, "jobs") {
			if job["release"] != "private-network" {
				continue
			}
			ours++
			var spec struct {
				Consumes   []struct{ Name string }
				Properties map[string]struct{ Default interface{} }
			}
			Expect(yaml.Unmarshal(read(root, "jobs", name, "spec"), &spec)).To(Succeed())
			properties, _ := job["properties"].(mapping)
			for property, value := range properties {
				where := fmt.Sprintf("%s/%s has %s", group["name"], name, property)
				Expect(spec.Properties).To(HaveKey(property), where)
				Expect(value).NotTo(Equal(spec.Properties[property.(string)].Default), where)
			}
			consumes, _ := job["consumes"].(mapping)
			for _, link := range spec.Consumes {
				where := fmt.Sprintf("%s/%s consumes %s", group["name"], name, link.Name)
				Expect(consumes).To(HaveKey(link.Name), where)
				if consumes[link.Name] == "nil" {
					continue
				}
				provider := consumes[link.Name].(mapping)
				from := provider["from"].(string)
				if deployment := provider["deployment"]; deployment != nil {
					from = deployment.(string) + "/" + from
				}
				Expect(providers).To(HaveKeyWithValue(from, 1), where)
			}
		}
	}
	Expect(ours).NotTo(BeZero())
}

// cellLinks are the links that more than one group of cells provides, and the jobs that consume them.
var cellLinks = map[string]struct{ provides, consumes []string }{
	"garden":             {provides: []string{"iptables"}},
	"vxlan-policy-agent": {provides: []string{"vpa"}, consumes: []string{"iptables", "cni_config"}},
	"silk-cni":           {provides: []string{"cni_config"}, consumes: []string{"vpa"}},
	"silk-daemon":        {consumes: []string{"iptables", "vpa"}},
}

// expectCellLinks checks that no cell, dedicated or shared, finds a link by its type alone.
func expectCellLinks(manifest []byte) {
	GinkgoHelper()
	for _, group := range named(parse(manifest), "instance_groups") {
		for name, job := range named(group, "jobs") {
			provides, _ := job["provides"].(mapping)
			consumes, _ := job["consumes"].(mapping)
			for _, link := range cellLinks[name].provides {
				where := fmt.Sprintf("%s/%s provides %s", group["name"], name, link)
				Expect(provides).To(HaveKey(link), where)
				if provides[link] != "nil" {
					Expect(provides[link]).To(HaveKey("as"), where)
				}
			}
			for _, link := range cellLinks[name].consumes {
				where := fmt.Sprintf("%s/%s consumes %s", group["name"], name, link)
				Expect(consumes).To(HaveKey(link), where)
				Expect(consumes[link]).To(HaveKey("from"), where)
			}
		}
	}
}

// without is a manifest without an org's groups and variables.
func without(manifest []byte, org string) mapping {
	m := parse(manifest)
	for _, key := range []string{"instance_groups", "variables"} {
		var kept []interface{}
		for _, element := range m[key].([]interface{}) {
			name := element.(mapping)["name"].(string)
			if !strings.HasSuffix(name, "-"+org) && !strings.HasPrefix(name, "private-network-"+org+"-") {
				kept = append(kept, element)
			}
		}
		m[key] = kept
	}
	return m
}

var _ = Describe("The worked example of the documentation", func() {
	It("with all optional fields is a request that can be planned and rendered", func() {
		var request []byte
		for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(read(root, "docs", "requests.md"), -1) {
			request = append(request, block[1]...)
		}
		dir := GinkgoT().TempDir()
		file := filepath.Join(dir, "request.yml")
		Expect(os.WriteFile(file, request, 0o644)).To(Succeed())
		var stderr bytes.Buffer
		run := func(args ...string) {
			Expect(cli.Run(append(args, "--platform", filepath.Join(root, "docs", "examples", "platform.yml"), "--orgs", filepath.Join(dir, "orgs")),
				strings.NewReader(""), io.Discard, &stderr)).To(Equal(0), stderr.String())
		}
		run("plan", "--request", file)
		manifest := read(cfDeployment(), "cf-deployment.yml")
		Expect(os.WriteFile(filepath.Join(dir, "cf.yml"), manifest, 0o644)).To(Succeed())
		run("render", "--all", "--manifest", filepath.Join(dir, "cf.yml"), "--out", filepath.Join(dir, "rendered"))
		out := interpolate(manifest, nil, read(dir, "rendered", "agency-a", "ops.yml"))
		expectExplicitLinks(out)
		Expect(named(named(parse(out), "instance_groups")["isolated-diego-cell-agency-a"], "jobs")).To(HaveKey("private-dns"))
	})

	It("is planned and rendered for cf-deployment", func() {
		examples, cf := filepath.Join(root, "docs", "examples"), cfDeployment()
		dir := GinkgoT().TempDir()
		var stderr bytes.Buffer
		run := func(args ...string) {
			Expect(cli.Run(append(args, "--platform", filepath.Join(examples, "platform.yml"), "--orgs", filepath.Join(dir, "orgs")),
				strings.NewReader(""), io.Discard, &stderr)).To(Equal(0), stderr.String())
		}
		run("plan", "--request", filepath.Join(examples, "request.yml"))
		run("render", "--all", "--manifest", filepath.Join(cf, "cf-deployment.yml"), "--out", filepath.Join(dir, "rendered"))
		out := interpolate(read(cf, "cf-deployment.yml"), nil, read(dir, "rendered", "agency-a", "ops.yml"))
		Expect(named(parse(out), "instance_groups")["isolated-diego-cell-agency-a"]["instances"]).To(Equal(4))
	})
})

// withOperations are the combinations of cf-deployment's own ops-files with which ours are tried.
var withOperations = []TableEntry{
	Entry("as it is"),
	Entry("with an isolation segment", "add-persistent-isolation-segment-diego-cell.yml", "add-persistent-isolation-segment-router.yml"),
	Entry("in one AZ", "scale-to-one-az.yml"),
	Entry("under other names", "rename-network-and-deployment.yml"),
	Entry("with compiled releases", "use-compiled-releases.yml"),
	Entry("with all of these", "scale-to-one-az.yml", "add-persistent-isolation-segment-diego-cell.yml",
		"use-compiled-releases.yml", "set-router-static-ips.yml"),
}

// cfManifest is cf-deployment after some of its own ops-files.
func cfManifest(operations ...string) []byte {
	GinkgoHelper()
	dir := cfDeployment()
	var files [][]byte
	for _, name := range operations {
		files = append(files, read(dir, "operations", name))
	}
	return interpolate(read(dir, "cf-deployment.yml"), map[string]any{"network_name": "other", "deployment_name": "other"}, files...)
}

var _ = Describe("Two orgs in cf-deployment", func() {
	DescribeTable("meet no link but their own, leave no variable of ours open, and may be applied in any order and twice",
		func(operations ...string) {
			manifest := cfManifest(operations...)
			ops, guard := onboard(manifest, "agency-a", "agency-b")
			out := interpolate(manifest, nil, ops[0], ops[1], guard)
			expectExplicitLinks(out)
			expectCellLinks(out)
			Expect(unresolved(out)).To(Equal(unresolved(manifest)))
			Expect(interpolate(manifest, nil, ops[0], ops[1], guard, ops[1], guard, ops[0])).To(Equal(out))

			other := interpolate(manifest, nil, guard, ops[1], ops[0])
			for _, key := range []string{"instance_groups", "variables", "releases"} {
				Expect(named(parse(other), key)).To(Equal(named(parse(out), key)))
			}
			again, _ := onboard(out, "agency-a", "agency-b")
			Expect(interpolate(manifest, nil, again[0], again[1], guard)).To(Equal(out))
		}, withOperations)

	It("change nothing for each other: the second adds its own groups and variables only", func() {
		manifest := cfManifest()
		ops, _ := onboard(manifest, "agency-a", "agency-b")
		one, two := interpolate(manifest, nil, ops[0]), interpolate(manifest, nil, ops[0], ops[1])
		Expect(without(two, "agency-b")).To(Equal(parse(one)))
		alone, _ := onboard(manifest, "agency-a")
		Expect(alone[0]).To(Equal(ops[0]))
	})

	It("leave bosh no variable of theirs to ask for: it makes the key, and a certificate of the platform's CA", func() {
		bosh, err := filepath.Abs(filepath.Join(root, "bin", "bosh"))
		Expect(err).NotTo(HaveOccurred())
		if _, err := os.Stat(bosh); err != nil {
			Skip("NO BOSH: scripts/build makes bin/bosh")
		}
		manifest := cfManifest()
		ops, _ := onboard(manifest, "agency-a")
		// Of the platform's own variables only the CA, since making all of them takes half a minute.
		out := parse(interpolate(manifest, nil, ops[0]))
		var kept []interface{}
		for _, definition := range out["variables"].([]interface{}) {
			name := definition.(mapping)["name"].(string)
			if name == "service_cf_internal_ca" || strings.HasPrefix(name, "private-network-agency-a-") {
				kept = append(kept, definition)
			}
		}
		Expect(kept).To(HaveLen(3))
		out["variables"] = kept
		dir := GinkgoT().TempDir()
		reduced, err := yaml.Marshal(out)
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(filepath.Join(dir, "cf.yml"), reduced, 0o600)).To(Succeed())

		command := exec.Command(bosh, "int", "cf.yml", "--vars-store", "vars.yml", "--var-errs")
		command.Dir = dir
		said, err := command.CombinedOutput()
		Expect(err).To(HaveOccurred(), "it asks for the platform's own variables")
		Expect(string(said)).To(And(ContainSubstring("system_domain"), Not(ContainSubstring("private-network"))))
		made := parse(read(dir, "vars.yml"))
		Expect(made["private-network-agency-a-psk"]).To(MatchRegexp("^[a-z0-9]{64}$"))
		block, _ := pem.Decode([]byte(made["private-network-agency-a-cell"].(mapping)["certificate"].(string)))
		certificate, err := x509.ParseCertificate(block.Bytes)
		Expect(err).NotTo(HaveOccurred())
		Expect(certificate.VerifyHostname("f00d.private-network-agency-a.cell.service.cf.internal")).To(Succeed())
		Expect(certificate.VerifyHostname("f00d.cell.service.cf.internal")).NotTo(Succeed())
	})

	It("change nothing for the platform but the names of the shared cells' links", func() {
		manifest := cfManifest()
		ops, _ := onboard(manifest, "agency-a")
		out := without(interpolate(manifest, nil, ops[0]), "agency-a")
		for _, group := range named(out, "instance_groups") {
			for name, job := range named(group, "jobs") {
				if _, shared := cellLinks[name]; shared {
					delete(job, "provides")
					delete(job, "consumes")
				}
			}
		}
		releases := out["releases"].([]interface{})
		out["releases"] = releases[:len(releases)-1]
		Expect(out).To(Equal(parse(manifest)))
	})
})

var _ = Describe("The guard of cf-deployment's shared cells", func() {
	It("is taken off them by an errand on exactly the groups that have it, once no org is left", func() {
		manifest := cfManifest("add-persistent-isolation-segment-diego-cell.yml")
		_, guard := onboard(manifest, "agency-a")
		dir := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(dir, "cf.yml"), manifest, 0o644)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "platform.yml"), []byte(platformFile), 0o644)).To(Succeed())
		var stderr bytes.Buffer
		Expect(cli.Run([]string{"render", "--decommission-guard", "--platform", filepath.Join(dir, "platform.yml"),
			"--manifest", filepath.Join(dir, "cf.yml"), "--orgs", filepath.Join(dir, "orgs"), "--out", dir},
			strings.NewReader(""), io.Discard, &stderr)).To(Equal(0), stderr.String())
		errand := read(dir, "decommission-guard.yml")
		out := interpolate(manifest, nil, guard, errand)
		Expect(interpolate(manifest, nil, guard, errand, errand)).To(Equal(out))
		expectExplicitLinks(out)
		guarded := 0
		for name, group := range named(parse(out), "instance_groups") {
			jobs := named(group, "jobs")
			if _, ok := jobs["egress-enforcer"]; ok {
				guarded++
				Expect(jobs["egress-decommission"]["properties"]).To(Equal(mapping{"confirm": "shared-cell"}), name)
			} else {
				Expect(jobs).NotTo(HaveKey("egress-decommission"), name)
			}
		}
		Expect(guarded).To(Equal(2))
	})
})

var _ = Describe("A gateway in a deployment of its own, beside cells in cf-deployment", func() {
	It("is deployed first and depends on no cell; the cells ask for its link by its deployment", func() {
		manifest := read(cfDeployment(), "cf-deployment.yml")
		dir := rendered(manifest, platformFile+"gateway_deployment: own\n", "agency-a")
		gateway, ops := read(dir, "agency-a", "gateway.yml"), read(dir, "agency-a", "ops.yml")
		out := interpolate(manifest, nil, ops)
		Expect(interpolate(manifest, nil, ops, ops)).To(Equal(out))
		expectExplicitLinks(out, gateway)
		Expect(unresolved(out)).To(Equal(unresolved(manifest)))
		Expect(named(parse(out), "instance_groups")).To(And(
			HaveKey("isolated-diego-cell-agency-a"), Not(HaveKey("vpn-gateway-agency-a"))))
		Expect(named(parse(out), "variables")).NotTo(HaveKey("private-network-agency-a-psk"))

		expectExplicitLinks(gateway)
		Expect(unresolved(gateway)).To(BeEmpty())
		Expect(string(gateway)).NotTo(ContainSubstring("diego-cell"))
		m := parse(gateway)
		Expect(m["name"]).To(Equal("vpn-gateway-agency-a"))
		Expect(named(m, "releases")).To(And(HaveKey("private-network"), HaveKeyWithValue("bpm", HaveKey("sha1"))))
		Expect(m["stemcells"]).To(Equal(parse(manifest)["stemcells"]))
		jobs := named(named(m, "instance_groups")["vpn-gateway-agency-a"], "jobs")
		Expect(jobs).To(And(HaveLen(5), HaveKey("bpm"), HaveKey("tunnel-doctor")))
		Expect(string(read(dir, "agency-a", "handoff.md"))).To(ContainSubstring("/DIRECTOR/vpn-gateway-agency-a/private-network-agency-a-psk"))
	})
})
