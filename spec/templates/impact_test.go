package templates_test

import (
	"context"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"

	boshtemplate "github.com/cloudfoundry/bosh-cli/v7/director/template"
	"github.com/cppforlife/go-patch/patch"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"gopkg.in/yaml.v3"

	"privnet/lab/compile"
	"privnet/lab/manifest"
	"privnet/lab/template"
	"privnet/onboard/impact"
	operators "privnet/onboard/manifest"
	"privnet/onboard/onboardtest"
	renderer "privnet/onboard/render"
)

// What privnet plan says of a change, beside what a director would render: the ops-file of the request before
// and after, applied to a manifest, and every template of every job in it.
var _ = Describe("What privnet plan says of a changed request", func() {
	const (
		request      = "org: Agency A\nendpoint: {address: 198.51.100.10, device: paloalto}\nprivate_networks: [10.150.0.0/16, 172.30.8.0/22]\napps: 20\n"
		platformFile = "iaas: vsphere\nnetworks: [10.0.0.0/16]\nsegments: [{az: z1, cidr: 10.20.0.0/20}]\npublic_addresses: [203.0.113.10]\n" +
			"public_network: public\norg_isolation: {api_url: https://api.example.com}\n"
	)
	release := compile.Release{Name: operators.Release, Jobs: map[string]compile.Job{}}

	// deployed are the files of each job, by group and job; an errand's group is taken for one with a VM.
	deployed := func(in renderer.Input) (files map[string]map[string]map[string][]byte, instances map[string]int) {
		GinkgoHelper()
		base, err := os.ReadFile("../../manifests/lab/manifest.yml")
		Expect(err).NotTo(HaveOccurred())
		m, err := operators.Parse("manifest.yml", base)
		Expect(err).NotTo(HaveOccurred())
		text, err := renderer.Ops(in, m)
		Expect(err).NotTo(HaveOccurred())
		text = []byte(strings.ReplaceAll(string(text), "lifecycle: errand", "lifecycle: service"))
		var definitions []patch.OpDefinition
		Expect(yaml.Unmarshal(text, &definitions)).To(Succeed())
		ops, err := patch.NewOpsFromDefinitions(definitions)
		Expect(err).NotTo(HaveOccurred())
		values := boshtemplate.StaticVariables{"private-network-org-isolation-secret": clientSecret}
		for i, name := range renderer.PSKVariables(in) {
			values[name] = strings.Repeat("key", 12) + string(rune('a'+i))
		}
		out, err := boshtemplate.NewTemplate(base).Evaluate(values, ops, boshtemplate.EvaluateOpts{ExpectAllKeys: true})
		Expect(err).NotTo(HaveOccurred())
		next := netip.MustParseAddr("10.20.0.16")
		found, err := manifest.Instances(out, release, []string{"bpm"}, func(string, int, string) (netip.Addr, error) {
			next = next.Next()
			return next, nil
		})
		Expect(err).NotTo(HaveOccurred())
		files, instances = map[string]map[string]map[string][]byte{}, map[string]int{}
		for _, instance := range found {
			if instances[instance.Group]++; instance.Index > 0 || len(instance.Jobs) == 0 {
				continue // they differ by their own address only
			}
			files[instance.Group] = map[string]map[string][]byte{}
			for _, placed := range instance.Jobs {
				files[instance.Group][placed.Name], err = template.Render(context.Background(), release.Jobs[placed.Name], instance, placed)
				Expect(err).NotTo(HaveOccurred())
			}
		}
		return files, instances
	}

	var before renderer.Input
	var was map[string]map[string]map[string][]byte
	var wasInstances map[string]int

	BeforeEach(func() {
		if was != nil {
			return
		}
		for _, name := range jobNames {
			release.Jobs[name] = readJob(name)
		}
		before = onboardtest.Input(platformFile, request, nil)
		was, wasInstances = deployed(before)
	})

	DescribeTable("is what the templates render",
		func(old, changed string) {
			text := strings.Replace(request, old, changed, 1)
			if old == "" {
				text = request + changed + "\n"
			}
			after := onboardtest.Input(platformFile, text, &before)
			says, err := impact.Of(&before, after)
			Expect(err).NotTo(HaveOccurred())

			is, isInstances := deployed(after)
			rendered := map[string][]string{}
			for group := range is {
				for job := range is[group] {
					if !maps.EqualFunc(was[group][job], is[group][job], func(a, b []byte) bool { return string(a) == string(b) }) {
						rendered[group] = append(rendered[group], job)
					}
				}
			}
			said := map[string][]string{}
			for _, r := range says.Renders {
				said[r.Group] = r.Jobs
			}
			for _, of := range []map[string][]string{rendered, said} {
				for group := range of {
					slices.Sort(of[group])
				}
			}
			Expect(said).To(Equal(rendered))
			for group, n := range isInstances {
				for _, v := range says.VMs {
					switch {
					case v.Group == group && v.What == impact.Create:
						n -= v.Count
					case v.Group == group && v.What == impact.Delete:
						n += v.Count
					}
				}
				Expect(n).To(Equal(wasInstances[group]), group)
			}
		},
		Entry("with a network more", "172.30.8.0/22]", "172.30.8.0/22, 192.168.7.0/24]"),
		Entry("with another endpoint and device", "198.51.100.10, device: paloalto", "198.51.100.11, device: vyos"),
		Entry("with more apps", "apps: 20", "apps: 60"),
		Entry("with IKEv1", "", "ike: 1"),
		Entry("with a second key", "", "psk: {next: true}"),
		Entry("with another key", "", "psk: {generation: 2}"),
		Entry("with a smaller path MTU", "", "path_mtu: 1400"),
		Entry("with flows", "", "allow: [{protocol: tcp, ports: 443}]"),
		Entry("with a probe, which needs no raw socket", "", "probes: [{address: 10.150.0.1, check: tcp, port: 443}]"),
		Entry("with a private domain", "", "dns: [{domain: corp.example, servers: [10.150.0.53]}]"),
	)
})
