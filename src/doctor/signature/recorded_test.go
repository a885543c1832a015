package signature_test

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/doctor/signature"
)

// The logs in testdata were written by real charons as the responder, one section a fault of the initiator.
// Of 6.0.1 there are those in which it could differ.
var versions = []string{"5.9.8", "6.0.1", "6.1.0"}

// whole are the versions of which there is every section.
var whole = []string{"5.9.8", "6.1.0"}

var recorded = func() map[string]map[string][]signature.Line {
	out := map[string]map[string][]signature.Line{}
	for _, version := range versions {
		data, err := os.ReadFile("testdata/strongswan-" + version + ".txt")
		if err != nil {
			panic(err)
		}
		out[version] = map[string][]signature.Line{}
		name, at := "", time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
		for l := range strings.Lines(string(data)) {
			l = strings.TrimSuffix(l, "\n")
			if section, ok := strings.CutPrefix(l, "== "); ok {
				name = section
				continue
			}
			sa, text, _ := strings.Cut(l, " ")
			at = at.Add(10 * time.Millisecond)
			out[version][name] = append(out[version][name], signature.Line{Time: at, SA: strings.TrimPrefix(sa, "-"), Text: text})
		}
	}
	return out
}()

var agreed = signature.Expect{
	Userland:        true,
	Gateway:         netip.MustParseAddr("203.0.113.10"),
	Endpoints:       []connection.Endpoint{{Address: netip.MustParseAddr("198.51.100.10"), Device: "strongswan", ID: "198.51.100.10"}},
	Segment:         []netip.Prefix{netip.MustParsePrefix("10.20.0.0/26")},
	PrivateNetworks: []netip.Prefix{netip.MustParsePrefix("10.150.0.0/16"), netip.MustParsePrefix("172.30.8.0/22")},
}

// read gives the findings half a minute after the last line.
func read(lines []signature.Line, ike connection.IKE) (*signature.Reader, []signature.Finding) {
	return readFor(agreed, lines, ike)
}

// byCertificate is what was agreed where both sides have certificates.
func byCertificate() signature.Expect {
	expect := agreed
	expect.Certificates = true
	expect.Endpoints = []connection.Endpoint{{Address: netip.MustParseAddr("198.51.100.10"), Device: "strongswan", ID: "vpn.agency-a.example"}}
	return expect
}

func readFor(expect signature.Expect, lines []signature.Line, ike connection.IKE) (*signature.Reader, []signature.Finding) {
	expect.IKE = ike
	r := signature.NewReader(expect)
	var now time.Time
	for _, l := range lines {
		r.Read(l)
		now = l.Time
	}
	return r, r.Findings(now.Add(30 * time.Second))
}

var _ = Describe("What charon logged", func() {
	// want is the parameters and the side, the versions of IKE in which the fault is visible to a
	// responder, and what the first finding must say.
	type want struct {
		name       string
		ike        string
		parameters []signature.Parameter
		side       signature.Side
		got, right string
	}
	p := func(list ...signature.Parameter) []signature.Parameter { return list }
	for _, w := range []want{
		{"ok", "12", nil, "", "", ""},
		{"ok-modern", "2", nil, "", "", ""},
		{"ikerekey", "12", nil, "", "", ""},
		{"close", "12", nil, "", "", ""},
		{"ts-both", "12", nil, "", "", ""},
		{"ike-enc", "12", p(signature.IKEEncryption), signature.Customer, "AES-128-CBC", "AES-256"},
		{"ike-hash", "12", p(signature.IKEHash), signature.Customer, "SHA-1", "SHA-256"},
		{"ike-dh", "12", p(signature.IKEGroup), signature.Customer, "group 2 ", "group 14 "},
		{"ike-prf", "2", p(signature.IKEPRF), signature.Customer, "SHA-1", "SHA-256"},
		{"ike-modern-prf", "2", p(signature.IKEPRF), signature.Customer, "SHA-256", "SHA-384"},
		{"ike-modern-cbc", "2", p(signature.IKEEncryption), signature.Customer, "AES-256-CBC", "AES-256-GCM"},
		{"ike-modern-dh", "2", p(signature.IKEGroup), signature.Customer, "group 14 ", "group 20 "},
		{"ike-3des", "12", p(signature.IKEEncryption, signature.IKEHash, signature.IKEGroup), signature.Customer, "3DES", "AES-256"},
		{"ike-ke-payload", "2", nil, "", "", ""},
		{"esp-enc", "12", p(signature.ESPEncryption), signature.Customer, "AES-128-CBC", "AES-256"},
		{"esp-hash", "12", p(signature.ESPHash), signature.Customer, "SHA-1", "SHA-256"},
		{"esp-dh", "1", p(signature.ESPGroup), signature.Customer, "group 2 ", "group 14 "},
		{"esp-nopfs", "1", p(signature.ESPGroup), signature.Customer, "no perfect forward secrecy", "group 14 "},
		{"esp-nopfs-rekey", "2", p(signature.ESPGroup), signature.Customer, "", ""},
		{"nopfs-custrekey", "2", p(signature.ESPGroup), signature.Customer, "no perfect forward secrecy", "group 14 "},
		{"dh-custrekey", "2", p(signature.ESPGroup), signature.Customer, "group 2 ", "group 14 "},
		{"psk", "12", p(signature.PreSharedKey), signature.Customer, "", ""},
		{"hammer-psk", "12", p(signature.PreSharedKey), signature.Customer, "", ""},
		{"nokey", "12", p(signature.GatewayKey), signature.Platform, "", ""},
		{"id-fqdn", "12", p(signature.OwnIdentityType), signature.Customer, "FQDN vpn.agency.example", "IP address 198.51.100.10"},
		{"id-email", "12", p(signature.OwnIdentityType), signature.Customer, "user FQDN (e-mail) a@agency.example", "IP address"},
		{"id-keyid", "12", p(signature.OwnIdentityType), signature.Customer, "key id or host name agency", "IP address"},
		{"id-addr", "12", p(signature.OwnIdentityValue), signature.Customer, "IP address 192.168.1.5", "IP address 198.51.100.10"},
		{"rid", "12", p(signature.PeerIdentity), signature.Customer, "", ""},
		{"rid-fqdn", "12", p(signature.PeerIdentity), signature.Customer, "", ""},
		{"aggressive", "1", p(signature.ExchangeMode), signature.Customer, "", ""},
		{"aggressive-refused", "1", p(signature.ExchangeMode), signature.Customer, "", ""},
		{"version", "12", p(signature.IKEVersion), signature.Customer, "IKEv", "IKEv"},
		{"src", "12", p(signature.SourceAddress), signature.Customer, "198.51.100.77", "198.51.100.10"},
		{"ts-swap", "12", p(signature.Selectors), signature.Customer, "local 10.20.0.0/26, remote 10.150.0.0/16 (local and remote swapped)", "local 10.150.0.0/16"},
		{"ts-extra", "12", p(signature.PrivateSelector), signature.Customer, "10.99.0.0/16 (not agreed)", "10.150.0.0/16 or 172.30.8.0/22"},
		{"ts-seg-wrong", "12", p(signature.SegmentSelector), signature.Customer, "10.21.0.0/26 (not agreed)", "10.20.0.0/26"},
		{"out500", "12", p(signature.GatewayFirewall), signature.Platform, "", ""},
		{"in4500", "12", p(signature.RequestsOn4500), signature.Between, "", ""},
		{"out4500", "12", p(signature.GatewayFirewall), signature.Platform, "", ""},
		{"half-open", "1", p(signature.PreSharedKey, signature.Retries), signature.Customer, "", ""},
		{"dead", "12", p(signature.Path), signature.Between, "", ""},
		{"cert-ended", "12", p(signature.Certificate), signature.Customer, "valid from Oct 24", "valid now"},
		{"cert-early", "12", p(signature.Clock), signature.Customer, "valid from Nov 24", "the gateway's time is Nov 23 09:00:0"},
		{"cert-ca", "12", p(signature.CertificateCA), signature.Customer, "CN=Platform CA", "endpoint_ca"},
		{"cert-name", "2", p(signature.CertificateName), signature.Customer, "CN=other.agency-a.example", "vpn.agency-a.example"},
		{"cert-revoked", "12", p(signature.Revoked), signature.Customer, "revoked on Nov 23", ""},
		{"cert-distrusted", "12", p(signature.GatewayTrust), signature.Customer, "", "203.0.113.10"},
		{"key-for-cert", "12", p(signature.AuthMethod), signature.Customer, "pre-shared key", "certificate"},
		{"cert-for-key", "1", p(signature.AuthMethod), signature.Customer, "RSA signature", "pre-shared key"},
		{"cert-for-key", "2", p(signature.AuthMethod), signature.Customer, "certificate", "pre-shared key"},
		{"esp-life-long", "1", p(signature.ESPLifetime), signature.Customer, "86400 seconds", "3600 seconds"},
		{"esp-life-short", "12", p(signature.ESPLifetime), signature.Customer, "5 renewals in 10 minutes", "3600 seconds"},
		{"ike-life-short", "12", p(signature.IKELifetime), signature.Customer, "5 renewals in 10 minutes", "28800 seconds"},
		{"no-natt", "1", p(signature.NATTraversal), signature.Customer, "off", "on"},
		{"idle", "12", p(signature.IdleTimeout), signature.Customer, "3 closings", "none"},
		{"psk-renewal", "1", p(signature.PreSharedKey), signature.Customer, "", ""},
		{"two-boxes", "12", p(signature.OneBox), signature.Customer, "", ""},
		{"hammer", "1", p(signature.PreSharedKey, signature.Retries), signature.Customer, "", ""},
		{"hammer", "2", p(signature.RequestsOn4500, signature.Retries), signature.Between, "", ""},
		{"esn", "12", p(signature.ESPSequence), signature.Customer, "on", "off"},
		{"ah", "12", p(signature.ESPMode), signature.Customer, "AH", "ESP"},
		{"transport", "12", p(signature.ESPMode), signature.Customer, "transport", "tunnel"},
		{"pool", "2", p(signature.VirtualAddress), signature.Customer, "", ""},
		{"eap", "2", p(signature.AuthMethod), signature.Customer, "EAP", "pre-shared key"},
		{"xauth", "1", p(signature.AuthMethod), signature.Customer, "XAuthInitPSK", "pre-shared key"},
		{"no-key-there", "1", p(signature.PreSharedKey), signature.Customer, "none", ""},
		{"id-dn", "12", p(signature.OwnIdentityType), signature.Customer, "distinguished name C=AU", "IP address 198.51.100.10"},
		{"id-same", "1", p(signature.OwnIdentityType), signature.Customer, "198.51.100.10 as another type", "IP address 198.51.100.10"},
		{"id-same", "2", p(signature.OwnIdentityType), signature.Customer, "198.51.100.10 for itself and 203.0.113.10 for the gateway", "IP address 203.0.113.10"},
		{"rid-same", "1", p(signature.PeerIdentity), signature.Customer, "", "203.0.113.10"},
		{"rid-same", "2", p(signature.OwnIdentityType), signature.Customer, "198.51.100.10 for itself and 203.0.113.10 for the gateway", "IP address 203.0.113.10"},
		{"large-ike", "2", p(signature.LargePackets), signature.Between, "", ""},
		{"ts-extra-pair", "1", p(signature.PrivateSelector), signature.Customer, "10.99.0.0/16 (not agreed)", "10.150.0.0/16"},
	} {
		for _, ike := range w.ike {
			section := w.name + " ikev" + string(ike)
			for _, version := range versions {
				if recorded[version][section] == nil && !slices.Contains(whole, version) {
					continue
				}
				It("of "+section+" by strongSwan "+version+" names exactly what is wrong", func() {
					lines := recorded[version][section]
					Expect(lines).NotTo(BeEmpty())
					expected := connection.IKE(ike)
					if w.name == "version" {
						expected = map[rune]connection.IKE{'1': connection.IKEv2, '2': connection.IKEv1}[ike]
					}
					expect := agreed
					if strings.HasPrefix(w.name, "cert-") && w.name != "cert-for-key" || w.name == "key-for-cert" || w.name == "large-ike" {
						expect = byCertificate()
					}
					r, findings := readFor(expect, lines, expected)
					var parameters []signature.Parameter
					for _, f := range findings {
						parameters = append(parameters, f.Parameter)
						Expect(f.Meaning).NotTo(BeEmpty())
						Expect(f.Evidence).NotTo(BeEmpty())
					}
					Expect(parameters).To(Equal(w.parameters), "%v", findings)
					if len(findings) > 0 {
						Expect(findings[0].Side).To(Equal(w.side))
						Expect(findings[0].Got).To(ContainSubstring(w.got))
						Expect(findings[0].Want).To(ContainSubstring(w.right))
					}
					Expect(r.Unknown()).To(BeEmpty())
				})
			}
		}
	}

	It("holds a line for every row", func() {
		seen := map[string]map[string]bool{}
		for _, version := range versions {
			for _, lines := range recorded[version] {
				for _, l := range lines {
					if row, _ := signature.Match(signature.Clean(l.Text)); row != nil {
						if seen[row.Name] == nil {
							seen[row.Name] = map[string]bool{}
						}
						seen[row.Name][version] = true
					}
				}
			}
		}
		for _, row := range signature.Rows {
			if row.Name == "charon-started" {
				// 5.9.8 opens its log file after it has said so.
				continue
			}
			for _, version := range whole {
				Expect(seen[row.Name]).To(HaveKey(version), row.Name)
			}
		}
	})
})
