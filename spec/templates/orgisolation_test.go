package templates_test

import (
	"maps"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/cfapi/isolation"
)

var _ = Describe("org-isolation", func() {
	renderOrg := func(changes map[string]any) map[string]string {
		GinkgoHelper()
		p := places["org-isolation"]
		p.changes = maps.Clone(p.changes)
		maps.Copy(p.changes, changes)
		files, err := renderWith(p, nil)
		Expect(err).NotTo(HaveOccurred())
		return files
	}
	read := func(files map[string]string) isolation.Config {
		GinkgoHelper()
		config, _, err := isolation.Read(
			isolation.File{Name: "isolation.json", Data: []byte(files["config/isolation.json"])},
			isolation.File{Name: "credentials.json", Data: []byte(files["config/credentials.json"])},
		)
		Expect(err).NotTo(HaveOccurred())
		return config
	}

	It("is told what the spec's examples mean, and which private networks by the link", func() {
		config := read(renderOrg(nil))
		Expect(config.Name()).To(Equal("private-network-agency-a"))
		Expect(config.Org).To(Equal("Agency A"))
		Expect(config.Connection.PrivateNetworks).To(HaveLen(2))
		Expect(config.Connection.Allow).To(HaveLen(1))
	})

	It("does no harm unless it is told to", func() {
		config := read(renderOrg(map[string]any{"org": nil, "dry_run": nil, "restart_apps": nil, "remove": nil, "restart_timeout": nil}))
		Expect(config.RestartApps).To(BeFalse())
		Expect(config.Remove).To(BeFalse())
		Expect(config.DryRun).To(BeFalse())
		Expect(config.Org).To(Equal("agency-a"))
	})

	It("has the secret in credentials.json and nowhere else, which only root may read", func() {
		files := renderOrg(nil)
		for path, content := range files {
			if path != "config/credentials.json" {
				Expect(content).NotTo(ContainSubstring(clientSecret), path)
			}
		}
		Expect(files["config/credentials.json"]).To(ContainSubstring(clientSecret))
		Expect(files["bin/pre-start"]).To(ContainSubstring("chmod 0600 /var/vcap/jobs/org-isolation/config/credentials.json"))
	})

	It("has no way to talk to an API whose certificate it does not trust", func() {
		for property := range readJob("org-isolation").Properties {
			Expect(property).NotTo(MatchRegexp("skip|insecure|verify"))
		}
	})
})
