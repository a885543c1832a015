package opsfiles_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/onboard/cli"
)

var _ = Describe("The errand org-isolation", func() {
	It("is there for each of two orgs, in a group of its own, with one UAA client for both", func() {
		manifest := read(cfDeployment(), "cf-deployment.yml")
		ops, _ := onboard(manifest, "agency-a", "agency-b")
		out := interpolate(manifest, nil, ops...)
		before := len(named(parse(out), "instance_groups"))
		for org, cfOrg := range map[string]any{"agency-a": "Agency A", "agency-b": "Agency B"} {
			file := opsFiles("add-org-isolation.yml")[0]
			out = interpolate(out, map[string]any{"org": org, "cf_org": cfOrg}, file, file)
		}
		Expect(unresolved(out)).To(Equal(unresolved(manifest)))
		expectExplicitLinks(out)

		groups := named(parse(out), "instance_groups")
		Expect(groups).To(HaveLen(before + 2))
		for org, cfOrg := range map[string]string{"agency-a": "Agency A", "agency-b": "Agency B"} {
			group := groups["org-isolation-"+org]
			Expect(group["lifecycle"]).To(Equal("errand"))
			jobs := named(group, "jobs")
			Expect(jobs).To(HaveLen(1), "nothing else sees the credentials")
			Expect(jobs["org-isolation"]["properties"]).To(HaveKeyWithValue("org", cfOrg))
			link := jobs["org-isolation"]["consumes"].(mapping)["private-network"].(mapping)
			Expect(link["from"]).To(Equal("private-network-" + org))
		}

		clients := named(groups["uaa"], "jobs")["uaa"]["properties"].(mapping)["uaa"].(mapping)["clients"].(mapping)
		Expect(clients["private-network-org-isolation"]).To(Equal(mapping{
			"authorities":            "cloud_controller.admin",
			"authorized-grant-types": "client_credentials",
			"secret":                 "((private-network-org-isolation-secret))",
		}))
	})

	It("is rendered with the rest for a platform file that says how to reach Cloud Foundry, and the proof holds", func() {
		manifest := read(cfDeployment(), "cf-deployment.yml")
		platform := platformFile + "org_isolation: {api_url: \"https://api.((system_domain))\", api_ca_certificate: ((router_ca.certificate))}\n"
		dir := rendered(manifest, platform, "agency-a", "agency-b")
		a, b, guard := read(dir, "agency-a", "ops.yml"), read(dir, "agency-b", "ops.yml"), read(dir, "shared-cell-guard.yml")
		out := interpolate(manifest, nil, a, b, guard)
		Expect(interpolate(manifest, nil, a, b, guard, b, guard, a)).To(Equal(out))
		Expect(unresolved(out)).To(Equal(unresolved(manifest)))
		expectExplicitLinks(out)

		groups := named(parse(out), "instance_groups")
		byHand := interpolate(interpolate(manifest, nil, a, b, guard), map[string]any{"org": "agency-a", "cf_org": "agency-a"},
			opsFiles("add-org-isolation.yml")[0])
		same := named(parse(byHand), "instance_groups")
		Expect(groups["uaa"]).To(Equal(same["uaa"]))
		properties := named(same["org-isolation-agency-a"], "jobs")["org-isolation"]["properties"].(mapping)
		delete(properties, "org") // it is the default
		Expect(groups["org-isolation-agency-a"]).To(Equal(same["org-isolation-agency-a"]))
		for _, group := range []string{"vpn-gateway-agency-a", "isolated-diego-cell-agency-b"} {
			Expect(named(groups[group], "jobs")).To(HaveKey("tunnel-doctor"), group)
		}

		file := filepath.Join(dir, "..", "all.yml")
		Expect(os.WriteFile(file, out, 0o644)).To(Succeed())
		var stdout, stderr bytes.Buffer
		Expect(cli.Run([]string{"verify", "--orgs", filepath.Join(dir, "..", "orgs"), "--platform", filepath.Join(dir, "..", "platform.yml"), "--manifest", file},
			strings.NewReader(""), &stdout, &stderr)).To(Equal(0), stdout.String()+stderr.String())
		Expect(stdout.String()).To(HavePrefix("All obligations hold for 2 orgs"))
	})
})
