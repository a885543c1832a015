package templates_test

import (
	"encoding/json"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"gopkg.in/yaml.v3"

	"privnet/onboard/manifest"
	"privnet/verify/artefact"
)

// The proof of isolation cannot run a director's ERB. It makes the jobs' configuration in Go; here both are
// made of the same manifest.
var _ = Describe("What privnet verify renders", func() {
	type group map[string]any
	job := func(name string, changes map[string]any, extra group) group {
		out := group{"name": name, "release": "private-network", "properties": examples(readJob(name), changes)}
		for key, value := range extra {
			out[key] = value
		}
		return out
	}
	link := group{"private-network": group{"from": "private-network-agency-a"}}

	DescribeTable("is what the jobs' templates render",
		func(changes map[string]any) {
			gateway := map[string]any{}
			for name, value := range places["ipsec-gateway"].changes {
				gateway[name] = value
			}
			for name, value := range changes {
				gateway[name] = value
			}
			text, err := yaml.Marshal(group{"name": "cf", "instance_groups": []group{
				{"name": "vpn-gateway", "networks": []group{{"name": "a", "static_ips": []string{gatewayAddress}}}, "jobs": []group{
					job("ipsec-gateway", gateway, group{"provides": group{"private-network": group{"as": "private-network-agency-a"}}}),
					job("egress-enforcer", map[string]any{"role": "gateway"}, group{"consumes": link}),
				}},
				{"name": "cell", "networks": []group{{"name": "a"}}, "jobs": []group{
					job("egress-enforcer", map[string]any{"role": "cell"}, group{"consumes": link}),
				}},
				{"name": "diego-cell", "networks": []group{{"name": "default"}}, "jobs": []group{
					job("egress-enforcer", map[string]any{"role": "shared-cell"}, nil),
				}},
			}})
			Expect(err).NotTo(HaveOccurred())
			// The keys of the example are literal, which the operator's manifest must not be.
			var root yaml.Node
			Expect(yaml.Unmarshal(text, &root)).To(Succeed())
			deployment, err := artefact.Read([]manifest.Manifest{{File: "manifest.yml", Root: root.Content[0]}}, "diego-cell")
			Expect(err).NotTo(HaveOccurred())

			for _, rendered := range []struct {
				vm    artefact.VM
				place string
				file  string
			}{
				{deployment.Gateways[0], "ipsec-gateway", "gateway.json"},
				{deployment.Gateways[0], "egress-enforcer/gateway", "enforcer.json"},
				{deployment.Cells[0], "egress-enforcer/cell", "enforcer.json"},
				{deployment.Shared[0], "egress-enforcer/shared-cell", "enforcer.json"},
			} {
				files, err := render(rendered.place, gateway)
				Expect(err).NotTo(HaveOccurred())
				var byERB, byGo map[string]any
				Expect(json.Unmarshal([]byte(files["config/"+rendered.file]), &byERB)).To(Succeed())
				Expect(json.Unmarshal(rendered.vm.Config[rendered.file], &byGo)).To(Succeed())
				// BOSH chooses a cell's own address.
				delete(byERB, "addresses")
				delete(byGo, "addresses")
				Expect(byGo).To(Equal(byERB), rendered.place)
			}
		},
		Entry("with every property", map[string]any{}),
		Entry("with few", map[string]any{"policy": nil, "waivers": nil, "routing": nil, "data_path": nil, "path_mtu": nil, "allow": nil,
			"inbound": nil, "probes": nil, "ike": nil, "log_level": nil}),
	)
})
