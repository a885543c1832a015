package gateway_test

import (
	"context"
	"slices"
	"strconv"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	. "privnet/ipsec/charontest"
	"privnet/ipsec/vici"
)

// compatibleTwice has a group that the gateway likes less before one that it likes more.
const compatibleTwice = "aes256-sha256-modp2048-ecp384"

// unusual is a customer with more settings of its connection, and others for what it asks for.
func unusual(version int, settings string, replace ...string) string {
	configuration := strings.Replace(customer(version, NAT{}, compatibleIKE, compatibleESP), "  local_addrs", settings+"\n  local_addrs", 1)
	return strings.NewReplacer(replace...).Replace(configuration)
}

// one is the IKE_SA that carries all pairs; its zero value while there is none, or another.
func one(ctx context.Context, gateway VM) vici.SA {
	GinkgoHelper()
	var out []vici.SA
	for _, sa := range gateway.SAs(ctx) {
		sa.Children = slices.DeleteFunc(sa.Children, func(c vici.Child) bool { return c.State != "INSTALLED" })
		if sa.IsEstablished() && len(sa.Children) == len(Services) {
			out = append(out, sa)
		}
	}
	if len(out) != 1 {
		return vici.SA{}
	}
	return out[0]
}

// settled waits for it.
func settled(ctx context.Context, gateway VM) vici.SA {
	GinkgoHelper()
	var sa vici.SA
	Eventually(func() string {
		sa = one(ctx, gateway)
		return sa.Name
	}, "10s", "20ms").ShouldNot(BeEmpty())
	return sa
}

func reachesAll(network Network) {
	GinkgoHelper()
	for _, service := range Services {
		Expect(network.Reaches(service)).To(BeTrue())
	}
}

func initiate(peer Customer) {
	GinkgoHelper()
	for i := range Services {
		peer.Swanctl("--initiate", "--child", "pair-"+strconv.Itoa(i))
	}
}

var _ = Describe("A tunnel", func() {
	start := func(version int, nat NAT, configuration string) (Network, VM, Customer) {
		GinkgoHelper()
		network := NewNetwork(nat)
		gateway := NewVM(network, Settings{"ike": strconv.Itoa(version), "policy": "compatible"})
		gateway.Run()
		return network, gateway, StartCustomer(network, configuration)
	}

	DescribeTable("is there, also after a rekeying of both kinds, when its endpoint", func(ctx SpecContext, version int, configuration string) {
		network, gateway, peer := start(version, NAT{}, configuration)
		initiate(peer)
		reachesAll(network)
		before := settled(ctx, gateway)
		peer.Swanctl("--rekey", "--child", "pair-0")
		peer.Swanctl("--rekey", "--ike", "platform")
		Eventually(func() string { return one(ctx, gateway).LocalSPI }, "15s", "50ms").ShouldNot(Or(BeEmpty(), Equal(before.LocalSPI)))
		reachesAll(network)
	},
		Entry("begins on port 4500: IKEv1", 1, unusual(1, "local_port = 4500\n remote_port = 4500")),
		Entry("begins on port 4500: IKEv2", 2, unusual(2, "local_port = 4500\n remote_port = 4500")),
		Entry("sends whatever it can in fragments", 2, unusual(2, "fragmentation = force")),
		Entry("does not say whom it expects", 2, unusual(2, "", "remote { auth = psk\n    id = "+GatewayPublic, "remote { auth = psk\n    id = %any",
			"ike-platform { id = "+GatewayPublic, "ike-platform {")),
		Entry("makes the IKE_SA before the first child", 2, unusual(2, "childless = force")),
		Entry("guesses another group than ours, for either SA", 2, unusual(2, "", compatibleIKE, compatibleTwice)),
		Entry("asks for more networks than it has declared", 2, unusual(2, "", "10.150.0.0/16", "10.150.0.0/16, 192.168.200.0/24")),
	)

	DescribeTable("is there at once, and stays, when its endpoint has forgotten it, and", func(ctx SpecContext, version int, unique string) {
		configuration := unusual(version, "unique = "+unique)
		network, gateway, peer := start(version, NAT{}, configuration)
		initiate(peer)
		before := settled(ctx, gateway)
		signalCharon(network, network.Customer, "KILL")
		initiate(StartCustomer(network, configuration))
		reachesAll(network)
		// What the gateway does by itself in ten seconds, or when nobody answers for it.
		for _, sa := range gateway.SAs(ctx) {
			if sa.LocalSPI == before.LocalSPI {
				gateway.Swanctl("--terminate", "--force", "--ike-id", sa.UniqueID)
			}
		}
		settled(ctx, gateway)
		reachesAll(network)
	},
		Entry("says so: IKEv1", 1, "replace"), Entry("says so: IKEv2", 2, "replace"),
		Entry("does not say so: IKEv1", 1, "never"), Entry("does not say so: IKEv2", 2, "never"),
	)

	DescribeTable("is there again at once when its endpoint closes it to authenticate anew", func(version int) {
		network, _, peer := start(version, NAT{}, unusual(version, ""))
		for range 2 {
			initiate(peer)
			reachesAll(network)
			peer.Swanctl("--terminate", "--ike", "platform")
		}
	}, Entry("IKEv1", 1), Entry("IKEv2", 2))

	It("is replaced by the one that its endpoint authenticates before it closes the old one", func(ctx SpecContext) {
		network, gateway, peer := start(2, NAT{}, unusual(2, ""))
		peer.Set("make_before_break = yes")
		peer.Swanctl("--initiate", "--child", "both")
		before := gateway.SAs(ctx)
		peer.Swanctl("--rekey", "--ike", "platform", "--reauth")
		Eventually(func() []vici.SA { return gateway.SAs(ctx) }, "15s", "50ms").Should(
			HaveExactElements(HaveField("LocalSPI", Not(Equal(before[0].LocalSPI)))))
		reachesAll(network)
	})

	It("takes no more than the pairs when its endpoint asks for everything", func(ctx SpecContext) {
		network, gateway, peer := start(2, NAT{}, unusual(2, "", "10.150.0.0/16, 172.30.8.0/22", "0.0.0.0/0", "remote_ts = 10.20.0.0/26", "remote_ts = 0.0.0.0/0"))
		peer.Swanctl("--initiate", "--child", "both")
		sas := gateway.SAs(ctx)
		Expect(sas).To(HaveLen(1))
		Expect(sas[0].Children).To(HaveExactElements(And(
			HaveField("LocalTS", HaveExactElements(HaveField("String()", "10.20.0.0/26"))),
			HaveField("RemoteTS", HaveExactElements(HaveField("String()", "10.150.0.0/16"), HaveField("String()", "172.30.8.0/22"))))))
		reachesAll(network)
	})

	DescribeTable("goes on when the NAT before its endpoint takes another port", func(ctx SpecContext, version int) {
		nat := NAT{Customer: true}
		network, gateway, peer := start(version, nat, strings.Replace(customer(version, nat, compatibleIKE, compatibleESP),
			"  local_addrs", "mobike = no\n dpd_delay = 1s\n  local_addrs", 1))
		initiate(peer)
		before := settled(ctx, gateway)
		network.MoveNAT(20000)
		Eventually(func() string { return gateway.Swanctl("--list-sas") }, "15s", "50ms").Should(ContainSubstring(Endpoint + "[20000]"))
		reachesAll(network)
		Expect(settled(ctx, gateway).LocalSPI).To(Equal(before.LocalSPI))
	}, Entry("IKEv1", 1), Entry("IKEv2 without MOBIKE", 2))
})
