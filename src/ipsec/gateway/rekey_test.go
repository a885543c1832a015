package gateway_test

import (
	"strconv"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	. "privnet/ipsec/charontest"
)

var _ = Describe("Rekeying on command", func() {
	start := func(version int, esp string) (Network, VM, Customer) {
		GinkgoHelper()
		network := NewNetwork(NAT{})
		gateway := NewVM(network, Settings{"ike": strconv.Itoa(version), "policy": "compatible"})
		gateway.Run()
		peer := StartCustomer(network, customer(version, NAT{}, compatibleIKE, esp))
		peer.Swanctl("--initiate", "--child", "pair-0")
		return network, gateway, peer
	}

	DescribeTable("gives every pair new keys",
		func(version int) {
			network, gateway, peer := start(version, compatibleESP)
			peer.Swanctl("--initiate", "--child", "pair-1")
			before := spis(peer.Swanctl("--list-sas"))
			rekey := gateway.Do("rekey")
			Expect(rekey).To(gexec.Exit(0))
			tunnel := "rekeyed agency-a-198-51-100-10-ikev" + strconv.Itoa(version)
			Expect(string(rekey.Out.Contents())).To(Equal(tunnel + " 10.20.0.0/26 === 10.150.0.0/16\n" + tunnel + " 10.20.0.0/26 === 172.30.8.0/22\n"))
			Expect(spis(peer.Swanctl("--list-sas"))).NotTo(Equal(before))
			for _, service := range Services {
				Expect(network.Reaches(service)).To(BeTrue())
			}
		},
		Entry("IKEv1", 1), Entry("IKEv2", 2),
	)

	It("shows an endpoint without perfect forward secrecy, before a night does, and leaves the tunnel", func() {
		network, gateway, _ := start(2, "aes256-sha256")
		rekey := gateway.Do("rekey", "--timeout", "3s")
		Expect(rekey).To(gexec.Exit(1))
		Expect(rekey.Err).To(gbytes.Say("the endpoint does not negotiate new keys for agency-a-198-51-100-10-ikev2 10.20.0.0/26 === "))
		Expect(rekey.Err).To(gbytes.Say("perfect forward secrecy is negotiated only now"))
		Expect(network.Reaches(Services[0])).To(BeTrue())
	})

	It("needs a tunnel that is up", func() {
		gateway := NewVM(Network{Gateway: Namespace("gw")}, nil)
		gateway.Run()
		rekey := gateway.Do("rekey")
		Expect(rekey).To(gexec.Exit(1))
		Expect(rekey.Err).To(gbytes.Say("no tunnel is up: the endpoint has not initiated"))
	})
})
