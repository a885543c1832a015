package gateway_test

import (
	"regexp"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	. "privnet/ipsec/charontest"
)

// halfOpen is how many IKE_SAs its charon keeps for peers that have not authenticated.
func halfOpen(v VM) int {
	GinkgoHelper()
	found := regexp.MustCompile(`(\d+) half-open`).FindStringSubmatch(v.Swanctl("--stats"))
	Expect(found).To(HaveLen(2))
	n, err := strconv.Atoi(found[1])
	Expect(err).NotTo(HaveOccurred())
	return n
}

// anyone is a network of addresses that no endpoint has.
const anyone = "198.18.0.0/15"

var _ = Describe("A flood of IKE's first packets", func() {
	start := func(version int) (Network, VM, Customer, string) {
		GinkgoHelper()
		network := NewNetwork(NAT{})
		peer := StartCustomer(network, customer(version, NAT{}, compatibleIKE, compatibleESP))
		packet := network.Record(peer)
		gateway := NewVM(network, Settings{"ike": strconv.Itoa(version), "policy": "compatible"})
		gateway.Run()
		return network, gateway, peer, packet
	}

	for _, version := range []int{1, 2} {
		It("from anyone leaves nothing behind, and does not keep the endpoint out: IKEv"+strconv.Itoa(version), func() {
			network, gateway, peer, packet := start(version)
			flood := network.StartFlood(packet, anyone, 2000)
			Consistently(func() int { return halfOpen(gateway) }, "1s", "100ms").Should(BeNumerically("<", 500))
			connect(peer)
			Eventually(func() bool { return network.Reaches(Services[0]) }, "10s").Should(BeTrue())
			flood.Terminate().Wait("5s")
			Eventually(func() int { return halfOpen(gateway) }, "5s", "100ms").Should(BeZero(), "before any could have timed out")
		})
	}

	It("that forges the endpoint's address does not keep it out, for it answers with a cookie: IKEv2", func() {
		network, gateway, peer, packet := start(2)
		network.StartFlood(packet, Endpoint+"/32", 500)
		Consistently(func() int { return halfOpen(gateway) }, "1s", "100ms").Should(BeNumerically("<", 20))
		connect(peer)
		Eventually(func() bool { return network.Reaches(Services[0]) }, "10s").Should(BeTrue())
	})

	It("that comes from the endpoint is limited, touches no tunnel that is up, and a new one is up soon after: IKEv1", func() {
		network, gateway, peer, packet := start(1)
		connect(peer)
		flood := network.StartFlood(packet, Endpoint+"/32", 200)
		Eventually(func() int { return halfOpen(gateway) }, "10s", "100ms").Should(Equal(20))
		Consistently(func() int { return halfOpen(gateway) }, "1s", "100ms").Should(BeNumerically("<=", 20))
		Eventually(func() bool { return network.Reaches(Services[0]) }, "10s").Should(BeTrue())
		_ = peer.Try("--terminate", "--ike", "platform", "--force", "--timeout", "1")
		Expect(peer.Try("--initiate", "--child", "pair-0", "--timeout", "2")).NotTo(Succeed())
		flood.Terminate().Wait("5s")
		ended := time.Now()
		connect(peer)
		AddReportEntry("from the flood's end to the tunnel", time.Since(ended).Round(time.Second).String())
		Eventually(func() bool { return network.Reaches(Services[0]) }, "10s").Should(BeTrue())
	})
})
