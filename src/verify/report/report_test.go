package report_test

import (
	"encoding/xml"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/verify"
	"privnet/verify/report"
)

func TestReport(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "verify/report")
}

func example() report.Report {
	org := func(name string, findings ...verify.Finding) verify.Org {
		return verify.Org{
			Name: name, Segment: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/26")},
			PrivateNetworks: []netip.Prefix{netip.MustParsePrefix("10.150.0.0/16"), netip.MustParsePrefix("172.30.8.0/22")},
			VMs:             []string{"vpn-gateway-" + name + "/0"}, Rules: 60, Holds: len(findings) == 0, Findings: findings,
			Artefacts: strings.Repeat("ab", 32),
		}
	}
	return report.Report{
		Made:   time.Date(2026, 11, 23, 3, 4, 5, 0, time.UTC),
		Inputs: []report.Input{{Name: "<script>alert(1)</script>.yml", SHA256: strings.Repeat("0f", 32)}},
		Result: verify.Result{
			Orgs: []verify.Org{org("agency-a"), org("agency-b", verify.Finding{
				Obligation: "tunnel", Sentence: "vpn-gateway-agency-b/0: the gateway lets a packet in",
				Packet: &verify.Packet{From: "10.20.0.70:40000 (the segment of agency-a)", To: "10.150.0.1:443", Protocol: "tcp", State: "the first of its flow",
					Way: []string{"vpn-gateway-agency-b/0: FORWARD: privnet-forward rule 1: -d 10.150.0.0/16 -g privnet-to"}},
			})},
			Platform: []verify.Finding{{Obligation: "guard", Sentence: "diego-cell has no guard"}},
		},
	}
}

var _ = Describe("The report", func() {
	It("is a page of its own: well-formed, without scripts, links or anything from elsewhere", func() {
		page, err := example().HTML()
		Expect(err).NotTo(HaveOccurred())
		text := string(page)
		Expect(text).To(And(ContainSubstring(`"default-src 'none'; style-src 'unsafe-inline'"`), ContainSubstring("&lt;script&gt;alert(1)")))
		Expect(strings.ToLower(text)).NotTo(Or(ContainSubstring("<script"), ContainSubstring("http://"), ContainSubstring("https://"),
			ContainSubstring("<img"), ContainSubstring("<link"), ContainSubstring("onload=")))
		decoder := xml.NewDecoder(strings.NewReader(strings.TrimPrefix(text, "<!DOCTYPE html>")))
		decoder.Strict, decoder.AutoClose, decoder.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
		for {
			if _, err := decoder.Token(); errors.Is(err, io.EOF) {
				break
			} else {
				Expect(err).NotTo(HaveOccurred())
			}
		}
	})

	It("has the claim, the method, each obligation, the inputs' hashes and the result for each org", func() {
		page, err := example().HTML()
		Expect(err).NotTo(HaveOccurred())
		for _, o := range append(verify.Obligations, verify.PlatformObligations...) {
			Expect(string(page)).To(ContainSubstring("<code>" + o.Name + "</code>"))
		}
		Expect(string(page)).To(And(
			ContainSubstring("The claim"), ContainSubstring("The method"), ContainSubstring("23 November 2026, 03:04 UTC"),
			ContainSubstring(strings.Repeat("0f", 32)), ContainSubstring(strings.Repeat("ab", 32)),
			ContainSubstring("An obligation does not hold for 1 of 2 orgs and for the platform."),
			ContainSubstring("privnet-forward rule 1"), ContainSubstring("<td>10.150.0.0/16 172.30.8.0/22</td>"),
		))
		same, err := example().HTML()
		Expect(err).NotTo(HaveOccurred())
		Expect(same).To(Equal(page))
	})

	It("says what it takes the operator's word for", func() {
		r := example()
		r.Result.GuardedElsewhere = []string{"windows-cell"}
		page, err := r.HTML()
		Expect(err).NotTo(HaveOccurred())
		Expect(string(page)).To(ContainSubstring("keeps the apps on windows-cell out of the segments, the platform file says."))
		Expect(r.Text()).To(ContainSubstring("\nNot proved: the IaaS's firewall keeps the apps on windows-cell out of the segments, the platform file says.\nAn obligation"))
	})

	It("is text for a terminal, with what fails first", func() {
		Expect(example().Text()).To(Equal(`the platform: guard: diego-cell has no guard
agency-b: tunnel: vpn-gateway-agency-b/0: the gateway lets a packet in
  from      10.20.0.70:40000 (the segment of agency-a)
  to        10.150.0.1:443
  protocol  tcp, the first of its flow
    vpn-gateway-agency-b/0: FORWARD: privnet-forward rule 1: -d 10.150.0.0/16 -g privnet-to
An obligation does not hold for 1 of 2 orgs and for the platform.
`))
	})
})
