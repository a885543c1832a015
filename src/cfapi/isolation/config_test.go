package isolation_test

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/cfapi/isolation"
)

const settings = `{
  "connection": {
    "org": "agency-a",
    "segment": ["10.20.0.0/26"],
    "private_networks": ["10.150.0.0/16"],
    "gateways": [{"address": "10.20.0.4", "public_address": "203.0.113.10"}],
    "allow": [{"protocol": "tcp", "ports": "443"}]
  },
  "org": "Agency A",
  "api": {"url": "https://api.example.com", "ca_certificate": null},
  "dry_run": true,
  "remove": false,
  "restart_apps": true,
  "restart_timeout": "15m"
}
`

const credentials = `{"client_id": "errand", "client_secret": "tell-nobody"}`

var _ = Describe("The job's files", func() {
	read := func(settings, credentials string) error {
		_, _, err := isolation.Read(isolation.File{Name: "isolation.json", Data: []byte(settings)}, isolation.File{Name: "credentials.json", Data: []byte(credentials)})
		return err
	}

	It("say what to do, where and as whom", func() {
		config, api, err := isolation.Read(isolation.File{Name: "a", Data: []byte(settings)}, isolation.File{Name: "b", Data: []byte(credentials)})
		Expect(err).NotTo(HaveOccurred())
		Expect(config.Org).To(Equal("Agency A"))
		Expect(config.Name()).To(Equal("private-network-agency-a"))
		Expect(config.Connection.Allow).To(HaveLen(1))
		Expect(config.DryRun).To(BeTrue())
		Expect(config.Remove).To(BeFalse())
		Expect(config.RestartApps).To(BeTrue())
		Expect(config.RestartTimeout).To(Equal(15 * time.Minute))
		Expect(api.URL).To(Equal("https://api.example.com"))
		Expect(api.ClientID).To(Equal("errand"))
		Expect(api.ClientSecret).To(Equal("tell-nobody"))
		Expect(api.ReadOnly).To(BeTrue(), "a dry run")
	})

	It("need not name an org that CF calls as the connection does", func() {
		config, _, err := isolation.Read(isolation.File{Data: []byte(strings.Replace(settings, `"Agency A"`, "null", 1))}, isolation.File{Data: []byte(credentials)})
		Expect(err).NotTo(HaveOccurred())
		Expect(config.Org).To(Equal("agency-a"))
	})

	DescribeTable("are refused with what would be right",
		func(old, replacement, want string) {
			Expect(settings).To(ContainSubstring(old))
			Expect(read(strings.Replace(settings, old, replacement, 1), credentials)).To(MatchError(ContainSubstring(want)))
		},
		Entry("no TLS", "https://", "http://", `isolation.json:10: api.url: "http://api.example.com" is not https`),
		Entry("no URL", `"https://api.example.com"`, `"api.example.com"`, "api.url: \"api.example.com\" is not a URL"),
		Entry("a path", "example.com", "example.com/v3", "api.url: has more than a host and a port"),
		Entry("a bad certificate", `"ca_certificate": null`, `"ca_certificate": "x"`, "api.ca_certificate: holds no certificate"),
		Entry("a way around TLS", `"ca_certificate": null`, `"skip_ssl_validation": true`, "api.skip_ssl_validation: is not a known field"),
		Entry("no yes or no", `"dry_run": true`, `"dry_run": "maybe"`, `dry_run: "maybe" must be true or false`),
		Entry("a time that is none", `"15m"`, `"soon"`, `restart_timeout: "soon" must be a time from 1m0s to 24h0m0s`),
		Entry("a broken connection", `"10.150.0.0/16"`, `"10.150.0.1/16"`, "connection.private_networks[0]"),
	)

	It("are refused together, with every problem", func() {
		Expect(read(strings.Replace(settings, `"15m"`, `"soon"`, 1), `{"client_id": ""}`)).To(MatchError(And(
			ContainSubstring("isolation.json:14: restart_timeout"),
			ContainSubstring("credentials.json:1: client_id: is missing"),
			ContainSubstring("credentials.json:1: client_secret: is missing"),
		)))
	})

	It("never show the secret, however wrong they are", func() {
		for _, wrong := range []string{`{"client_id": ["tell-nobody"], "client_secret": ["tell-nobody"]}`, `{"client_secret": {"tell-nobody": 1}}`, `{"client_secret": "tell-nobody"`} {
			err := read(settings, wrong)
			Expect(err).To(HaveOccurred())
			Expect(err.Error()).NotTo(ContainSubstring("tell-nobody"))
		}
	})
})

func FuzzRead(f *testing.F) {
	f.Add(settings, credentials)
	f.Fuzz(func(_ *testing.T, settings, credentials string) {
		_, _, _ = isolation.Read(isolation.File{Name: "a", Data: []byte(settings)}, isolation.File{Name: "b", Data: []byte(credentials)})
	})
}
