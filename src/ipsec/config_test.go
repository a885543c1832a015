package ipsec_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/ipsec"
)

const goodKey = "Zq3vT8mKx1LpR6wYb9NcJ4hGd7FsU2aEoI5tXkQyVrMnBzPu"

const goodGateway = `{
  "connection": {
    "org": "agency-a",
    "segment": ["10.20.0.0/26"],
    "private_networks": ["10.150.0.0/16", "172.30.8.0/22"],
    "gateways": [{"address": "10.20.0.4", "public_address": "203.0.113.10"}, {"address": "10.20.0.5", "public_address": "203.0.113.11"}],
    "endpoints": [{"address": "198.51.100.10", "device": "paloalto"}]
  },
  "addresses": ["10.20.0.5", "192.168.3.9"],
  "log_level": 1
}`

func read(gateway, psk string) (ipsec.Config, error) {
	return ipsec.Read(ipsec.File{Name: "gateway.json", Data: []byte(gateway)}, ipsec.File{Name: "psk.json", Data: []byte(psk)})
}

func keys(a string) string { return fmt.Sprintf(`{"psk_a": %q, "active_psk": "a"}`, a) }

// with is the good file with one text replaced.
func with(old, new string) string {
	GinkgoHelper()
	Expect(goodGateway).To(ContainSubstring(old))
	return strings.Replace(goodGateway, old, new, 1)
}

var _ = Describe("A gateway's configuration", func() {
	It("knows by the instance's addresses which gateway it is", func() {
		config, err := read(goodGateway, keys(goodKey))
		Expect(err).NotTo(HaveOccurred())
		Expect(config.Connections).To(HaveLen(1))
		Expect(config.Connections[0].Gateway.PublicAddress.String()).To(Equal("203.0.113.11"))
		Expect(config.DataPath).To(Equal(connection.DataPathKernel))
	})

	DescribeTable("takes the policy that suits the IKE version by default",
		func(ike string, want ipsec.Policy) {
			config, err := read(with(`"log_level"`, fmt.Sprintf(`"ike": %q, "log_level"`, ike)), keys(goodKey))
			Expect(err).NotTo(HaveOccurred())
			Expect(config.Connections[0].Policy).To(Equal(want))
		},
		Entry("IKEv1", "1", ipsec.Compatible),
		Entry("IKEv2", "2", ipsec.Modern),
		Entry("either", "auto", ipsec.Compatible),
	)

	DescribeTable("is refused with what would be right",
		func(gateway func() string, want string) {
			_, err := read(gateway(), keys(goodKey))
			Expect(err).To(MatchError(ContainSubstring(want)))
		},
		Entry("an instance that is no gateway", func() string { return with(`"10.20.0.5", "192`, `"10.20.0.9", "192`) },
			"addresses: 10.20.0.9, 192.168.3.9: none is the address of a gateway (10.20.0.4, 10.20.0.5)"),
		Entry("an instance that is two", func() string { return with(`"192.168.3.9"`, `"10.20.0.4"`) }, "more than one is the address of a gateway"),
		Entry("IKEv1 with modern", func() string { return with(`"log_level"`, `"ike": "1", "policy": "modern", "log_level"`) },
			`policy: "modern" needs ike: 2, because IKEv1 has no such algorithms; use policy: compatible with ike: 1`),
		Entry("the default proposals", func() string { return with(`"log_level"`, `"policy": "default", "log_level"`) }, "must be one of compatible, modern, quantum-safe"),
		Entry("a log level that prints keys", func() string { return with(`"log_level": 1`, `"log_level": 4`) }, `log_level: "4" must be a whole number from 0 to 2`),
		Entry("no endpoint", func() string { return with(`[{"address": "198.51.100.10", "device": "paloalto"}]`, `[]`) }, "connection.endpoints: "),
		Entry("an identity that means anyone", func() string { return with(`"paloalto"}`, `"paloalto", "id": "0.0.0.0"}`) }, `the identity "0.0.0.0" is no IPv4 address that names one endpoint`),
		Entry("two endpoints with one identity", func() string {
			return with(`"paloalto"}`, `"paloalto", "id": "a.example"}, {"address": "198.51.100.11", "device": "aws", "id": "a.example"}`)
		}, `two have the identity "a.example"`),
		Entry("an unknown field", func() string { return with(`"log_level"`, `"psk": "x", "log_level"`) }, "psk: is not a known field"),
	)

	It("names everything that is wrong in both files at once", func() {
		_, err := read(with(`"log_level": 1`, `"log_level": 9, "ike": "3"`), keys("short"))
		Expect(err).To(MatchError(And(
			ContainSubstring("gateway.json:10: log_level:"), ContainSubstring("gateway.json:10: ike:"), ContainSubstring("psk.json:1: psk_a: has 5 characters"))))
	})
})

var _ = Describe("A pre-shared key", func() {
	It("may start with 0, as one in 36 that a director generates does", func() {
		_, err := read(goodGateway, keys("07"+goodKey))
		Expect(err).NotTo(HaveOccurred())
	})

	DescribeTable("is refused without being shown, with the command that makes a new one",
		func(psk, want string) {
			_, err := read(goodGateway, psk)
			Expect(err).To(MatchError(And(ContainSubstring(want), ContainSubstring("credhub regenerate -n /DIRECTOR/DEPLOYMENT/private-network-agency-a-psk"))))
			Expect(err.Error()).NotTo(ContainSubstring(goodKey[:8]))
		},
		Entry("too short", keys(goodKey[:31]), "psk_a: has 31 characters; at least 32 are needed"),
		Entry("too long", keys(goodKey+goodKey+goodKey), "devices take at most 128"),
		Entry("starts with 0x", keys("0x"+goodKey), "starts with 0x, 0s or 0t"),
		Entry("starts with 0s", keys("0s"+goodKey), "starts with 0x, 0s or 0t"),
		Entry("other characters", keys(goodKey+" !"), "other characters than letters, digits, dots and underscores"),
		Entry("a placeholder", keys("CHANGEME"+goodKey), "is a placeholder"),
		Entry("not interpolated", keys("((private-network-agency-a-psk-"+goodKey+"))"), "is a variable that was not interpolated"),
		Entry("typed", keys(strings.Repeat("abcd", 10)), "repeats a few characters"),
		Entry("absent", `{"active_psk": "a"}`, "psk_a: is missing"),
		Entry("the active one absent", fmt.Sprintf(`{"psk_a": %q, "active_psk": "b"}`, goodKey), "psk_b: is missing, and active_psk says to use it"),
		Entry("the other one bad", fmt.Sprintf(`{"psk_a": %q, "psk_b": "x", "active_psk": "a"}`, goodKey), "psk_b: has 1 characters"),
	)

	It("is the one that active_psk names", func() {
		config, err := read(goodGateway, fmt.Sprintf(`{"psk_a": %q, "psk_b": %q, "active_psk": "b"}`, goodKey, "b"+goodKey))
		Expect(err).NotTo(HaveOccurred())
		Expect(string(config.Connections[0].Keys.Key(ipsec.SlotB).Bytes())).To(Equal("b" + goodKey))
	})

	It("prints as [secret], also inside of other values", func() {
		config, err := read(goodGateway, keys(goodKey))
		Expect(err).NotTo(HaveOccurred())
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", config, "key", config.Connections[0].Keys.A)
		data, err := json.Marshal(config)
		Expect(err).NotTo(HaveOccurred())
		for _, text := range []string{
			fmt.Sprint(config), fmt.Sprintf("%+v %#v %q %x", config, config, config.Connections[0].Keys.A, config.Connections[0].Keys.A), log.String(), string(data),
		} {
			Expect(text).To(And(ContainSubstring("[secret]"), Not(ContainSubstring(goodKey)), Not(ContainSubstring(fmt.Sprintf("%x", goodKey)))))
		}
	})
})
