package manifest_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"strings"

	"privnet/onboard/manifest"
)

const cells = `name: cf
instance_groups:
- name: diego-cell
  jobs:
  - name: garden
  - name: vxlan-policy-agent
  - name: silk-daemon
  - name: silk-cni
    provides: {cni_config: {as: their-own}}
- name: isolated-cell
  jobs:
  - name: garden
    provides: {iptables: nil}
  - name: silk-daemon
    consumes: {vpa: nil}
`

func parse(text string) manifest.Manifest {
	m, err := manifest.Parse("cf.yml", []byte(text))
	Expect(err).NotTo(HaveOccurred())
	return m
}

func ends(in []manifest.End) map[string]string {
	out := map[string]string{}
	for _, e := range in {
		out[e.Group+"/"+e.Job.Name+"/"+e.Link] = e.Name
	}
	return out
}

var _ = Describe("The links of the platform's own cells", func() {
	It("get explicit names at both ends; the operator's own names and nil stay", func() {
		providers, consumers, err := parse(cells).Links()
		Expect(err).NotTo(HaveOccurred())
		Expect(ends(providers)).To(Equal(map[string]string{
			"diego-cell/garden/iptables":        "iptables-diego-cell",
			"diego-cell/vxlan-policy-agent/vpa": "vpa-diego-cell",
		}))
		Expect(ends(consumers)).To(Equal(map[string]string{
			"diego-cell/vxlan-policy-agent/cni_config": "their-own",
			"diego-cell/vxlan-policy-agent/iptables":   "iptables-diego-cell",
			"diego-cell/silk-daemon/vpa":               "vpa-diego-cell",
			"diego-cell/silk-daemon/iptables":          "iptables-diego-cell",
			"diego-cell/silk-cni/vpa":                  "vpa-diego-cell",
			"isolated-cell/silk-daemon/iptables":       "iptables-diego-cell",
		}))
	})

	It("leave out the groups of orgs", func() {
		m := parse(cells + `- name: isolated-diego-cell-a
  jobs:
  - {name: egress-enforcer, release: private-network, consumes: {private-network: {from: private-network-a}}}
  - name: garden
`)
		g, _ := m.Group("isolated-diego-cell-a")
		Expect(g.Org()).To(Equal("private-network-a"))
		providers, _, err := m.Links()
		Expect(err).NotTo(HaveOccurred())
		Expect(ends(providers)).NotTo(HaveKey("isolated-diego-cell-a/garden/iptables"))
	})

	It("are refused when a consumer could mean several", func() {
		_, _, err := parse(`instance_groups:
- {name: a, jobs: [{name: garden}]}
- {name: b, jobs: [{name: garden}]}
- name: c
  jobs:
  - name: silk-daemon
name: cf
`).Links()
		Expect(err).To(MatchError(`cf.yml:6: c.silk-daemon.consumes.iptables: is provided by 2 groups; say from which it comes`))
	})
})

var _ = Describe("A manifest", func() {
	It("with literal secrets is refused, each by its line and without its value", func() {
		_, err := manifest.Parse("cf.yml", []byte(`instance_groups:
- name: a
  jobs:
  - name: x
    properties:
      admin_password: hunter2
      tls:
        key: |
          -----BEGIN RSA PRIVATE KEY-----
          MIIE
      client_secret: ((ok))
      secret: ''
`))
		Expect(err).To(MatchError(And(
			ContainSubstring("cf.yml:6: instance_groups.jobs.properties.admin_password: holds a literal secret"),
			ContainSubstring("cf.yml:8: instance_groups.jobs.properties.tls.key: holds a literal secret"),
			Not(ContainSubstring("hunter2")), Not(ContainSubstring("MIIE")), Not(ContainSubstring("client_secret")),
		)))
	})

	It("may name which of its keys a gateway uses", func() {
		_, err := manifest.Parse("cf.yml", []byte("name: cf\ninstance_groups:\n- name: g\n  jobs:\n  - {name: ipsec-gateway, properties: {psk_b: ((key)), active_psk: b}}\n"))
		Expect(err).NotTo(HaveOccurred())
	})

	It("that is none is refused", func() {
		_, err := manifest.Parse("cf.yml", []byte("- a\n- b\n"))
		Expect(err).To(MatchError(ContainSubstring("cf.yml: instance_groups: is missing")))
		_, err = manifest.Parse("cf.yml", []byte("a: [\n"))
		Expect(err).To(MatchError(HavePrefix("cf.yml:1: cannot be read as YAML: ")))
	})

	// A director, or another reader of YAML, would take the other one.
	DescribeTable("that may be read in two ways is refused",
		func(text string, problems ...string) {
			_, err := manifest.Parse("cf.yml", []byte(text))
			Expect(err).To(MatchError(strings.Join(problems, "\n")))
		},
		Entry("two documents", "name: cf\ninstance_groups: [{name: a}]\n---\nname: two\n", "cf.yml:3: cannot be read as YAML: another document begins; give one"),
		Entry("a key twice", "name: cf\ninstance_groups: [{name: a}]\ninstance_groups: []\n", `cf.yml:3: cannot be read as YAML: the key "instance_groups" is there twice`),
		Entry("groups and jobs of the same name or none", "instance_groups:\n- {name: a, jobs: [{name: x},\n  {name: x}]}\n- name: a\n- jobs: []\n",
			"cf.yml: name: is missing; give the whole manifest that the platform is deployed with",
			"cf.yml:3: a.jobs: has x twice; give each a name of its own",
			"cf.yml:4: instance_groups: has a twice; give each a name of its own",
			"cf.yml:5: instance_groups: has an element without a name; give it one"),
		Entry("another encoding", "name: cf\n# caf\xe9\n", "cf.yml:2: is not UTF-8: it has the byte 0xe9; save it as UTF-8"),
	)
})
