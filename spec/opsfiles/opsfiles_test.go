package opsfiles_test

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// vars are values for all that the ops-files and the gateway's manifest ask for.
var vars = map[string]any{
	"org": "agency-a", "cf_org": "Agency A", "azs": []any{"z1"}, "vm_type": "minimal",
	"network": "private-network-agency-a", "segment": []any{"10.20.0.0/26"},
	"gateway_address": "10.20.0.4", "gateway_public_address": "203.0.113.10", "public_network": "public",
	"private_networks": []any{"10.150.0.0/16"}, "endpoint_address": "198.51.100.10", "endpoint_device": "paloalto",
	"endpoint_ca": "-----BEGIN CERTIFICATE-----", "waived_algorithm": "modp1024", "waiver_reason": "an old device", "waiver_until": "2027-03-31",
	"segments_pool": []any{"10.20.0.0/16"}, "path_mtu": 1400, "management_networks": []any{"198.18.0.0/24"}, "active_psk": "b",
	"gateway_vm_extension":    "private-network-agency-a-gateway",
	"private_network_version": "1.0.0", "private_network_url": "https://example.com/private-network-1.0.0.tgz",
	"private_network_sha256": "0000000000000000000000000000000000000000000000000000000000000000",
}

// The ops-files by the manifest that they are for; alternative are those that exclude another, or
// add a job where another one does.
var (
	forGateway = []string{
		"vpn-gateway-ikev1.yml", "vpn-gateway-userland-data-path.yml", "vpn-gateway-path-mtu.yml",
		"vpn-gateway-management-networks.yml",
		"vpn-gateway-routing-iaas.yml", "vpn-gateway-next-psk.yml", "vpn-gateway-public-nic.yml", "vpn-gateway-fips.yml",
		"vpn-gateway-tunnel-doctor.yml", "use-final-release.yml",
	}
	forCF       = []string{"add-org-isolation.yml", "guard-shared-cells.yml", "use-final-release.yml"}
	alternative = []string{"vpn-gateway-vip.yml", "use-latest-release.yml", "vpn-gateway-certificate.yml", "vpn-gateway-waiver.yml",
		"vpn-gateway-egress-decommission.yml"}
)

func opsFiles(names ...string) [][]byte {
	GinkgoHelper()
	var out [][]byte
	for _, name := range names {
		out = append(out, read(root, "ops-files", name))
	}
	return out
}

func all() []string {
	GinkgoHelper()
	files, err := filepath.Glob(filepath.Join(root, "ops-files", "*.yml"))
	Expect(err).NotTo(HaveOccurred())
	for i := range files {
		files[i] = filepath.Base(files[i])
	}
	return files
}

var _ = Describe("The ops-files", func() {
	It("each have a row in the README and a place in this spec, and no row has no file", func() {
		var rows []string
		for _, match := range rowPattern.FindAllSubmatch(read(root, "ops-files", "README.md"), -1) {
			Expect(string(match[1])).To(Equal(string(match[2])), "a row's name and its link")
			rows = append(rows, string(match[1]))
		}
		Expect(rows).To(ConsistOf(all()))
		Expect(slices.IsSorted(rows)).To(BeTrue(), "rows are sorted")
		covered := slices.Concat(forGateway, forCF, alternative)
		slices.Sort(covered)
		Expect(slices.Compact(covered)).To(ConsistOf(all()))
	})

	for _, name := range slices.Concat(forGateway, alternative) {
		It("let the gateway's manifest interpolate with "+name+", once or twice", func() {
			manifest, file := read(root, "manifests", "vpn-gateway.yml"), opsFiles(name)[0]
			once := interpolate(manifest, vars, file)
			Expect(unresolved(once)).To(BeEmpty())
			expectExplicitLinks(once)
			Expect(interpolate(manifest, vars, file, file)).To(Equal(once))
		})
	}

	It("give the gateway's manifest the same content in any order", func() {
		manifest := read(root, "manifests", "vpn-gateway.yml")
		forward := opsFiles(forGateway...)
		backward := slices.Clone(forward)
		slices.Reverse(backward)
		out := interpolate(manifest, vars, forward...)
		Expect(interpolate(manifest, vars, backward...)).To(Equal(out))
		Expect(unresolved(out)).To(BeEmpty())
	})

	DescribeTable("give cf-deployment the same content in any order and applied twice, and ask for no variable that the README does not name",
		func(operations ...string) {
			manifest := cfManifest(operations...)
			forward := opsFiles(forCF...)
			backward := slices.Clone(forward)
			slices.Reverse(backward)
			out := interpolate(manifest, vars, forward...)
			Expect(interpolate(manifest, vars, backward...)).To(Equal(out))
			Expect(interpolate(manifest, vars, append(forward, forward...)...)).To(Equal(out))
			Expect(unresolved(out)).To(Equal(unresolved(manifest)))
		}, withOperations)
})

var _ = Describe("The gateway as a deployment of its own", func() {
	It("can be consumed from another deployment in the way that its heading says", func() {
		manifest := read(root, "manifests", "vpn-gateway.yml")
		heading, _, _ := bytes.Cut(bytes.ReplaceAll(manifest, []byte("ORG"), []byte("agency-a")), []byte("\nname:"))
		_, consumes, found := bytes.Cut(heading, []byte("#   consumes:\n#     private-network: "))
		Expect(found).To(BeTrue())
		consumes, _, _ = bytes.Cut(consumes, []byte("\n"))
		cells := fmt.Appendf(nil, `name: cf
instance_groups:
- name: cell
  jobs:
  - name: egress-enforcer
    release: private-network
    consumes: {iptables: nil, private-network: %s}
`, consumes)
		expectExplicitLinks(cells, interpolate(manifest, vars))
	})

	It("has every variable defined or asked for, and names the provider of each link", func() {
		out := interpolate(read(root, "manifests", "vpn-gateway.yml"), vars)
		Expect(unresolved(out)).To(BeEmpty())
		expectExplicitLinks(out)
		Expect(parse(out)["name"]).To(Equal("vpn-gateway-agency-a"))
	})
})
