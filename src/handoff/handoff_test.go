package handoff_test

import (
	"net/netip"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/handoff"
)

func facts(device string) handoff.Facts {
	return handoff.Facts{
		Org:      "agency-a",
		Endpoint: connection.Endpoint{Address: netip.MustParseAddr("198.51.100.10"), Device: device, ID: "198.51.100.10"},
		PrivateNetworks: []netip.Prefix{
			netip.MustParsePrefix("10.150.0.0/16"), netip.MustParsePrefix("172.30.8.0/22"),
		},
		IKE:              connection.IKEv2,
		Segment:          []netip.Prefix{netip.MustParsePrefix("10.20.0.0/26")},
		Gateways:         []netip.Addr{netip.MustParseAddr("203.0.113.10")},
		EgressAddresses:  []netip.Addr{netip.MustParseAddr("203.0.113.5")},
		IsolationSegment: "private-network-agency-a", PSKVariable: "private-network-agency-a-psk", Deployment: "cf",
	}
}

func page(f handoff.Facts) string {
	out, err := handoff.Page(f)
	ExpectWithOffset(1, err).NotTo(HaveOccurred())
	ExpectWithOffset(1, string(out)).NotTo(ContainSubstring("<no value>"))
	return string(out)
}

var _ = Describe("The hand-off page", func() {
	It("has both ends, every selector pair, the way to the key and how to deploy, for any device", func() {
		for _, device := range connection.Devices {
			Expect(page(facts(device))).To(And(
				ContainSubstring("| public address | 203.0.113.10 | 198.51.100.10 |"),
				ContainSubstring("| 1 | 10.150.0.0/16 | 10.20.0.0/26 |"),
				ContainSubstring("| 2 | 172.30.8.0/22 | 10.20.0.0/26 |"),
				ContainSubstring("credhub get -q -n /DIRECTOR/cf/private-network-agency-a-psk"),
				ContainSubstring("203.0.113.5"),
				ContainSubstring("UDP 4500"),
				ContainSubstring("`private-network-agency-a`, and it is the default of the org"),
			))
		}
	})

	It("names the customer's DNS servers that apps will ask, and the keys that devices misread", func() {
		f := facts("paloalto")
		Expect(page(f)).To(And(Not(ContainSubstring("port 53")), ContainSubstring("starts\nwith 0x, 0s or 0t")))
		f.DNS = []connection.Domain{{Domain: "corp.example", Servers: []netip.Addr{netip.MustParseAddr("10.150.0.53")}}}
		Expect(page(f)).To(ContainSubstring("Let 10.20.0.0/26 ask 10.150.0.53 on port 53 (UDP and TCP): apps find names under `corp.example` there."))
	})

	It("recommends only what the gateway accepts", func() {
		accepted := func(proposals []string, want string) bool {
			return slices.ContainsFunc(proposals, func(p string) bool { return covers(p, want) })
		}
		for _, ike := range []connection.IKE{connection.IKEv1, connection.IKEv2, connection.IKEAuto} {
			for _, policy := range append([]string{""}, connection.Policies...) {
				suite, err := handoff.Recommend(ike, policy)
				if ike == connection.IKEv1 && (policy == "modern" || policy == "quantum-safe") {
					Expect(err).To(HaveOccurred())
					continue
				}
				Expect(err).NotTo(HaveOccurred())
				Expect(accepted(suite.Policy.IKEProposals(suite.Version), suite.IKEProposal)).To(BeTrue(), "%s %s", ike, policy)
				Expect(accepted(suite.Policy.ESPProposals(suite.Version), suite.ESPProposal)).To(BeTrue(), "%s %s", ike, policy)
			}
		}
	})

	It("has one phase 2 a pair where the device or IKEv1 needs it", func() {
		f := facts("paloalto")
		Expect(page(f)).To(And(
			ContainSubstring("proxy-id pair-1 local 10.150.0.0/16 remote 10.20.0.0/26"),
			ContainSubstring("proxy-id pair-2 local 172.30.8.0/22 remote 10.20.0.0/26"),
			ContainSubstring("protocol version ikev2"),
		))
		f = facts("strongswan")
		Expect(page(f)).To(ContainSubstring("local_ts = 10.150.0.0/16, 172.30.8.0/22"))
		f.IKE = connection.IKEv1
		Expect(page(f)).To(And(ContainSubstring("pair-2 {"), ContainSubstring("version = 1"), ContainSubstring("reauth_time = 8h")))
		f = facts("libreswan")
		Expect(page(f)).To(And(
			ContainSubstring("leftsubnets={10.150.0.0/16 172.30.8.0/22}"),
			ContainSubstring(`198.51.100.10 203.0.113.10 : PSK "PRE-SHARED-KEY"`),
		))
	})

	It("holds the same configuration as is given out alone", func() {
		for _, device := range connection.Devices {
			form, err := handoff.Form(facts(device))
			Expect(err).NotTo(HaveOccurred())
			if form == "" {
				Expect(page(facts(device))).To(ContainSubstring("no configuration to paste"))
				continue
			}
			Expect(page(facts(device))).To(ContainSubstring("\n```\n" + form + "```\n"))
			Expect(form).To(ContainSubstring(handoff.Key))
		}
	})

	It("writes an identity as each device wants it", func() {
		f := facts("libreswan")
		f.Endpoint.ID = "vpn.agency.example"
		Expect(page(f)).To(And(ContainSubstring("leftid=@vpn.agency.example"), ContainSubstring("(type: FQDN)")))
		f = facts("paloalto")
		f.Endpoint.ID = "keyid:agency"
		Expect(page(f)).To(ContainSubstring("local-id type keyid id agency"))
	})

	It("has words of the device for every algorithm that it recommends to it", func() {
		for _, device := range []string{"strongswan", "libreswan", "openswan", "paloalto"} {
			for _, policy := range connection.Policies {
				f := facts(device)
				f.Policy = policy
				Expect(page(f)).NotTo(MatchRegexp(`(?m)^set .* (encryption|hash|dh-group|authentication) *$|^ +(ike|esp|phase2alg|proposals|esp_proposals) ?= *$`))
			}
		}
	})

	It("says when a device cannot do what is asked", func() {
		Expect(page(facts("openswan"))).To(ContainSubstring("no configuration to paste for it with these\nalgorithms"))
		f := facts("openswan")
		f.IKE = connection.IKEv1
		Expect(page(f)).To(And(Not(ContainSubstring("no configuration to paste")), ContainSubstring("phase2alg=aes256-sha2_256;modp2048")))
	})

	It("says what may be opened from the private network", func() {
		f := facts("other")
		Expect(page(f)).To(ContainSubstring("cannot open connections to them"))
		f.Inbound = []connection.Flow{{Protocol: connection.TCP, Ports: []connection.PortRange{{First: 8080, Last: 8080}}}, {Protocol: connection.ICMP}}
		Expect(page(f)).To(ContainSubstring("may open towards the apps: tcp 8080; icmp. Everything else"))
	})

	It("has a configuration for each gateway", func() {
		for _, device := range []string{"strongswan", "libreswan", "openswan", "paloalto"} {
			f := facts(device)
			f.Policy = "compatible"
			f.Gateways = append(f.Gateways, netip.MustParseAddr("203.0.113.11"))
			Expect(page(f)).To(And(ContainSubstring("pn-agency-a-2"), ContainSubstring("203.0.113.11")))
		}
	})
})

// covers says whether a proposal, which may offer several algorithms of a kind, has all that are wanted.
func covers(proposal, want string) bool {
	offered := strings.Split(proposal, "-")
	for _, algorithm := range strings.Split(want, "-") {
		if !slices.Contains(offered, algorithm) {
			return false
		}
	}
	return true
}
