package opsfiles_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
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
})
