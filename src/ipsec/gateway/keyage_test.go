package gateway_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/ipsec"
	. "privnet/ipsec/charontest"
)

var _ = It("The status says what is offered, and since when the VM has had each key, whatever its slot", func() {
	v := NewVM(Network{Gateway: Namespace("gw")}, nil)
	session := v.Run()
	Eventually(func() int { return len(statusOf(v).Keys) }).Should(Equal(1))
	before := statusOf(v)
	Expect(before.Keys[0].PSK).To(Equal(ipsec.SlotA))
	Expect(before.Keys[0].FirstSeen).To(BeTemporally("~", time.Now(), time.Minute))
	Expect(before.Offer.IKE).To(Equal(connection.IKEv2))
	Expect(before.Offer.Phase1).To(Equal(ipsec.Modern.IKEProposals(connection.IKEv2)))
	Expect(before.Offer.Phase2).To(Equal(ipsec.Modern.ESPProposals(connection.IKEv2)))
	session.Terminate().Wait("10s")

	v.Configure(nil, Settings{"psk_a": "another.key.of.more.than.32.characters", "psk_b": PSK, "active_psk": "b"})
	v.Run()
	Eventually(func() int { return len(statusOf(v).Keys) }).Should(Equal(2))
	after := statusOf(v).Keys
	Expect(after[1].FirstSeen).To(Equal(before.Keys[0].FirstSeen), "it has moved from a to b")
	Expect(after[0].FirstSeen).To(BeTemporally(">", after[1].FirstSeen))
})
