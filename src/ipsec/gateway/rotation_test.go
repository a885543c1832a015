package gateway_test

import (
	"encoding/json"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	. "privnet/ipsec/charontest"
	"privnet/ipsec/gateway"
)

var nextPSK = strings.ToUpper(psk) + "b"

// statusOf is what the gateway says of itself.
func statusOf(v VM) gateway.Status {
	GinkgoHelper()
	data, err := os.ReadFile(v.Path("view/status.json"))
	Expect(err).NotTo(HaveOccurred())
	var status gateway.Status
	Expect(json.Unmarshal(data, &status)).To(Succeed())
	return status
}

func pskInUse(v VM) string {
	GinkgoHelper()
	return string(statusOf(v).PSKs[0].InUse)
}

// connect initiates until it succeeds, as a device does that tries again and again.
func connect(peer Customer) {
	GinkgoHelper()
	Eventually(func() error {
		_ = peer.Try("--terminate", "--ike", "platform", "--force", "--timeout", "1")
		return peer.Try("--initiate", "--child", "pair-0", "--timeout", "3")
	}, "30s", "500ms").Should(Succeed())
}

var _ = Describe("Two pre-shared keys", func() {
	start := func(version int, keys Settings) (Network, VM, *gexec.Session, Customer) {
		GinkgoHelper()
		network := NewNetwork(NAT{})
		v := NewVM(network, Settings{"ike": []string{"", "1", "2"}[version], "policy": "compatible"})
		v.Configure(v.Overrides, keys)
		session := v.Run()
		return network, v, session, StartCustomer(network, customer(version, NAT{}, compatibleIKE, compatibleESP))
	}

	for _, version := range []int{1, 2} {
		name := []string{"", "IKEv1", "IKEv2"}[version]

		It("let the customer change first: "+name, func() {
			keys := Settings{"psk_a": psk, "psk_b": nextPSK, "active_psk": "a"}
			network, gateway, session, peer := start(version, keys)
			connect(peer)
			Expect(pskInUse(gateway)).To(Equal("a"))

			peer.Configure(strings.Replace(customer(version, NAT{}, compatibleIKE, compatibleESP), psk, nextPSK, 1))
			before := peer.Swanctl("--list-sas")
			Expect(network.Reaches(Services[0])).To(BeTrue())
			Expect(spis(peer.Swanctl("--list-sas"))).To(Equal(spis(before)))

			By("also while the job's files are wrong, and the last good ones count")
			gateway.Configure(Settings{"policy": "default"}, Settings{"psk_a": psk, "active_psk": "a"})
			Expect(gateway.Do("reload")).To(gexec.Exit(1))
			connect(peer)
			Expect(network.Reaches(Services[0])).To(BeTrue())
			Expect(pskInUse(gateway)).To(Equal("b"))
			Expect(session.Out).To(gbytes.Say("does not have the pre-shared key in use: trying the other one"))

			By("and the key that it moved to is the first after a restart")
			session.Terminate().Wait("10s")
			gateway.Configure(gateway.Overrides, keys)
			gateway.Run()
			Expect(pskInUse(gateway)).To(Equal("b"))
			Expect(peer.Try("--initiate", "--child", "pair-0", "--timeout", "3")).To(Succeed())
			Expect(string(session.Out.Contents())).NotTo(Or(ContainSubstring(psk), ContainSubstring(nextPSK)))
		})

		It("let the gateway change first, without touching the tunnel that is up: "+name, func() {
			network, gateway, _, peer := start(version, Settings{"psk_a": psk, "active_psk": "a"})
			connect(peer)
			before := spis(peer.Swanctl("--list-sas"))
			gateway.Configure(gateway.Overrides, Settings{"psk_a": psk, "psk_b": nextPSK, "active_psk": "b"})
			Expect(gateway.Do("reload")).To(gexec.Exit(0))
			Expect(pskInUse(gateway)).To(Equal("b"))
			Expect(spis(peer.Swanctl("--list-sas"))).To(Equal(before))
			Expect(network.Reaches(Services[0])).To(BeTrue())

			By("and the customer that still has the old key comes back with it")
			connect(peer)
			Expect(pskInUse(gateway)).To(Equal("a"))
			Expect(network.Reaches(Services[0])).To(BeTrue())

			By("until the operator takes the old key away")
			gateway.Configure(gateway.Overrides, Settings{"psk_b": nextPSK, "active_psk": "b"})
			Expect(gateway.Do("reload")).To(gexec.Exit(0))
			Expect(peer.Try("--terminate", "--ike", "platform", "--force", "--timeout", "1")).To(Succeed())
			Expect(peer.Try("--initiate", "--child", "pair-0", "--timeout", "2")).NotTo(Succeed())
			Expect(pskInUse(gateway)).To(Equal("b"))
		})
	}

	It("are both taken only until the overlap ends", func() {
		keys := Settings{"psk_a": psk, "psk_b": nextPSK, "active_psk": "a"}
		_, gateway, session, peer := start(2, keys)
		peer.Configure(strings.Replace(customer(2, NAT{}, compatibleIKE, compatibleESP), psk, nextPSK, 1))
		connect(peer)
		until := time.Now().Add(6 * time.Second)
		keys["psk_overlap_until"] = until.Format(time.RFC3339Nano)
		gateway.Configure(gateway.Overrides, keys)
		Expect(gateway.Do("reload")).To(gexec.Exit(0))
		Expect(statusOf(gateway).PSKs).To(ConsistOf(And(HaveField("InUse", BeEquivalentTo("b")), HaveField("Until", HaveValue(BeTemporally("~", until, time.Second))), HaveField("Swaps", 1))))
		Eventually(session.Out, "15s").Should(gbytes.Say("the overlap of two pre-shared keys is over"))
		Expect(pskInUse(gateway)).To(Equal("a"))
		Expect(spis(peer.Swanctl("--list-sas"))).NotTo(BeEmpty(), "the tunnel that is up stays")
		Expect(peer.Try("--terminate", "--ike", "platform", "--force", "--timeout", "1")).To(Succeed())
		Expect(peer.Try("--initiate", "--child", "pair-0", "--timeout", "2")).NotTo(Succeed())
		Expect(pskInUse(gateway)).To(Equal("a"))
	})

	It("are swapped at most once in three seconds, however often the endpoint fails", func() {
		_, gateway, _, peer := start(2, Settings{"psk_a": nextPSK, "psk_b": nextPSK + "c", "active_psk": "a"})
		began := time.Now()
		for range 10 {
			Expect(peer.Try("--initiate", "--child", "pair-0", "--timeout", "2")).NotTo(Succeed())
		}
		swaps := func() int { return statusOf(gateway).PSKs[0].Swaps }
		Eventually(swaps).Should(BeNumerically(">=", 1))
		Expect(swaps()).To(BeNumerically("<=", 1+int(time.Since(began)/(3*time.Second))))
	})

	It("are not swapped for anyone but the endpoint", func() {
		network := NewNetwork(NAT{})
		// The same customer, declared at another address: charon finds it no connection.
		v := NewVM(network, Settings{"endpoints": []Settings{{"address": "198.51.100.77", "device": "strongswan", "id": Endpoint}}})
		v.Configure(v.Overrides, Settings{"psk_a": nextPSK, "psk_b": psk, "active_psk": "a"})
		v.Run()
		peer := StartCustomer(network, customer(2, NAT{}, modernIKE, modernESP))
		for range 2 {
			Expect(peer.Try("--initiate", "--child", "pair-0", "--timeout", "2")).NotTo(Succeed())
		}
		Expect(statusOf(v).PSKs).To(ConsistOf(And(HaveField("InUse", BeEquivalentTo("a")), HaveField("Swaps", 0))))
	})
})
