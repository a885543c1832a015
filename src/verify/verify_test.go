package verify_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/onboard/removal"
	"privnet/verify"
	"privnet/verify/artefact"
)

var _ = Describe("The proof", func() {
	var f fixture

	BeforeEach(func() {
		var err error
		f, err = newFixture(ledgerDir(GinkgoT().TempDir()), orgs(4)...)
		Expect(err).NotTo(HaveOccurred())
	})

	deployed := func() verify.Input {
		GinkgoHelper()
		in, err := f.read()
		Expect(err).NotTo(HaveOccurred())
		return in
	}
	check := func(in verify.Input) verify.Result {
		GinkgoHelper()
		result, err := verify.Check(in)
		Expect(err).NotTo(HaveOccurred())
		Expect(result.Holds).To(Equal(found(result) == ""))
		return result
	}
	change := func(path, value string) {
		GinkgoHelper()
		operation := fmt.Sprintf("- {type: replace, path: %s, value: %s}\n", path, value)
		if value == "" {
			operation = fmt.Sprintf("- {type: remove, path: %s}\n", path)
		}
		var err error
		f.manifest, err = apply(f.manifest, [][]byte{[]byte(operation)})
		Expect(err).NotTo(HaveOccurred())
	}

	gateway := func(i int) string { return fmt.Sprintf("/instance_groups/name=vpn-gateway-org-%04d", i) }
	cell := func(i int) string { return fmt.Sprintf("/instance_groups/name=isolated-diego-cell-org-%04d", i) }

	It("holds for what the product renders, with any kind of connection", func() {
		result := check(deployed())
		Expect(found(result)).To(BeEmpty())
		Expect(result.Orgs).To(HaveLen(4))
		Expect(result.Orgs[0].VMs).To(Equal([]string{"vpn-gateway-org-0000/0", "isolated-diego-cell-org-0000"}))
		Expect(result.Orgs[0].Rules).To(BeNumerically(">", 50))
		Expect(result.SharedGroups).To(Equal(1))
	})

	It("follows an org that is leaving: what went must be gone, what is there keeps every promise", func() {
		now := time.Now()
		leaving := func(done int) removal.Removal {
			r := removal.Start(now)
			for range done {
				r = r.Finish(now, "", 30)
			}
			return r
		}
		holds := func(done int) string {
			in := deployed()
			in.Entries[0].Removal = leaving(done)
			return found(check(in))
		}
		Expect(holds(0)).To(BeEmpty(), "before the errand was run")
		Expect(holds(1)).To(BeEmpty(), "before the cells have gone")
		Expect(holds(2)).To(ContainSubstring("org-0000: ledger: org-0000 is leaving and its cells have gone, the ledger says, and isolated-diego-cell-org-0000 is deployed"))
		change(cell(0), "")
		Expect(holds(0)).To(ContainSubstring("no cells of org-0000 are deployed"))
		Expect(holds(1)).To(BeEmpty())
		Expect(holds(2)).To(BeEmpty())
		Expect(holds(3)).To(ContainSubstring("its gateway has gone, the ledger says, and vpn-gateway-org-0000/0 is deployed"))
		change(gateway(0), "")
		for done := 2; done < 6; done++ {
			Expect(holds(done)).To(BeEmpty())
		}
		in := deployed()
		in.Entries = in.Entries[1:]
		Expect(found(check(in))).To(BeEmpty(), "once it is history")
	})

	It("hashes what was rendered: the same for the same, another for another", func() {
		before := check(deployed())
		Expect(check(deployed()).Orgs).To(Equal(before.Orgs))
		change("/instance_groups/name=vpn-gateway-org-0000/jobs/name=ipsec-gateway/properties/endpoints/0/address", "198.51.100.99")
		after := check(deployed())
		Expect(after.Orgs[0].Artefacts).NotTo(Equal(before.Orgs[0].Artefacts))
		Expect(after.Orgs[1].Artefacts).To(Equal(before.Orgs[1].Artefacts))
		Expect(found(after)).To(ContainSubstring("org-0000: ledger: endpoints is deployed as [198.51.100.99], and the ledger says [198.51.100.1]"))
	})

	DescribeTable("fails when in the manifest",
		func(path, value string, wanted ...string) {
			change(path, value)
			findings := found(check(deployed()))
			for _, sentence := range wanted {
				Expect(findings).To(ContainSubstring(sentence))
			}
		},
		Entry("an org has another's segment, too", gateway(1)+"/jobs/name=ipsec-gateway/properties/segment", "[10.64.0.0/25]",
			"org-0001: ledger: segment is deployed as 10.64.0.0/25, and the ledger says 10.64.0.64/26",
			"org-0001: tunnel: vpn-gateway-org-0001/0: the gateway lets a packet into the tunnel",
			"org-0001: not-in-ipsec: vpn-gateway-org-0001/0: the gateway forwards a packet outside IPsec"),
		Entry("a private network is wider", gateway(0)+"/jobs/name=ipsec-gateway/properties/private_networks", "[10.150.0.0/16, 172.30.0.0/16]",
			"org-0000: ledger: private_networks is deployed as 10.150.0.0/16 172.30.0.0/16",
			"org-0000: tunnel: vpn-gateway-org-0000/0: the gateway lets a packet into the tunnel"),
		Entry("more ports are open", gateway(1)+"/jobs/name=ipsec-gateway/properties/allow", "[{protocol: tcp}]",
			"org-0001: ledger: allow is deployed as"),
		Entry("a gateway has no enforcer", gateway(0)+"/jobs/name=egress-enforcer", "",
			"org-0000: members: the group vpn-gateway-org-0000 needs the job egress-enforcer with role gateway, and has none",
			"org-0000: tunnel: vpn-gateway-org-0000/0: the gateway lets a packet into the tunnel",
			"org-0000: ipv6: vpn-gateway-org-0000/0: the gateway forwards IPv6"),
		Entry("the cells have no enforcer", cell(0)+"/jobs/name=egress-enforcer", "",
			"org-0000: members: the group isolated-diego-cell-org-0000 needs the job egress-enforcer with role cell, and has none",
			"org-0000: cells: isolated-diego-cell-org-0000: an app on a cell sends a packet to a private network by a route that is not the one to the gateway"),
		Entry("an org's cells have another's link", cell(2)+"/jobs/name=egress-enforcer/consumes/private-network/from", "private-network-org-0000",
			"org-0000: members: the group isolated-diego-cell-org-0002 is not in the network private-network-org-0000",
			"org-0000: members: the jobs of the group isolated-diego-cell-org-0002 have the links of several orgs",
			"org-0002: ledger: no cells of org-0002 are deployed"),
		Entry("another org's apps come to a cell", cell(0)+"/jobs/name=rep/properties/diego/rep/placement_tags", "[private-network-org-0001]",
			"org-0000: members: apps with other placement tags may run on isolated-diego-cell-org-0000",
			"org-0001: members: apps of the org may run on isolated-diego-cell-org-0000, which is no cell of its own"),
		Entry("everybody's apps come to a cell", cell(0)+"/jobs/name=rep/properties/diego/rep/placement_tags", "[]",
			"org-0000: members: apps with other placement tags may run on isolated-diego-cell-org-0000: it has []"),
		Entry("a platform VM stands in a segment", "/instance_groups/name=router/networks/0/name", "private-network-org-0003",
			"org-0003: members: the group router is in the network private-network-org-0003, and none of its jobs has the link"),
		Entry("a platform VM has an address of a segment", "/instance_groups/name=router/networks/0/static_ips/0", "10.64.0.70",
			"platform: strangers: the group router has 10.64.0.70 in the network default, an address of the segment of org-0001"),
		Entry("a cell has a second network", cell(1)+"/networks/-", "{name: default}",
			"org-0001: members: the cells of isolated-diego-cell-org-0001 are in more than one network"),
		Entry("a gateway has an interface elsewhere", gateway(1)+"/networks/-", "{name: default}",
			"org-0001: members: the gateway vpn-gateway-org-0001 is in the network default, too, which is neither the segment nor has public addresses"),
		Entry("a gateway has another customer's key", gateway(1)+"/jobs/name=ipsec-gateway/properties/psk_a", "((private-network-org-0000-psk))",
			"org-0000: gateway: vpn-gateway-org-0000 and vpn-gateway-org-0001 have the same pre-shared key, the variable cf/private-network-org-0000-psk",
			"org-0001: gateway: vpn-gateway-org-0001 and vpn-gateway-org-0000 have the same pre-shared key"),
		Entry("the internet may call a gateway", gateway(0)+"/jobs/name=egress-enforcer/properties", "{role: gateway, management_networks: [0.0.0.0/0]}",
			"org-0000: gateway: vpn-gateway-org-0000/0: the gateway is called by somebody who is neither the platform nor an endpoint"),
		Entry("an org's apps come to Windows cells", "/instance_groups/-", "{name: windows, jobs: [{name: rep_windows, release: diego, properties: {diego: {rep: {placement_tags: [private-network-org-0000]}}}}]}",
			"org-0000: members: apps of the org may run on windows, which is no cell of its own",
			"platform: guard: windows: an app on a shared cell sends a packet into a segment: for the Windows cells windows there is no guard"),
		Entry("the shared cells have no guard", "/instance_groups/name=diego-cell/jobs/name=egress-enforcer", "",
			"platform: guard: diego-cell: an app on a shared cell sends a packet into a segment: the group diego-cell has no guard; render it with --shared-cell-guard"),
		Entry("the guard has a part of the pool only", "/instance_groups/name=diego-cell/jobs/name=egress-enforcer/properties/segments_pool", "[10.64.0.0/16]",
			"platform: guard: diego-cell: an app on a shared cell sends a packet into a segment"),
		Entry("there is a gateway that nobody ordered", "/instance_groups/-", strings.ReplaceAll(`{name: more, networks: [{name: private-network-x, static_ips: [10.66.0.4]}], jobs: [
			{name: ipsec-gateway, release: private-network, provides: {private-network: {as: private-network-x}}, properties: {org: x, segment: [10.66.0.0/26],
			private_networks: [10.150.0.0/16], gateways: [{address: 10.66.0.4, public_address: 203.0.113.9}], endpoints: [{address: 198.51.100.9, device: other}]}}]}`, "\n", ""),
			"platform: strangers: the group more has the link private-network-x, and no org of the ledger has that"),
	)

	It("believes the platform file of Windows cells that something else keeps out of the segments, and says so", func() {
		change("/instance_groups/-", "{name: windows, jobs: [{name: rep_windows, release: diego}]}")
		in := deployed()
		in.Platform.GuardedElsewhere = []string{"windows", "diego-cell"}
		result := check(in)
		Expect(found(result)).To(BeEmpty())
		Expect(result.GuardedElsewhere).To(Equal([]string{"windows"}), "and of diego-cell, which has a guard, it needs no word")
	})

	It("shows an app's packet where a shared cell lets it into a segment", func() {
		change("/instance_groups/name=diego-cell/jobs/name=egress-enforcer", "")
		findings := check(deployed()).Platform
		Expect(findings[0].Packet.From).To(Equal("10.255.0.10:40000 (the overlay of the platform's containers)"))
		Expect(findings[1].Packet.From).To(Equal("10.0.0.10 (the platform's network 10.0.0.0/16)"))
		Expect(findings[0].Packet.To).To(HaveSuffix("(the segment of org-0000)"))
	})

	It("shows who reaches the gateway itself, and where", func() {
		change(gateway(0)+"/jobs/name=egress-enforcer/properties", "{role: gateway, management_networks: [0.0.0.0/0]}")
		Expect(check(deployed()).Orgs[0].Findings[0].Packet.To).To(Equal("10.64.0.4:443 (the segment of org-0000)"))
	})

	It("asks for the manifest in which a link's provider is", func() {
		change(gateway(2), "")
		_, err := f.read()
		Expect(err).To(MatchError(ContainSubstring(`isolated-diego-cell-org-0002: "private-network-org-0002" is a link that no gateway provides`)))
	})

	It("says which job refuses its properties, instead of a result", func() {
		change(gateway(0)+"/jobs/name=ipsec-gateway/properties/private_networks", "[10.150.0.0/16, 169.254.0.0/16]")
		_, err := f.read()
		Expect(err).To(MatchError(ContainSubstring("vpn-gateway-org-0000/0/gateway.json")))
		Expect(err).To(MatchError(ContainSubstring(`private_networks[1]: "169.254.0.0/16" overlaps`)))
	})

	Describe("of addresses", func() {
		It("finds segments and networks that overlap, whatever allocated them", func() {
			in := deployed()
			in.Entries[0].Request.PrivateNetworks = slices.Concat(in.Entries[0].Request.PrivateNetworks,
				prefixes("10.64.0.128/25", "10.0.3.0/24", "203.0.112.0/30", "169.254.7.0/24", "10.255.8.0/24"))
			in.Entries[1].Plan.Segment[0].CIDR = prefixes("10.64.0.0/26")[0]
			in.Entries[3].Plan.Segment[0].CIDR = prefixes("10.99.0.0/26")[0]
			findings := found(check(in))
			for _, sentence := range []string{
				"org-0000: addresses: 10.64.0.0/26 of the segment overlaps 10.64.0.0/26, the segment of org-0001",
				"org-0001: addresses: 10.64.0.0/26 of the segment overlaps 10.64.0.0/26, the segment of org-0000",
				"org-0000: addresses: the private network 10.64.0.128/25 overlaps 10.64.0.128/26, the segment of org-0002",
				"org-0000: addresses: the private network 10.64.0.128/25 overlaps 10.64.0.0/14, from which the platform takes segments",
				"org-0000: addresses: 10.0.3.0/24 overlaps 10.0.0.0/16, the platform's network 10.0.0.0/16",
				"org-0000: addresses: 203.0.112.0/30 overlaps 203.0.112.0/21, our public addresses",
				"org-0000: addresses: 169.254.7.0/24 overlaps 169.254.0.0/16, link-local space",
				"org-0000: addresses: 10.255.8.0/24 overlaps 10.255.0.0/16, the overlay",
				"org-0003: addresses: 10.99.0.0/26 of the segment is in none of the platform's pools",
			} {
				Expect(findings).To(ContainSubstring(sentence))
			}
		})
	})

	Describe("of what was rendered", func() {
		It("shows a packet of another org's app, and its way, where a rule lets it pass", func() {
			in := deployed()
			vm := &in.Deployment.Gateways[0]
			vm.Rules = strings.Replace(vm.Rules, "-s 10.64.0.0/26 -d 10.150.0.0/16", "-d 10.150.0.0/16", 1)
			vm.Swanctl = strings.ReplaceAll(vm.Swanctl, "local_ts = 10.64.0.0/26", "local_ts = 10.64.0.0/25")
			finding := check(in).Orgs[0].Findings[0]
			Expect(finding.Obligation).To(Equal("tunnel"))
			Expect(*finding.Packet).To(Equal(verify.Packet{
				From:     "10.64.0.74:40000 (the segment of org-0001)",
				To:       "10.150.0.10:443 (the private network 10.150.0.0/16 of org-0000)",
				Protocol: "tcp",
				State:    "the first of its flow, will leave through the tunnel",
				Way:      finding.Packet.Way,
			}))
			way := regexp.MustCompile(`[^ ]+ rule \d+`).FindAllString(strings.Join(finding.Packet.Way, "\n"), -1)
			Expect(strings.Join(way, ", ")).To(ContainSubstring("FORWARD rule 1, privnet-forward rule 1, privnet-to rule 4"))
			Expect(finding.Packet.Way[0]).To(Equal("isolated-diego-cell-org-0001: sent by an app in the segment of org-0001"))
			Expect(finding.Packet.Way[len(finding.Packet.Way)-1]).To(Equal("vpn-gateway-org-0000/0: charon: protected by all-pairs of org-0000-198-51-100-1-ikev2"))
		})

		// Each of these is one line in one file on one VM.
		DescribeTable("notices that",
			func(edit func(d *artefact.Deployment), sentence string) {
				in := deployed()
				edit(&in.Deployment)
				Expect(found(check(in))).To(ContainSubstring(sentence))
			},
			Entry("a selector is wider than the rules", func(d *artefact.Deployment) {
				replace(&d.Gateways[0].Swanctl, "remote_ts = 10.150.0.0/16, ", "remote_ts = 10.150.0.0/15, ")
			}, "selectors: vpn-gateway-org-0000/0: charon protects packets between networks that the rules do not let into the tunnel"),
			Entry("a selector is narrower than the rules", func(d *artefact.Deployment) {
				replace(&d.Gateways[1].Swanctl, "remote_ts = 10.150.0.0/16\n        esp", "remote_ts = 10.150.0.0/17\n        esp")
			}, "selectors: vpn-gateway-org-0001/0: the rules let packets into the tunnel that no traffic selector of charon has"),
			Entry("a shunt does not cover what a tunnel carries", func(d *artefact.Deployment) {
				replace(&d.Gateways[0].Swanctl, "start_action = trap", "start_action = none")
			}, "selectors: vpn-gateway-org-0000/0: without a tunnel, no policy of charon drops"),
			Entry("charon would open the tunnel", func(d *artefact.Deployment) {
				replace(&d.Gateways[0].Swanctl, "start_action = none", "start_action = start")
			}, "selectors: vpn-gateway-org-0000/0: the child all-pairs"),
			Entry("a gateway sends in the clear", func(d *artefact.Deployment) {
				remove(&d.Gateways[0].Rules, "privnet-to -m policy --dir out --pol none")
				remove(&d.Gateways[0].Rules, "privnet-postrouting -d 10.150.0.0/16 -m policy --dir out --pol none")
			}, "not-in-ipsec: vpn-gateway-org-0000/0: the gateway forwards a packet outside IPsec"),
			Entry("a gateway takes in the clear", func(d *artefact.Deployment) {
				remove(&d.Gateways[0].Rules, "privnet-from -m policy --dir in --pol none")
			}, "not-in-ipsec: vpn-gateway-org-0000/0: the gateway forwards a packet outside IPsec"),
			Entry("a gateway forwards for strangers", func(d *artefact.Deployment) {
				remove(&d.Gateways[0].Rules, "privnet-forward -m comment")
			}, "not-in-ipsec: vpn-gateway-org-0000/0: the gateway forwards a packet outside IPsec"),
			Entry("a gateway takes IKE from anybody", func(d *artefact.Deployment) {
				remove(&d.Gateways[0].Rules, "privnet-input -p udp -m udp --dport 4500")
			}, "gateway: vpn-gateway-org-0000/0: the gateway takes IKE or ESP from somebody else"),
			Entry("a gateway is open to the internet", func(d *artefact.Deployment) {
				remove(&d.Gateways[0].Rules, "privnet-input -m comment")
			}, "gateway: vpn-gateway-org-0000/0: the gateway is called by somebody"),
			Entry("a gateway lets a closed port through", func(d *artefact.Deployment) {
				replace(&d.Gateways[1].Rules, "privnet-to -p tcp -m tcp --dport 443", "privnet-to -p tcp -m tcp --dport 442:443")
			}, "flows: vpn-gateway-org-0001/0: the gateway passes a packet to a private network that the connection does not allow"),
			Entry("a cell sends by any route", func(d *artefact.Deployment) {
				remove(&d.Cells[0].Rules, "privnet-to -m realm")
			}, "cells: isolated-diego-cell-org-0000: an app on a cell sends a packet to a private network by a route"),
			Entry("a cell is called by the private network", func(d *artefact.Deployment) {
				replace(&d.Cells[0].Rules, "--ctstate ESTABLISHED --ctdir REPLY", "--ctstate NEW,ESTABLISHED")
			}, "flows: isolated-diego-cell-org-0000: a cell takes a packet from a private network that is no answer"),
			Entry("a cell's route leads elsewhere", func(d *artefact.Deployment) {
				d.Cells[0].Routes[1].Via = d.Cells[1].Routes[1].Via
			}, "cells: isolated-diego-cell-org-0000: 10.150.0.0/16 is routed to 10.64.0.68, which is no gateway of the org"),
			Entry("a cell's route has no refusal behind it", func(d *artefact.Deployment) {
				d.Cells[0].Routes = d.Cells[0].Routes[1:]
			}, "cells: isolated-diego-cell-org-0000: the private network 10.150.0.0/16 has no route to the gateway with a refusal behind it"),
			Entry("a cell forwards IPv6", func(d *artefact.Deployment) {
				d.Cells[0].Rules6 = ""
			}, "ipv6: isolated-diego-cell-org-0000: a cell forwards IPv6"),
			Entry("a container on a shared cell reaches the overlay's port", func(d *artefact.Deployment) {
				replace(&d.Shared[0].Rules, "-d 10.64.0.0/14 -m comment --comment", "-d 10.64.0.0/14 -p udp -m comment --comment")
			}, "guard: diego-cell: an app on a shared cell sends a packet into a segment"),
		)

		It("refuses what it cannot judge", func() {
			in := deployed()
			replace(&in.Deployment.Gateways[0].Rules, "-j DROP", "-m mark --mark 1 -j DROP")
			_, err := verify.Check(in)
			Expect(err).To(MatchError(ContainSubstring("vpn-gateway-org-0000/0: the rules cannot be judged: line")))
		})

		It("misses no rule whose loss lets another packet pass", func() {
			in := deployed()
			lost, caught := 0, 0
			for _, vms := range [][]artefact.VM{in.Deployment.Gateways, in.Deployment.Cells, in.Deployment.Shared} {
				for i := range vms {
					whole := vms[i].Rules
					lines := strings.Split(whole, "\n")
					for n, line := range lines {
						if !strings.HasPrefix(line, "-A") || !strings.HasSuffix(line, "DROP") {
							continue
						}
						lost++
						vms[i].Rules = strings.Join(slices.Delete(slices.Clone(lines), n, n+1), "\n")
						if !check(in).Holds {
							caught++
							continue
						}
						Expect(samePackets(whole, vms[i].Rules)).To(BeTrue(), "%s without %s", vms[i].Name, line)
					}
					vms[i].Rules = whole
				}
			}
			// The others stand behind another rule that drops the same packets.
			Expect(caught).To(BeNumerically(">", lost/3), "%d of %d", caught, lost)
		})
	})
})
