package advice_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/doctor/advice"
	"privnet/doctor/signature"
)

func TestAdvice(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "doctor/advice")
}

var _ = Describe("Advice", func() {
	parameters := []signature.Parameter{
		signature.IKEVersion, signature.PreSharedKey, signature.IKEEncryption, signature.ESPGroup, signature.PrivateSelector,
		"IKE packets to the gateway", "return traffic", "path MTU",
	}
	for _, device := range connection.Devices {
		It("names a screen or a command for each parameter on "+device, func() {
			seen := map[string]bool{}
			for _, p := range parameters {
				text := advice.For(device, p, "")
				Expect(text).To(HaveSuffix("."), "%s", p)
				Expect(seen).NotTo(HaveKey(text))
				seen[text] = true
				if device != "other" {
					Expect(text).NotTo(Equal(advice.For("other", p, "")), "%s", p)
				}
			}
		})
	}

	It("says the right value", func() {
		Expect(advice.For("paloalto", signature.IKEGroup, "group 14 (MODP-2048)")).To(
			Equal("set the phase 1 Diffie-Hellman group to group 14 (MODP-2048). Network > Network Profiles > IKE Crypto (set network ike crypto-profiles ike-crypto-profiles NAME …)."))
	})
})
