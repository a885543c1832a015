package ipsec_test

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/ipsec"
)

// crypto is the good file with more settings.
func crypto(settings string) string { return with(`"log_level"`, settings+`, "log_level"`) }

func waiver(algorithms ...string) string {
	var out []string
	for _, a := range algorithms {
		out = append(out, fmt.Sprintf(`{"algorithm": %q, "reason": "the ASA 5505 has nothing better; J. Doe", "until": "2027-03-31"}`, a))
	}
	return `"waivers": [` + strings.Join(out, ",") + `]`
}

var _ = Describe("A waiver", func() {
	connectionOf := func(settings string) ipsec.Connection {
		GinkgoHelper()
		config, err := read(crypto(settings), keys(goodKey))
		Expect(err).NotTo(HaveOccurred())
		return config.Connections[0]
	}

	It("adds the weak algorithms that it names, last, and no others", func() {
		c := connectionOf(`"ike": "auto", ` + waiver("sha1", "modp1024", "aes128", "nopfs"))
		rendered := render(ipsec.Config{Connections: []ipsec.Connection{c}})
		v2, v1 := rendered.Connections[0], rendered.Connections[1]
		Expect(strings.Split(setting(v2, "proposals"), ", ")).To(Equal([]string{
			"aes256gcm16-prfsha384-prfsha512-prfsha256-prfsha1-ecp384-ecp521-ecp256-modp4096-modp3072-modp2048-modp1024",
			"aes256-aes128-sha384-sha512-sha256-sha1-ecp384-ecp521-ecp256-modp4096-modp3072-modp2048-modp1024",
		}))
		proposals := strings.Split(setting(v1, "proposals"), ", ")
		Expect(proposals[0]).To(Equal("aes256-sha384-ecp384"))
		Expect(proposals[len(proposals)-1]).To(Equal("aes128-sha1-modp1024"))
		Expect(setting(v1, "children", "10-20-0-0_26-to-10-150-0-0_16", "esp_proposals")).To(HaveSuffix(", aes128-sha256, aes128-sha1"))
		for _, c := range rendered.Connections[:2] {
			Expect(setting(c, "proposals")).NotTo(MatchRegexp(`modp1536|aes128gcm|3des|md5`))
		}
	})

	It("changes nothing without itself", func() {
		for _, version := range []connection.IKE{connection.IKEv1, connection.IKEv2} {
			for _, policy := range []ipsec.Policy{ipsec.Modern, ipsec.Compatible, ipsec.QuantumSafe} {
				for _, proposal := range append(policy.IKEProposals(version), policy.ESPProposals(version)...) {
					Expect(proposal).NotTo(MatchRegexp(`(aes128|sha1|modp1024|modp1536|md5|des)\b`))
					Expect(proposal).To(MatchRegexp(`ecp|modp`), "PFS")
				}
			}
		}
	})

	It("ends on the evening of its day, in a sentence", func() {
		config, err := read(crypto(`"policy": "compatible", `+waiver("modp1024")), keys(goodKey))
		Expect(err).NotTo(HaveOccurred())
		day := time.Date(2027, 3, 31, 23, 59, 59, 0, time.UTC)
		Expect(config.Expiries()).To(ConsistOf(HaveField("What", "the waiver for modp1024")))
		Expect(config.Expiries()[0].Expired(day)).To(BeFalse())
		Expect(config.Expiries()[0].Expired(day.Add(time.Second))).To(BeTrue())
		Expect(config.Expiries()[0].String()).To(HavePrefix("org agency-a: the waiver for modp1024 ends on 2027-04-01T00:00:00Z. Move the endpoint to something better"))
	})

	DescribeTable("is refused",
		func(settings, want string) {
			_, err := read(crypto(settings), keys(goodKey))
			Expect(err).To(MatchError(ContainSubstring(want)))
		},
		Entry("for what is broken", `"policy": "compatible", `+waiver("3des"), `waivers[0].algorithm: "3des" is refused, with or without a waiver: its 64-bit blocks`),
		Entry("for MD5", `"policy": "compatible", `+waiver("md5"), "MD5 is broken"),
		Entry("for what is unknown", `"policy": "compatible", `+waiver("rot13"), "is no weak algorithm; weak are aes128, aes128gcm16, modp1024, modp1536, nopfs, prfsha1, sha1"),
		Entry("for what is good", `"policy": "compatible", `+waiver("aes256"), "needs no waiver"),
		Entry("twice", `"policy": "compatible", `+waiver("sha1", "sha1"), "is waived twice"),
		Entry("where nothing offers it", waiver("sha1"), "allows sha1, which policy modern never offers"),
		Entry("without a reason", `"policy": "compatible", "waivers": [{"algorithm": "sha1", "until": "2027-03-31"}]`, "must say why the endpoint cannot do better"),
		Entry("without a date", `"policy": "compatible", "waivers": [{"algorithm": "sha1", "reason": "an old device"}]`, "until: is missing; give the date"),
		Entry("with another date", `"policy": "compatible", "waivers": [{"algorithm": "sha1", "reason": "an old device", "until": "soon"}]`, `until: "soon" must be a date`),
	)
})

var _ = Describe("Custom proposals", func() {
	proposals := func(ike, esp string) string {
		return fmt.Sprintf(`"proposals": {"ike": [%q], "esp": [%q]}`, ike, esp)
	}

	It("are offered as they are named", func() {
		config, err := read(crypto(proposals("aes192-sha256-modp2048", "aes256gcm16-ecp256")), keys(goodKey))
		Expect(err).NotTo(HaveOccurred())
		c := render(config).Connections[0]
		Expect(setting(c, "proposals")).To(Equal("aes192-sha256-modp2048"))
		Expect(setting(c, "children", "all-pairs", "esp_proposals")).To(Equal("aes256gcm16-ecp256"))
	})

	It("may be weak if every weakness is waived by name", func() {
		_, err := read(crypto(`"ike": "1", `+proposals("aes128-sha1-modp1024", "aes128-sha1")), keys(goodKey))
		Expect(err).To(MatchError(And(ContainSubstring(`proposals.ike[0]: "aes128-sha1-modp1024" needs a waiver for aes128`), ContainSubstring("needs a waiver for sha1 (SHA-1 is broken"),
			ContainSubstring("needs a waiver for modp1024"), ContainSubstring(`proposals.esp[0]: "aes128-sha1" needs a waiver for nopfs`))))
		_, err = read(crypto(`"ike": "1", `+proposals("aes128-sha1-modp1024", "aes128-sha1")+`, `+waiver("aes128", "sha1", "modp1024", "nopfs")), keys(goodKey))
		Expect(err).NotTo(HaveOccurred())
	})

	DescribeTable("are refused with a sentence",
		func(ike, esp, want string) {
			_, err := read(crypto(proposals(ike, esp)), keys(goodKey))
			Expect(err).To(MatchError(ContainSubstring(want)))
		},
		Entry("strongSwan's default", "default", "aes256gcm16-ecp384", `proposals.ike[0]: "default" is strongSwan's own list`),
		Entry("3DES", "3des-sha256-modp2048", "aes256gcm16-ecp384", "holds 3des, which is refused: its 64-bit blocks can be attacked"),
		Entry("MD5", "aes256-md5-modp2048", "aes256gcm16-ecp384", "MD5 is broken; use sha256"),
		Entry("MODP-768", "aes256-sha256-modp768", "aes256gcm16-ecp384", "can be broken by anyone"),
		Entry("no encryption", "aes256-sha256-modp2048", "null-sha256-ecp384", "holds null, which is refused"),
		Entry("a group that is none", "aes256-sha256-none", "aes256gcm16-ecp384", "leaves out what protects the tunnel"),
		Entry("a typing error", "aes257-sha256-modp2048", "aes256gcm16-ecp384", `holds "aes257", which is no algorithm; known are aes128, `),
		Entry("a section of a file", "aes256 } x {", "aes256gcm16-ecp384", "which is no algorithm"),
		Entry("an AEAD without a PRF", "aes256gcm16-ecp384", "aes256gcm16-ecp384", "names no PRF"),
		Entry("an AEAD with integrity", "aes256-sha256-ecp384", "aes256gcm16-sha256-ecp384", "names integrity beside an AEAD"),
		Entry("AEAD and other encryption", "aes256-aes256gcm16-sha256-ecp384", "aes256gcm16-ecp384", "mixes AEAD and other encryption"),
		Entry("no group", "aes256-sha256", "aes256gcm16-ecp384", "names no key exchange group"),
		Entry("no integrity", "aes256-modp2048", "aes256gcm16-ecp384", "names no integrity"),
		Entry("nothing at all", "", "aes256gcm16-ecp384", `holds "", which is no algorithm`),
	)

	DescribeTable("do not go with",
		func(settings, want string) {
			_, err := read(crypto(settings+", "+proposals("aes256gcm16-prfsha384-ecp384", "aes256gcm16-ecp384")), keys(goodKey))
			Expect(err).To(MatchError(ContainSubstring(want)))
		},
		Entry("a preset", `"policy": "modern"`, "proposals: and policy exclude each other"),
		Entry("both IKE versions", `"ike": "auto"`, "do not fit both IKE versions"),
		Entry("IKEv1, for what only IKEv2 has", `"ike": "1"`, "holds what only IKEv2 has"),
	)

	It("name one algorithm of a kind for IKEv1", func() {
		_, err := read(crypto(`"ike": "1", `+proposals("aes256-sha256-sha384-modp2048", "aes256-sha256-modp2048")), keys(goodKey))
		Expect(err).To(MatchError(ContainSubstring("names 2 algorithms for integrity; IKEv1 has one of a kind")))
	})
})

var _ = Describe("FIPS", func() {
	It("leaves the cryptography to OpenSSL's FIPS provider", func() {
		config, err := read(crypto(`"fips": true`), keys(goodKey))
		Expect(err).NotTo(HaveOccurred())
		conf := render(config).StrongSwan
		Expect(setting(conf, "charon", "plugins", "openssl", "fips_mode")).To(Equal("1"))
		Expect(setting(conf, "charon", "load")).To(Equal("random nonce openssl socket-default kernel-netlink counters vici"))
		Expect(setting(render(good(func(*ipsec.Config) {})).StrongSwan, "charon", "load")).To(Equal("random nonce openssl ml hmac kdf socket-default kernel-netlink counters vici"))
	})

	DescribeTable("refuses what the provider does not have",
		func(settings, want string) {
			_, err := read(crypto(`"fips": true, `+settings), keys(goodKey))
			Expect(err).To(MatchError(ContainSubstring(want)))
		},
		Entry("ML-KEM", `"policy": "quantum-safe"`, `fips: "true" does not go with ke1_mlkem1024, ke1_mlkem768, which policy quantum-safe offers`),
		Entry("a weak group", `"policy": "compatible", `+waiver("modp1024"), "does not go with modp1024"),
		Entry("others' curves and ciphers", `"proposals": {"ike": ["chacha20poly1305-prfsha256-curve25519"], "esp": ["aes256gcm16-ecp384"]}`, "does not go with chacha20poly1305, curve25519"),
	)
})
