package signature_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/doctor/signature"
	"privnet/ipsec/vici"
)

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// lines are those of one IKE_SA, a second apart.
func lines(sa string, texts ...string) []signature.Line {
	var out []signature.Line
	for i, text := range texts {
		out = append(out, signature.Line{Time: start.Add(time.Duration(i) * time.Second), SA: sa, Text: text})
	}
	return out
}

var _ = Describe("A reader", func() {
	It("shows what it does not know and swallows nothing", func() {
		r, findings := read(lines("1", "something entirely new happened", "generating IKE_AUTH response 1 [ N(X) ]"), connection.IKEv2)
		Expect(findings).To(BeEmpty())
		Expect(r.Unknown()).To(HaveLen(1))
		Expect(r.Unknown()[0].Text).To(Equal("something entirely new happened"))
	})

	It("forgets a failure that a later success overtakes", func() {
		log := recorded["6.1.0"]["psk ikev2"]
		r := signature.NewReader(agreed)
		for _, l := range log {
			r.Read(l)
		}
		Expect(r.Findings(start.Add(time.Hour))).To(HaveLen(1))
		later := log[len(log)-1].Time.Sub(start) + time.Minute
		for _, l := range recorded["6.1.0"]["ok ikev2"] {
			l.SA, l.Time = "9", start.Add(later)
			if !strings.HasPrefix(l.Text, "Starting") {
				r.Read(l)
			}
		}
		Expect(r.Findings(start.Add(time.Hour))).To(BeEmpty())
	})

	It("believes an address only from the packet that brought it", func() {
		_, findings := read(lines("1",
			"received packet: from 192.0.2.66[500] to 203.0.113.10[500] (100 bytes)",
			"parsed IKE_AUTH request 1 [ IDi ]",
			"looking for peer configs matching 203.0.113.10[203.0.113.10]...198.51.100.10[x]...192.0.2.66[evil]",
			"no matching peer config found"), connection.IKEv2)
		Expect(findings).To(BeEmpty(), "it is about no declared endpoint")
	})

	It("says nothing of a stranger that knocks while the endpoint is heard", func() {
		log := recorded["6.1.0"]["ok ikev2"]
		log = append(log, lines("7",
			"received packet: from 192.0.2.66[500] to 203.0.113.10[500] (100 bytes)",
			"no IKE config found for 203.0.113.10...192.0.2.66, sending NO_PROPOSAL_CHOSEN")...)
		_, findings := read(log, connection.IKEv2)
		Expect(findings).To(BeEmpty())
	})

	It("takes a stranger that knocked once for nobody after a while, and not one that insists", func() {
		knock := []string{"received packet: from 192.0.2.66[500] to 203.0.113.10[500] (100 bytes)", "no IKE config found for 203.0.113.10...192.0.2.66, sending NO_PROPOSAL_CHOSEN"}
		r := signature.NewReader(agreed)
		for n, want := range []int{0, 0, 1} {
			for _, l := range lines(fmt.Sprint(n), knock...) {
				r.Read(l)
			}
			Expect(r.Findings(start.Add(time.Minute))).To(HaveLen(1))
			Expect(r.Findings(start.Add(time.Hour))).To(HaveLen(want))
		}
	})

	It("tells a CA that has ended from a certificate that has", func() {
		expect := byCertificate()
		_, findings := readFor(expect, lines("1",
			"received packet: from 198.51.100.10[4500] to 203.0.113.10[4500] (100 bytes)",
			"issuer certificate invalid (valid from Oct 24 06:11:22 2020 to Nov 22 06:11:22 2026)",
			"no trusted RSA public key found for 'vpn.agency-a.example'"), connection.IKEv2)
		Expect(findings).To(HaveLen(1))
		Expect(findings[0].Parameter).To(Equal(signature.CertificateCA))
		Expect(findings[0].Got).To(Equal("valid from Oct 24 06:11:22 2020 to Nov 22 06:11:22 2026"))
	})

	It("says what an endpoint said that breaks phase 1 off, and believes nothing in clear of a tunnel that stands", func() {
		packet := "received packet: from 198.51.100.10[4500] to 203.0.113.10[4500] (56 bytes)"
		said := "parsed INFORMATIONAL_V1 request 2225700418 [ N(INVAL_CERT) ]"
		_, findings := read(lines("1", packet, "parsed ID_PROT request 0 [ KE No NAT-D NAT-D ]", packet, said), connection.IKEv1)
		Expect(findings).To(HaveLen(1))
		Expect(findings[0].Parameter).To(Equal(signature.Refusal))
		Expect(findings[0].Got).To(Equal("INVAL_CERT"))
		_, findings = read(lines("1", packet, "IKE_SA agency-a[1] established between 203.0.113.10[203.0.113.10]...198.51.100.10[198.51.100.10]", said), connection.IKEv1)
		Expect(findings).To(HaveLen(0))
	})

	It("takes one duplicate for a device that came back, and several for two devices", func() {
		log := []string{"received packet: from 198.51.100.10[4500] to 203.0.113.10[4500] (100 bytes)"}
		duplicate := "deleting duplicate IKE_SA for peer '198.51.100.10' due to uniqueness policy"
		_, findings := read(lines("1", append(log, duplicate)...), connection.IKEv2)
		Expect(findings).To(BeEmpty())
		_, findings = read(lines("1", append(log, duplicate, duplicate, duplicate)...), connection.IKEv2)
		Expect(findings).To(HaveLen(1))
		Expect(findings[0].Parameter).To(Equal(signature.OneBox))
	})

	It("bears a line of 64 KiB, and one that would write to the terminal", func() {
		long := strings.Repeat("\x1b]0;owned\a\r\n\u202e", 64<<10/14)
		r, findings := read(lines("1",
			"received packet: from 198.51.100.10[500] to 203.0.113.10[500] (100 bytes)",
			"looking for peer configs matching 203.0.113.10[203.0.113.10]...198.51.100.10["+long+"]",
			"no matching peer config found", long), connection.IKEv2)
		for _, f := range findings {
			Expect(f.Got + f.Want + f.Evidence).To(Equal(signature.Clean(f.Got + f.Want + f.Evidence)))
			Expect(len(f.Got)).To(BeNumerically("<=", 17<<10))
		}
		for _, l := range r.Unknown() {
			Expect(l.Text).NotTo(MatchRegexp(`[[:cntrl:]]`))
			Expect(len(l.Text)).To(BeNumerically("<=", 16<<10))
		}
	})

	It("lets through no control character", func() {
		r, _ := read(lines("1", "new \x1b[31mred\x00 \xff\u202e"), connection.IKEv2)
		Expect(r.Unknown()[0].Text).To(Equal("new  [31mred  ?"))
	})
})

var _ = Describe("A proposed selector", func() {
	segment := []netip.Prefix{netip.MustParsePrefix("10.20.0.0/26")}
	private := []netip.Prefix{netip.MustParsePrefix("10.150.0.0/16"), netip.MustParsePrefix("172.30.8.0/22")}
	DescribeTable("is classified against what was agreed", func(text string, want signature.Relation) {
		selector, err := vici.ParseSelector(text)
		Expect(err).NotTo(HaveOccurred())
		Expect(signature.Relate(selector, private, segment)).To(Equal(want))
	},
		Entry(nil, "172.30.8.0/22", signature.Exact),
		Entry(nil, "0.0.0.0/0", signature.Any),
		Entry(nil, "10.150.0.9/32", signature.Host),
		Entry(nil, "10.150.0.9", signature.Host),
		Entry(nil, "10.150.4.0/24", signature.Subset),
		Entry(nil, "10.150.0.0..10.150.3.7", signature.Subset),
		Entry(nil, "10.0.0.0/8", signature.Superset),
		Entry(nil, "10.20.0.0/26", signature.Swapped),
		Entry(nil, "10.99.0.0/16", signature.Foreign),
		Entry(nil, "10.150.0.0/16[tcp/443]", signature.Narrowed),
	)
})

// What a stranger writes into a log must neither stop the reader nor reach a terminal as it is.
func FuzzReader(f *testing.F) {
	for _, version := range versions {
		for _, log := range recorded[version] {
			var text strings.Builder
			for _, l := range log {
				fmt.Fprintln(&text, l.Text)
			}
			f.Add(text.String())
		}
	}
	f.Add("received proposals: IKE:/,IKE:,:\nno proposal found\ntraffic selectors  ===  unacceptable")
	f.Fuzz(func(t *testing.T, log string) {
		for _, expect := range []signature.Expect{agreed, byCertificate()} {
			bear(t, expect, log)
		}
	})
}

// bear fails where a log makes something of a reader that may not be.
func bear(t *testing.T, expect signature.Expect, log string) {
	r := signature.NewReader(expect)
	for i, text := range strings.Split(log, "\n") {
		r.Read(signature.Line{Time: start.Add(time.Duration(i) * time.Millisecond), SA: "1", Text: text})
	}
	for _, finding := range r.Findings(start.Add(time.Hour)) {
		for _, text := range []string{finding.Got, finding.Want, finding.Evidence, finding.Meaning} {
			if text != signature.Clean(text) {
				t.Fatalf("%q is not clean", text)
			}
		}
		if finding.Parameter == "" || finding.Side == "" {
			t.Fatalf("%+v names nothing", finding)
		}
	}
	for _, l := range r.Unknown() {
		if l.Text != signature.Clean(l.Text) {
			t.Fatalf("%q is not clean", l.Text)
		}
	}
}
