package doctor_test

import (
	"net/netip"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/doctor"
	"privnet/doctor/signature"
	"privnet/ipsec/vici"
	"privnet/probe/check"
	"privnet/probe/health"
)

var (
	now      = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	gateway  = netip.MustParseAddr("10.20.0.4")
	public   = netip.MustParseAddr("203.0.113.10")
	endpoint = netip.MustParseAddr("198.51.100.10")
)

func selector(text string) vici.Selector {
	s, err := vici.ParseSelector(text)
	if err != nil {
		panic(err)
	}
	return s
}

// healthy is a gateway on which all is well.
func healthy() doctor.Evidence {
	c := connection.Connection{
		Org: "agency-a", Segment: []netip.Prefix{netip.MustParsePrefix("10.20.0.0/26")},
		PrivateNetworks: []netip.Prefix{netip.MustParsePrefix("10.150.0.0/16")},
		Gateways:        []connection.Gateway{{Address: gateway, PublicAddress: public}},
		Endpoints:       []connection.Endpoint{{Address: endpoint, Device: "paloalto", ID: endpoint.String()}},
		Routing:         connection.RoutingHost,
	}
	sas := []vici.SA{{
		Name: "agency-a", State: "ESTABLISHED", Version: 2, RemoteHost: endpoint, RemotePort: 4500, RemoteID: endpoint.String(),
		Children: []vici.Child{{
			State: "INSTALLED", LocalTS: []vici.Selector{selector("10.20.0.0/26")}, RemoteTS: []vici.Selector{selector("10.150.0.0/16")},
			PacketsIn: 5, PacketsOut: 5,
		}},
	}}
	return doctor.Evidence{
		Role: doctor.Gateway, Connection: c, Source: gateway, Now: now,
		Services:    []doctor.Service{{Name: "ipsec-gateway"}, {Name: "egress-enforcer"}},
		Enforcement: health.Enforcement{State: health.On},
		Network:     doctor.Network{Addresses: []netip.Addr{gateway, public}, Forwarding: true, DefaultRoute: true},
		IKE: &doctor.IKE{
			SAs: sas, Before: sas, Contacts: map[netip.Addr]signature.Contact{endpoint: {Packets: 3, Last: now}},
		},
	}
}

// silent is a gateway that has heard nothing of the endpoint.
func silent() doctor.Evidence {
	e := healthy()
	e.IKE.SAs, e.IKE.Before, e.IKE.Contacts = nil, nil, nil
	return e
}

// heard is a tunnel that counts packets out and none in, and what was heard of the endpoint's ESP.
func heard(in doctor.Heard, damaged int, cipher string) doctor.Evidence {
	e := healthy()
	before := e.IKE.SAs[0].Children[0]
	before.SPIIn, before.SPIOut, before.PacketsIn, before.PacketsOut = "0000000a", "0000000b", 0, 0
	before.Algorithms = vici.Algorithms{Encryption: cipher, Integrity: "HMAC_SHA2_256_128"}
	after := before
	after.PacketsOut = 4
	sa := e.IKE.SAs[0]
	for list, child := range map[*[]vici.SA]vici.Child{&e.IKE.Before: before, &e.IKE.SAs: after} {
		sa.Children = []vici.Child{child}
		*list = []vici.SA{sa}
	}
	e.IKE.SPIs, e.IKE.Damaged = map[string]doctor.Heard{"0000000a": in, "0000000b": {Packets: 4}}, damaged
	e.Probes = []doctor.Probe{{Pair: e.Connection.Pairs()[0], Name: "icmp://10.150.0.1", Result: check.Result{Asked: true}}}
	return e
}

func named(r doctor.Report) []string {
	var out []string
	for _, p := range r.Problems {
		out = append(out, string(p.Parameter)+" / "+string(p.Side))
	}
	return out
}

var _ = Describe("The doctor", func() {
	It("says that a healthy connection is healthy", func() {
		r := doctor.Examine(healthy())
		Expect(r.Problems).To(BeEmpty())
		Expect(r.Verdict).To(Equal(doctor.Healthy))
		Expect(r.ExitCode()).To(BeZero())
	})

	DescribeTable("names what is wrong",
		func(e doctor.Evidence, want ...string) {
			r := doctor.Examine(e)
			Expect(named(r)).To(Equal(want))
			Expect(r.ExitCode()).To(Equal(1))
			for _, p := range r.Problems {
				Expect(p.Change).NotTo(BeEmpty())
			}
		},
		Entry("an endpoint that is not heard", silent(), "IKE packets to the gateway / customer"),
		Entry("an endpoint that went silent", func() doctor.Evidence {
			e := silent()
			e.IKE.Contacts = map[netip.Addr]signature.Contact{endpoint: {Packets: 9, Last: now.Add(-time.Hour)}}
			return e
		}(), "IKE packets to the gateway / customer"),
		Entry("packets that come and do not reach charon", func() doctor.Evidence {
			e := silent()
			e.IKE.Wire = map[netip.Addr]int{endpoint: 3}
			return e
		}(), "firewall on the gateway / platform"),
		Entry("packets of a tunnel that is gone, however lately charon was heard of", func() doctor.Evidence {
			e := silent()
			e.IKE.Contacts = map[netip.Addr]signature.Contact{endpoint: {Packets: 9, Last: now}}
			e.IKE.Stale = map[netip.Addr]int{endpoint: 3}
			return e
		}(), "dead peer detection / customer"),
		Entry("packets of a tunnel that is gone, and of a new one", func() doctor.Evidence {
			e := silent()
			e.IKE.Stale, e.IKE.Wire = map[netip.Addr]int{endpoint: 3}, map[netip.Addr]int{endpoint: 1}
			return e
		}(), "firewall on the gateway / platform"),
		Entry("own packets that do not enter the tunnel", func() doctor.Evidence {
			e := healthy()
			e.Probes = []doctor.Probe{{Pair: e.Connection.Pairs()[0], Name: "icmp://10.150.0.1", Result: check.Result{Asked: true}}}
			return e
		}(), "egress rules / platform"),
		Entry("ESP that reaches the interface and not the tunnel", heard(doctor.Heard{Packets: 3}, 0, "AES_CBC-256"), "firewall on the gateway / platform"),
		Entry("ESP that fails its integrity check", heard(doctor.Heard{Packets: 3}, 3, "AES_CBC-256"), "integrity of ESP / between"),
		Entry("ESP with a hash of another length", heard(doctor.Heard{Packets: 3, Cut: 3}, 3, "AES_CBC-256"), "phase 2 hash / customer"),
		Entry("ESP of such a length, and no hash", heard(doctor.Heard{Packets: 3, Cut: 3}, 3, "AES_GCM_16-256"), "integrity of ESP / between"),
		Entry("no ESP that comes", heard(doctor.Heard{}, 0, "AES_CBC-256"), "return traffic / customer"),
		Entry("an enforcer and a process that are gone, both", func() doctor.Evidence {
			e := healthy()
			e.Services[0].Problem, e.Enforcement.State = "it does not run", health.Unclear
			return e
		}(), "service on this VM / platform", "egress rules / platform"),
	)

	It("cannot tell where phase 1 stops without a word", func() {
		e := silent()
		e.IKE.Contacts = map[netip.Addr]signature.Contact{endpoint: {Packets: 2, Last: now}}
		r := doctor.Examine(e)
		Expect(r.Verdict).To(Equal(doctor.Unclear))
		Expect(r.ExitCode()).To(Equal(3))
	})

	It("cannot tell of what it could not ask", func() {
		e := healthy()
		e.Role, e.IKE, e.Cell = doctor.Cell, nil, &doctor.CellEvidence{NamesProblem: "reading the private domains: no JSON"}
		r := doctor.Examine(e)
		Expect(r.Problems).To(BeEmpty())
		Expect(r.Checks).To(ContainElement(doctor.Check{Name: "private DNS", State: doctor.Unknown, Detail: e.Cell.NamesProblem}))
	})

	It("does not blame what a tunnel that stands has overcome", func() {
		e := healthy()
		e.IKE.Findings = []signature.Finding{{Parameter: signature.PreSharedKey, Side: signature.Customer, Endpoint: endpoint, Meaning: "x"}}
		Expect(doctor.Examine(e).Verdict).To(Equal(doctor.Healthy))
	})

	It("tells what the endpoint tried last, also if it has given up since", func() {
		e := silent()
		e.IKE.Findings = []signature.Finding{{Parameter: signature.PreSharedKey, Side: signature.Customer, Endpoint: endpoint, Meaning: "x"}}
		Expect(named(doctor.Examine(e))).To(Equal([]string{"pre-shared key / customer"}))
	})

	It("says it for people: what, whose side, the screen, and the sentence to send", func() {
		e := silent()
		e.IKE.Findings = []signature.Finding{{
			Parameter: signature.IKEGroup, Side: signature.Customer, Endpoint: endpoint, Got: "group 2 (MODP-1024)", Want: "group 14 (MODP-2048)",
			Meaning: "the endpoint's phase 1 (IKE) proposal and the gateway's have no such algorithm in common", Evidence: "no proposal found",
		}}
		e.IKE.Unknown = []signature.Line{{Text: "something new"}}
		var out strings.Builder
		Expect(doctor.Examine(e).Write(&out)).To(Succeed())
		Expect(out.String()).To(And(
			ContainSubstring("Connection of agency-a, seen from a gateway, 2026-11-23 10:00:00Z: BROKEN: phase 1 DH group (customer side)\n"),
			MatchRegexp(`phase 1 +failed +phase 1 DH group: received group 2 \(MODP-1024\), right is group 14 \(MODP-2048\)`),
			MatchRegexp(`phase 2 10.20.0.0/26 = 10.150.0.0/16 +not reached`),
			ContainSubstring("1. What is wrong: phase 1 DH group (customer side)"),
			ContainSubstring("change:    set the phase 1 Diffie-Hellman group to group 14 (MODP-2048). Network > Network Profiles > IKE Crypto"),
			ContainSubstring("tell them: Your VPN endpoint 198.51.100.10, phase 1 DH group: your endpoint's phase 1 (IKE) proposal and our gateway's have no such "+
				"algorithm in common. Seen: group 2 (MODP-1024). Right: group 14 (MODP-2048). Please set the phase 1 Diffie-Hellman group. Network > Network Profiles > IKE Crypto"),
			ContainSubstring("something new"),
		))
	})
})

var _ = Describe("The doctor's configuration", func() {
	It("names everything that is wrong with it", func() {
		_, err := doctor.ParseConfig("doctor.json", []byte(`{"role": "vm", "listen": "1h", "connection": {"org": "agency-a"}, "addresses": ["10.20.0.4"]}`))
		Expect(err).To(MatchError(And(ContainSubstring("doctor.json:1: role"), ContainSubstring("listen"), ContainSubstring("gateways"))))
	})
})
