package command_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/cfapi/cftest"
	"privnet/cfapi/command"
)

var _ = Describe("org-isolation", func() {
	var (
		cf             *cftest.Server
		stdout, stderr bytes.Buffer
		settings       map[string]any
		secrets        map[string]any
	)

	BeforeEach(func() {
		cf = cftest.Start()
		DeferCleanup(cf.Stop)
		stdout.Reset()
		stderr.Reset()
		settings = map[string]any{
			"connection": map[string]any{
				"org": "agency-a", "segment": []string{"10.20.0.0/26"}, "private_networks": []string{"10.150.0.0/16"},
				"gateways": []any{map[string]any{"address": "10.20.0.4", "public_address": "203.0.113.10"}},
			},
			"api": map[string]any{"url": cf.URL, "ca_certificate": cf.CA}, "restart_timeout": "15m",
		}
		secrets = map[string]any{"client_id": cftest.ClientID, "client_secret": cftest.ClientSecret}
	})

	write := func(value any) string {
		GinkgoHelper()
		data, err := json.Marshal(value)
		Expect(err).NotTo(HaveOccurred())
		path := filepath.Join(GinkgoT().TempDir(), "file.json")
		Expect(os.WriteFile(path, data, 0o600)).To(Succeed())
		return path
	}
	execute := func(arguments ...string) int {
		return command.Execute(context.Background(), arguments, &stdout, &stderr)
	}
	run := func() int {
		GinkgoHelper()
		return execute("run", "--config", write(settings), "--credentials", write(secrets))
	}

	It("exits with 0 when the org is where it belongs", func() {
		cf.AddSpace(cf.AddOrg("agency-a"), "dev")
		Expect(run()).To(Equal(0), stderr.String())
		Expect(stdout.String()).To(ContainSubstring("done: the security group is bound to 1 space"))
		Expect(stderr.String()).To(BeEmpty())
		Expect(cf.Segment("private-network-agency-a")).NotTo(BeNil())
	})

	It("exits with 1 when something failed, and says what", func() {
		Expect(run()).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring(`there is no org "agency-a"`))
		Expect(stderr.String()).NotTo(ContainSubstring("Usage"))
	})

	It("exits with 1 when a file is wrong or is not there", func() {
		settings["restart_timeout"] = "soon"
		Expect(run()).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring("restart_timeout"))
		Expect(execute("run", "--config", "/no/such/file")).To(Equal(1))
	})

	It("exits with 2 when it is used wrongly, without a word of the API", func() {
		Expect(execute("run", "--client-secret", "x")).To(Equal(2))
		Expect(execute("run", "now")).To(Equal(2))
		Expect(stderr.String()).To(ContainSubstring("See org-isolation run --help"))
		Expect(cf.Requests()).To(BeEmpty())
	})

	It("explains itself", func() {
		Expect(execute("--help")).To(Equal(0))
		Expect(stdout.String()).To(ContainSubstring("which running apps must\nrestart to move"))
	})
})
