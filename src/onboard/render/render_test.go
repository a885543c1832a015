package render_test

import (
	"net/netip"
	"strings"

	"github.com/cloudfoundry/bosh-cli/v7/director/template"
	"github.com/cppforlife/go-patch/patch"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	"gopkg.in/yaml.v2"

	"privnet/connection"
	"privnet/onboard/manifest"
	"privnet/onboard/onboardtest"
	"privnet/onboard/render"
)

const cfManifest = `name: cf
instance_groups:
- name: diego-cell
  azs: [z1, z2]
  instances: 7
  vm_type: small
  stemcell: default
  migrated_from: [{name: cell}]
  networks:
  - name: default
    static_ips: [10.0.0.7]
  jobs:
  - name: garden
    release: garden-runc
  - name: silk-daemon
    release: silk
    consumes: {vpa: {from: my-vpa}, other: {from: elsewhere}}
    properties: {vxlan_network: default}
  - name: vxlan-policy-agent
    release: silk
    provides: {vpa: {as: my-vpa, shared: true}}
  - name: rep
    release: diego
    properties:
      tls: &tls {cert: ((rep.certificate)), key: ((rep.private_key)), ca_cert: ((rep.ca))}
  - name: cfdot
    release: diego
    properties: {tls: *tls}
variables:
- name: rep
  type: certificate
  options:
    ca: service_ca
    common_name: cell.service.cf.internal
    alternative_names: ["*.cell.service.cf.internal", cell.service.cf.internal, localhost]
releases:
- {name: diego, version: 1}
`

const labManifest = `name: lab
instance_groups:
- name: diego-cell
  azs: [z1]
  instances: 1
  stemcell: default
  networks: [{name: default}]
  jobs: []
releases: []
`

const platformFile = `iaas: vsphere
networks: [10.0.0.0/16]
segments: [{az: z1, cidr: 10.20.0.0/24, dns: [10.0.0.2], cloud_properties: {name: "segment-{org}"}}]
public_addresses: [203.0.113.10-203.0.113.12]
egress_addresses: [203.0.113.5]
`

func input(org, platformText string) render.Input {
	return onboardtest.Input(platformText, `org: `+org+`
endpoint: {address: 198.51.100.10, device: paloalto}
private_networks: [10.150.0.0/16, 172.30.8.0/22]
apps: 40
ike: 1
inbound: [{protocol: tcp, ports: "8080,9000-9010"}]
probes: [{address: 10.150.0.10, check: tcp, port: 443}]
`, nil)
}

func parse(text string) manifest.Manifest {
	m, err := manifest.Parse("cf.yml", []byte(text))
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return m
}

// apply interpolates the way that bosh does.
func apply(text string, files ...[]byte) []byte {
	var ops patch.Ops
	for _, file := range files {
		var definitions []patch.OpDefinition
		ExpectWithOffset(1, yaml.Unmarshal(file, &definitions)).To(Succeed())
		some, err := patch.NewOpsFromDefinitions(definitions)
		ExpectWithOffset(1, err).NotTo(HaveOccurred())
		ops = append(ops, some...)
	}
	out, err := template.NewTemplate([]byte(text)).Evaluate(template.StaticVariables{}, ops, template.EvaluateOpts{})
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return out
}

func find(doc []byte, path string) any {
	var tree any
	ExpectWithOffset(1, yaml.Unmarshal(doc, &tree)).To(Succeed())
	pointer, err := patch.NewPointerFromString(path)
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	found, err := patch.FindOp{Path: pointer}.Apply(tree)
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	return found
}

type mapping = map[interface{}]interface{}

const cell = "/instance_groups/name=isolated-diego-cell-agency-a"

var _ = Describe("An org's ops-file", func() {
	ops := func(org, text string) []byte {
		out, err := render.Ops(input(org, platformFile+"gateway_address: nat\n"), parse(text))
		ExpectWithOffset(1, err).NotTo(HaveOccurred())
		return out
	}

	It("clones the operator's cells into the org's segment, without what is one VM's own", func() {
		out := apply(cfManifest, ops("Agency A", cfManifest))
		Expect(find(out, cell+"/azs")).To(Equal([]interface{}{"z1"}))
		Expect(find(out, cell+"/instances")).To(Equal(4))
		Expect(find(out, cell+"/networks")).To(Equal([]interface{}{mapping{"name": "private-network-agency-a"}}))
		Expect(find(out, cell)).NotTo(HaveKey("migrated_from"))
		Expect(find(out, cell+"/vm_type")).To(Equal("small"))
		Expect(find(out, cell+"/jobs/name=rep/properties/diego/rep/placement_tags")).To(Equal([]interface{}{"private-network-agency-a"}))
		Expect(find(out, cell+"/jobs/name=silk-daemon/properties/vxlan_network")).To(Equal("private-network-agency-a"))
		Expect(find(out, cell+"/jobs/name=cfdot/properties/tls/cert")).To(Equal("((rep.certificate))"))
	})

	It("gives the clone its own links and leaves the operator's as they are", func() {
		out := apply(cfManifest, ops("Agency A", cfManifest))
		Expect(find(out, cell+"/jobs/name=vxlan-policy-agent/provides")).To(Equal(mapping{"vpa": mapping{"as": "vpa-isolated-diego-cell-agency-a"}}))
		Expect(find(out, cell+"/jobs/name=silk-daemon/consumes")).To(Equal(mapping{
			"vpa":      mapping{"from": "vpa-isolated-diego-cell-agency-a"},
			"iptables": mapping{"from": "iptables-isolated-diego-cell-agency-a"},
			"other":    mapping{"from": "elsewhere"},
		}))
		Expect(find(out, "/instance_groups/name=diego-cell/jobs/name=vxlan-policy-agent/provides/vpa/as")).To(Equal("my-vpa"))
		Expect(find(out, "/instance_groups/name=diego-cell/jobs/name=vxlan-policy-agent/consumes/iptables/from")).To(Equal("iptables-diego-cell"))
	})

	It("finds the org's reps by a domain of their own, so that no other VM is touched", func() {
		out := apply(cfManifest, ops("Agency A", cfManifest))
		rep := cell + "/jobs/name=rep"
		Expect(find(out, rep+"/properties/diego/rep/advertise_domain")).To(Equal("private-network-agency-a.cell.service.cf.internal"))
		Expect(find(out, rep+"/properties/tls/cert")).To(Equal("((private-network-agency-a-cell.certificate))"))
		Expect(find(out, rep+"/custom_provider_definitions")).To(HaveLen(1))
		Expect(find(out, "/variables/name=private-network-agency-a-cell/options/alternative_names")).To(Equal([]interface{}{
			"*.private-network-agency-a.cell.service.cf.internal", "private-network-agency-a.cell.service.cf.internal", "localhost",
		}))
	})

	It("enforces and probes on the clone and on the gateway, from the org's own link only", func() {
		out := apply(cfManifest, ops("Agency A", cfManifest))
		Expect(find(out, cell+"/jobs/0")).To(Equal(mapping{
			"name": "egress-enforcer", "release": "private-network", "properties": mapping{"role": "cell"},
			"consumes": mapping{
				"private-network": mapping{"from": "private-network-agency-a", "ip_addresses": true},
				"iptables":        mapping{"from": "iptables-isolated-diego-cell-agency-a"},
			},
		}))
		gateway := "/instance_groups/name=vpn-gateway-agency-a"
		Expect(find(out, gateway+"/networks")).To(Equal([]interface{}{mapping{
			"name": "private-network-agency-a", "static_ips": []interface{}{"10.20.0.4"},
		}}))
		Expect(find(out, gateway+"/jobs/name=ipsec-gateway/provides/private-network/as")).To(Equal("private-network-agency-a"))
		Expect(find(out, gateway+"/jobs/name=ipsec-gateway/properties")).To(Equal(mapping{
			"org": "agency-a", "segment": []interface{}{"10.20.0.0/26"},
			"private_networks": []interface{}{"10.150.0.0/16", "172.30.8.0/22"},
			"gateways":         []interface{}{mapping{"address": "10.20.0.4", "public_address": "203.0.113.10"}},
			"endpoints":        []interface{}{mapping{"address": "198.51.100.10", "device": "paloalto"}},
			"ike":              "1",
			"inbound":          []interface{}{mapping{"protocol": "tcp", "ports": "8080,9000-9010"}},
			"probes":           []interface{}{mapping{"address": "10.150.0.10", "check": "tcp", "port": 443}},
			"psk_a":            "((private-network-agency-a-psk))",
		}))
		Expect(find(out, gateway+"/jobs/name=egress-enforcer/consumes/iptables")).To(Equal("nil"))
		Expect(find(out, "/variables/name=private-network-agency-a-psk")).To(Equal(mapping{
			"name": "private-network-agency-a-psk", "type": "password", "update_mode": "no-overwrite", "options": mapping{"length": 64},
		}))
	})

	It("lets the dedicated cells, and no other VM, ask the customer's servers for the customer's domains", func() {
		in := input("Agency A", platformFile+"gateway_address: nat\n")
		in.Request.DNS = []connection.Domain{{Domain: "corp.example", Servers: []netip.Addr{netip.MustParseAddr("10.150.0.53")}}}
		with, err := render.Ops(in, parse(cfManifest))
		Expect(err).NotTo(HaveOccurred())
		out := apply(cfManifest, with)
		Expect(find(out, cell+"/jobs/name=private-dns")).To(Equal(mapping{
			"name": "private-dns", "release": "private-network", "properties": mapping{
				"domains": []interface{}{mapping{"domain": "corp.example", "servers": []interface{}{"10.150.0.53"}}},
			},
		}))
		Expect(strings.Count(string(out), "private-dns")).To(Equal(1))
		Expect(find(out, "/instance_groups/name=vpn-gateway-agency-a")).To(
			Equal(find(apply(cfManifest, ops("Agency A", cfManifest)), "/instance_groups/name=vpn-gateway-agency-a")))
	})

	It("needs no garden and no rep, and no variables section", func() {
		out := apply(labManifest, ops("Agency A", labManifest))
		Expect(find(out, cell+"/jobs/name=egress-enforcer/consumes/iptables")).To(Equal("nil"))
		Expect(find(out, "/instance_groups/name=diego-cell/jobs")).To(BeEmpty())
		Expect(find(out, "/releases/name=private-network/version")).To(Equal("latest"))
	})

	It("brings bpm to the gateway where the cells bring it themselves", func() {
		withBPM := strings.Replace(labManifest, "jobs: []", "jobs: [{name: bpm, release: bpm}]", 1)
		out := apply(withBPM, ops("Agency A", withBPM))
		Expect(find(out, "/instance_groups/name=vpn-gateway-agency-a/jobs/0")).To(Equal(mapping{"name": "bpm", "release": "bpm"}))
		Expect(find(out, cell+"/jobs/name=bpm/release")).To(Equal("bpm"))
	})

	It("may be applied twice, and rendered again from the manifest that it made", func() {
		once := ops("Agency A", cfManifest)
		applied := apply(cfManifest, once)
		Expect(apply(cfManifest, once, once)).To(Equal(applied))
		again := apply(string(applied), ops("Agency A", string(applied)))
		Expect(again).To(Equal(applied))
	})

	DescribeTable("gives the gateway each key that counts in its own place, and the customer the newest",
		func(psk connection.PSK, properties map[string]any, variables []string) {
			in := input("Agency A", platformFile+"gateway_address: nat\n")
			in.Request.PSK = psk
			keys := map[string]any{}
			for name, value := range render.GatewayProperties(in) {
				if strings.Contains(name, "psk") {
					keys[name] = value
				}
			}
			Expect(keys).To(Equal(properties))
			Expect(render.PSKVariables(in)).To(Equal(variables))
			Expect(render.Handoff(in, "cf").PSKVariable).To(Equal(variables[len(variables)-1]))
		},
		Entry("the first", connection.PSK{Generation: 1}, map[string]any{"psk_a": "((private-network-agency-a-psk))"},
			[]string{"private-network-agency-a-psk"}),
		Entry("the first and the second", connection.PSK{Generation: 1, Next: true},
			map[string]any{"psk_a": "((private-network-agency-a-psk))", "psk_b": "((private-network-agency-a-psk-2))"},
			[]string{"private-network-agency-a-psk", "private-network-agency-a-psk-2"}),
		Entry("the second", connection.PSK{Generation: 2}, map[string]any{"psk_b": "((private-network-agency-a-psk-2))", "active_psk": "b"},
			[]string{"private-network-agency-a-psk-2"}),
		Entry("the second and the third", connection.PSK{Generation: 2, Next: true},
			map[string]any{"psk_a": "((private-network-agency-a-psk-3))", "psk_b": "((private-network-agency-a-psk-2))", "active_psk": "b"},
			[]string{"private-network-agency-a-psk-2", "private-network-agency-a-psk-3"}),
	)

	DescribeTable("makes the secret of the errand org-isolation unless it is somebody else's to make",
		func(secret string, want ...any) {
			platform := platformFile + "gateway_address: nat\norg_isolation: {api_url: https://api.example.com, client_secret: ((" + secret + "))}\n"
			text := strings.Replace(cfManifest, "variables:\n", "variables:\n- {name: own, type: password, options: {length: 99}}\n", 1)
			ops, err := render.Ops(input("Agency A", platform), parse(text))
			Expect(err).NotTo(HaveOccurred())
			out := apply(text, ops)
			Expect(find(out, "/instance_groups/name=org-isolation-agency-a/jobs/0/properties/client_secret")).To(Equal("((" + secret + "))"))
			var made []any
			for _, v := range find(out, "/variables").([]any) {
				if name := v.(mapping)["name"].(string); strings.HasPrefix(secret, name) {
					made = append(made, v)
				}
			}
			Expect(made).To(ConsistOf(want...))
		},
		Entry("a new one", "new", mapping{"name": "new", "type": "password"}),
		Entry("one of the operator's, as it is", "own", mapping{"name": "own", "type": "password", "options": mapping{"length": 99}}),
		Entry("a part of one of the operator's", "own.password", mapping{"name": "own", "type": "password", "options": mapping{"length": 99}}),
		Entry("a part of one that is nowhere defined", "credhub.password"),
		Entry("one of another deployment", "/other/secret"),
	)

	It("keeps the operator's own entry of the release, and takes no guard into the clone", func() {
		final := strings.Replace(cfManifest, "releases:\n", "releases:\n- {name: private-network, version: 1.2.3, url: u, sha1: s}\n", 1)
		guard, err := render.SharedCellGuard(input("x", platformFile+"gateway_address: nat\n").Platform, parse(final))
		Expect(err).NotTo(HaveOccurred())
		guarded := apply(final, guard)
		out := apply(string(guarded), ops("Agency A", string(guarded)))
		Expect(find(out, "/releases/name=private-network/version")).To(Equal("1.2.3"))
		Expect(find(out, cell+"/jobs/name=egress-enforcer/properties")).To(Equal(mapping{"role": "cell"}))
		Expect(find(out, "/instance_groups/name=diego-cell/jobs/name=egress-enforcer")).To(Equal(mapping{
			"name": "egress-enforcer", "release": "private-network",
			"consumes":   mapping{"private-network": "nil", "iptables": mapping{"from": "iptables-diego-cell"}},
			"properties": mapping{"role": "shared-cell", "segments_pool": []interface{}{"10.20.0.0/24"}},
		}))
	})

	DescribeTable("is refused for a manifest that it cannot be made from",
		func(old, replacement, problem string) {
			Expect(cfManifest).To(ContainSubstring(old))
			platform := platformFile + "gateway_address: nat\norg_isolation: {api_url: https://api.example.com}\n"
			_, err := render.Ops(input("Agency A", platform), parse(strings.Replace(cfManifest, old, replacement, 1)))
			Expect(err).To(MatchError(ContainSubstring(problem)))
		},
		Entry("no group of cells", "- name: diego-cell", "- name: cells", "cf.yml: instance_groups: has no group diego-cell to clone"),
		Entry("a group of that name that is not ours", "variables:", "- name: vpn-gateway-agency-a\n  jobs: []\nvariables:",
			"has a group vpn-gateway-agency-a already that is not this org's"),
		Entry("an errand of that name that is not ours", "variables:", "- name: org-isolation-agency-a\n  jobs: []\nvariables:",
			"has a group org-isolation-agency-a already that is not this org's"),
		Entry("no stemcell", "  stemcell: default\n", "", "cf.yml:3: diego-cell.stemcell: is missing"),
		Entry("a certificate that the manifest does not define", "- name: rep\n  type", "- name: other\n  type",
			"diego-cell.rep.properties.tls.cert: is no variable that the manifest defines with a ca"),
	)
})

var _ = Describe("The gateway's public address", func() {
	networks := func(how string) any {
		out, err := render.Ops(input("Agency A", platformFile+how), parse(labManifest))
		Expect(err).NotTo(HaveOccurred())
		return find(apply(labManifest, out), "/instance_groups/name=vpn-gateway-agency-a/networks")
	}

	It("is on a second NIC, which then has the default route", func() {
		Expect(networks("public_network: public\n")).To(Equal([]interface{}{
			mapping{"name": "private-network-agency-a", "static_ips": []interface{}{"10.20.0.4"}, "default": []interface{}{"dns"}},
			mapping{"name": "public", "static_ips": []interface{}{"203.0.113.10"}, "default": []interface{}{"gateway"}},
		}))
	})

	It("is attached by the CPI, and the VM has one NIC", func() {
		Expect(networks("gateway_address: vip\n")).To(Equal([]interface{}{
			mapping{"name": "private-network-agency-a", "static_ips": []interface{}{"10.20.0.4"}, "default": []interface{}{"dns", "gateway"}},
			mapping{"name": "private-network-agency-a-public", "static_ips": []interface{}{"203.0.113.10"}},
		}))
	})
})

var _ = Describe("An org's cloud-config", func() {
	It("has the segment as the plan divides it", func() {
		out := render.CloudConfig(input("Agency A", platformFile+"gateway_address: vip\n"))
		Expect(find(out, "/networks/name=private-network-agency-a/subnets")).To(Equal([]interface{}{mapping{
			"az": "z1", "range": "10.20.0.0/26", "gateway": "10.20.0.1", "dns": []interface{}{"10.0.0.2"},
			"reserved":         []interface{}{"10.20.0.1 - 10.20.0.3", "10.20.0.62"},
			"static":           []interface{}{"10.20.0.4 - 10.20.0.7"},
			"cloud_properties": mapping{"name": "segment-agency-a"},
		}}))
		Expect(find(out, "/networks/name=private-network-agency-a-public/type")).To(Equal("vip"))
	})

	DescribeTable("lets the gateway forward, in the words of each CPI",
		func(iaas string, want any) {
			text := strings.Replace(platformFile, "vsphere", iaas, 1) + "gateway_address: nat\n"
			text = strings.Replace(text, "dns:", "route_table: rtb-1, dns:", 1)
			out := render.CloudConfig(input("Agency A", text))
			if want == nil {
				Expect(string(out)).NotTo(ContainSubstring("vm_extensions"))
				return
			}
			Expect(find(out, "/vm_extensions/name=private-network-agency-a-gateway/cloud_properties")).To(Equal(want))
		},
		Entry("AWS", "aws\nrouting: iaas", mapping{"source_dest_check": false, "advertised_routes": []interface{}{
			mapping{"table_id": "rtb-1", "destination": "10.150.0.0/16"}, mapping{"table_id": "rtb-1", "destination": "172.30.8.0/22"},
		}}),
		Entry("Azure", "azure", mapping{"ip_forwarding": true}),
		Entry("GCP", "gcp", mapping{"ip_forwarding": true}),
		Entry("OpenStack", "openstack", mapping{"allowed_address_pairs": "0.0.0.0/0"}),
		Entry("vSphere", "vsphere", nil),
		Entry("bosh-lite", "bosh-lite", nil),
	)
})

var _ = Describe("An org's firewall table", func() {
	It("says of each rule why, names only places that it defines, and lists routes that the IaaS needs", func() {
		in := input("Agency A", strings.Replace(platformFile, "vsphere", "azure", 1)+"gateway_address: nat\n")
		var table struct {
			Places []struct {
				Name      string
				Addresses []string
			}
			Rules  []struct{ From, To, Protocol, Ports, Why string }
			Routes []map[string]string
		}
		Expect(yaml.Unmarshal(render.Firewall(in), &table)).To(Succeed())
		known := []string{"internet"}
		for _, place := range table.Places {
			known = append(known, place.Name)
			for _, address := range place.Addresses {
				Expect(netip.ParsePrefix(address)).NotTo(BeZero())
			}
		}
		for _, rule := range table.Rules {
			Expect(rule.Why).NotTo(BeEmpty())
			Expect(known).To(ContainElement(rule.From))
			Expect(known).To(ContainElement(rule.To))
		}
		Expect(table.Routes).To(ConsistOf(
			map[string]string{"az": "z1", "destination": "10.150.0.0/16", "next_hop": "10.20.0.4"},
			map[string]string{"az": "z1", "destination": "172.30.8.0/22", "next_hop": "10.20.0.4"},
		))
	})

	DescribeTable("lets BOSH reach the gateway where its default route leaves, and the gateway BOSH",
		func(changes string, matcher types.GomegaMatcher) {
			Expect(string(render.Firewall(input("Agency A", platformFile+changes)))).To(matcher)
		},
		Entry("by its public NIC", "public_network: public\n", And(
			ContainSubstring("- from: platform\n    to: gateway\n    protocol: tcp\n    ports: \"22\""),
			ContainSubstring("- from: gateway\n    to: platform\n    protocol: tcp\n    ports: 4222,25250,25777"),
		)),
		Entry("by its only one, in the segment", "gateway_address: nat\n", Not(Or(
			ContainSubstring("- from: platform\n    to: gateway"), ContainSubstring("- from: gateway\n    to: platform"),
		))),
	)
})
