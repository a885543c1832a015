package gateway_test

import (
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	. "privnet/ipsec/charontest"
)

var _ = Describe("A customer that combines all pairs in one child", func() {
	DescribeTable("is served",
		func(ike, policy string) {
			network := NewNetwork(NAT{})
			NewVM(network, Settings{"ike": ike, "policy": policy}).Run()
			peer := StartCustomer(network, customer(2, NAT{}, modernIKE, modernESP))
			peer.Swanctl("--initiate", "--child", "both")
			for _, service := range Services {
				Expect(network.Reaches(service)).To(BeTrue())
			}
		},
		Entry("with IKEv2", "2", "modern"),
		Entry("with auto", "auto", "compatible"),
	)
})

var _ = It("A customer moves from IKEv1 to IKEv2 with the key that it has, and loses no packet by our part of it", func() {
	network := NewNetwork(NAT{})
	gateway := NewVM(network, Settings{"ike": "1", "policy": "compatible"})
	gateway.Run()
	peer := StartCustomer(network, customer(1, NAT{}, compatibleIKE, compatibleESP))
	initiate := func() {
		for i := range Services {
			peer.Swanctl("--initiate", "--child", "pair-"+strconv.Itoa(i))
		}
	}
	reload := func(ike string) string {
		gateway.Overrides["ike"] = ike
		gateway.Configure(gateway.Overrides, Settings{"psk_a": psk, "active_psk": "a"})
		return string(gateway.Do("reload").Out.Contents())
	}
	initiate()
	traffic := network.StartStream(GatewaySegment, Services[0])
	Expect(reload("auto")).To(Equal("added agency-a-198-51-100-10-ikev2\n"))
	sent, answered := traffic.Stop()
	Expect(answered).To(Equal(sent))

	peer.Swanctl("--terminate", "--ike", "platform")
	peer.Configure(customer(2, NAT{}, compatibleIKE, compatibleESP))
	initiate()
	traffic = network.StartStream(GatewaySegment, Services[0])
	Expect(reload("2")).To(Equal("removed agency-a-198-51-100-10-ikev1\n"))
	sent, answered = traffic.Stop()
	Expect(answered).To(Equal(sent))
	for _, service := range Services {
		Expect(network.Reaches(service)).To(BeTrue())
	}
})
