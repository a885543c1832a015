package manifest_test

import (
	"fmt"
	"net/netip"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/lab/compile"
	"privnet/lab/manifest"
)

// The release has a provider of a link and a consumer of it.
var release = compile.Release{
	Name: "demo",
	Jobs: map[string]compile.Job{
		"gateway": {
			Name:     "gateway",
			Provides: []compile.Provide{{Name: "net", Type: "net", Properties: []string{"org", "path.mtu"}}},
			Properties: map[string]compile.Property{
				"org": {}, "path.mtu": {Default: 1500}, "secret": {},
			},
		},
		"guard": {
			Name:       "guard",
			Consumes:   []compile.Consume{{Name: "net", Type: "net", Optional: true}},
			Properties: map[string]compile.Property{"mode": {Default: "strict"}},
		},
		"needy": {Name: "needy", Consumes: []compile.Consume{{Name: "net", Type: "other"}}},
	},
}

const deployment = `
name: cf
releases:
- {name: demo, version: latest}
- {name: bpm, version: latest}
stemcells:
- {alias: default, os: ubuntu-jammy, version: latest}
update: {canaries: 1}
instance_groups:
- name: cell-a
  azs: [z1]
  instances: 2
  vm_type: small
  vm_extensions: [big-disk]
  stemcell: default
  networks:
  - name: net-a
  jobs:
  - name: bpm
    release: bpm
  - name: guard
    release: demo
    consumes: {net: {from: net-of-a, ip_addresses: true}}
- name: shared
  azs: [z1]
  instances: 1
  vm_type: small
  stemcell: default
  networks:
  - {name: default, static_ips: [10.0.0.7]}
  jobs:
  - name: guard
    release: demo
    consumes: {net: nil}
    properties: {mode: loose, unknown: 1}
- name: gateway-a
  azs: [z1]
  instances: 1
  vm_type: small
  stemcell: default
  networks:
  - {name: net-a, static_ips: [10.1.0.4], default: [dns, gateway]}
  - {name: public, static_ips: [203.0.113.10]}
  jobs:
  - name: gateway
    release: demo
    provides: {net: {as: net-of-a}}
    properties: {org: a, secret: s}
- name: run-once
  lifecycle: errand
  azs: [z1]
  instances: 1
  vm_type: small
  stemcell: default
  networks:
  - name: default
  jobs:
  - name: guard
    release: demo
    consumes: {net: {from: net-of-a, ip_addresses: true}}
`

func allocate(group string, index int, network string) (netip.Addr, error) {
	if network != "net-a" {
		return netip.Addr{}, fmt.Errorf("the plan knows no network %s", network)
	}
	return netip.AddrFrom4([4]byte{10, 1, 0, byte(16 + index)}), nil
}

func read(text string) ([]manifest.Instance, error) {
	return manifest.Instances([]byte(text), release, []string{"bpm"}, allocate)
}

var _ = Describe("The instances of a manifest", func() {
	instances := func() map[string]manifest.Instance {
		GinkgoHelper()
		list, err := read(deployment)
		Expect(err).NotTo(HaveOccurred())
		out := map[string]manifest.Instance{}
		for _, instance := range list {
			out[fmt.Sprintf("%s/%d", instance.Group, instance.Index)] = instance
		}
		return out
	}

	It("are as many as each group says, without the errands", func() {
		Expect(instances()).To(HaveLen(4))
		Expect(instances()).To(HaveKey("cell-a/1"))
	})

	It("have their static addresses, or else those that the plan gives", func() {
		Expect(instances()["gateway-a/0"].Networks).To(Equal(map[string]netip.Addr{
			"net-a": netip.MustParseAddr("10.1.0.4"), "public": netip.MustParseAddr("203.0.113.10"),
		}))
		Expect(instances()["gateway-a/0"].Address).To(Equal(netip.MustParseAddr("10.1.0.4")))
		Expect(instances()["cell-a/1"].Address).To(Equal(netip.MustParseAddr("10.1.0.17")))
		Expect(instances()["cell-a/1"].AZ).To(Equal("z1"))
	})

	It("have ids of their own that a second reading repeats", func() {
		Expect(instances()["cell-a/0"].ID).To(HaveLen(36))
		Expect(instances()["cell-a/0"].ID).To(Equal(instances()["cell-a/0"].ID))
		Expect(instances()["cell-a/0"].ID).NotTo(Equal(instances()["cell-a/1"].ID))
	})

	It("have the jobs of this release, with the properties of their specs only", func() {
		Expect(instances()["cell-a/0"].Jobs).To(HaveLen(1))
		Expect(instances()["cell-a/0"].Jobs[0].Properties).To(Equal(map[string]any{"mode": "strict"}))
		Expect(instances()["shared/0"].Jobs[0].Properties).To(Equal(map[string]any{"mode": "loose"}))
	})

	It("have the link's properties, with its provider's defaults, and its provider's addresses", func() {
		link := instances()["cell-a/0"].Jobs[0].Links["net"]
		Expect(link.Properties).To(Equal(map[string]any{"org": "a", "path": map[string]any{"mtu": 1500}}))
		Expect(link.Instances).To(HaveLen(1))
		Expect(link.Instances[0]).To(Equal(manifest.LinkInstance{
			Name: "gateway-a", ID: instances()["gateway-a/0"].ID, AZ: "z1", Address: "10.1.0.4", Bootstrap: true,
		}))
	})

	It("have no link that is nil", func() {
		Expect(instances()["shared/0"].Jobs[0].Links).To(BeEmpty())
	})

	DescribeTable("end with what the lab does not do, or what is wrong",
		func(old, replacement, want string) {
			Expect(deployment).To(ContainSubstring(old))
			_, err := read(strings.ReplaceAll(deployment, old, replacement))
			Expect(err).To(MatchError(ContainSubstring(want)))
		},
		Entry("an unknown part of the manifest", "update: ", "addons: [1]\nupdate: ", "the lab does not do addons"),
		Entry("several stemcells", "stemcells:", "stemcells:\n- {alias: b}", "the lab does not do several stemcells"),
		Entry("an open variable", "org: a,", "org: ((the-org)),", "the lab does not do variables that the manifest leaves open (((the-org)))"),
		Entry("several AZs", "name: cell-a\n  azs: [z1]", "name: cell-a\n  azs: [z1, z2]", "the lab does not do several availability zones in instance group cell-a"),
		Entry("a disk", "name: cell-a\n", "name: cell-a\n  persistent_disk: 1\n", "the lab does not do persistent_disk in instance group cell-a"),
		Entry("a group's own properties", "name: cell-a\n", "name: cell-a\n  properties: {}\n", "the lab does not do properties in instance group cell-a"),
		Entry("another release's job", "release: bpm", "release: silk", `the lab does not do jobs of other releases (bpm of "silk" in instance group cell-a)`),
		Entry("a job that is not there", "name: gateway\n", "name: gate\n", "release demo has no job gate, which instance group gateway-a names"),
		Entry("an implicit link", "consumes: {net: nil}", "consumes: {}", "the lab does not do implicit links: say `from` or `nil` for link net of job guard in instance group shared"),
		Entry("a link by DNS name", "net-of-a, ip_addresses: true", "net-of-a", "the lab does not do links by DNS name"),
		Entry("a link across deployments", "net-of-a, ip_addresses: true", "net-of-a, ip_addresses: true, deployment: x", "the lab does not do deployment at link net of job guard in instance group cell-a"),
		Entry("a link that nobody provides", "from: net-of-a", "from: net-of-b", "link net of job guard in instance group cell-a is from net-of-b, which no job provides"),
		Entry("a link of another type", "name: guard\n    release: demo\n    consumes: {net: nil}", "name: needy\n    release: demo\n    consumes: {net: {from: net-of-a, ip_addresses: true}}", "which is of type net and not other"),
		Entry("a nil that the job cannot take", "name: guard\n    release: demo\n    consumes: {net: nil}", "name: needy\n    release: demo\n    consumes: {net: nil}", "is nil, but the job cannot do without"),
		Entry("a wrong address", "[10.0.0.7]", "[10.0.0.7 - 10.0.0.9]", "giving shared/0 an address in network default"),
		Entry("too few addresses", "[10.0.0.7]", "[10.0.0.7, 10.0.0.8]", "has 2 static_ips for 1 instances"),
		Entry("no default network", ", default: [dns, gateway]", "", "gateway-a/0 has no address in a default network"),
		Entry("a network that the plan does not know", "name: net-a\n", "name: net-b\n", "the plan knows no network net-b"),
	)

	It("reports all problems at once", func() {
		_, err := read(strings.NewReplacer("consumes: {net: nil}", "consumes: {}", "from: net-of-a", "from: net-of-b").Replace(deployment))
		Expect(err).To(MatchError(ContainSubstring("implicit links")))
		Expect(err).To(MatchError(ContainSubstring("which no job provides")))
	})
})
