package advice_test

import (
	"os"
	"regexp"
	"strings"
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
	// All that a report can name, wherever it is declared.
	var parameters []signature.Parameter
	for _, file := range []string{"../signature/signature.go", "../examine.go"} {
		data, err := os.ReadFile(file)
		if err != nil {
			panic(err)
		}
		for _, match := range regexp.MustCompile(`Parameter\s+= "([^"]+)"`).FindAllStringSubmatch(string(data), -1) {
			parameters = append(parameters, signature.Parameter(match[1]))
		}
	}

	It("has no hole", func() {
		Expect(len(parameters)).To(BeNumerically(">", 45))
		for _, device := range connection.Devices {
			for _, p := range parameters {
				Expect(advice.For(device, p, "")).NotTo(BeEmpty(), "%s on %s", p, device)
			}
		}
	})

	for _, device := range connection.Devices {
		It("names the screen or the command of "+device+" for each parameter of a device", func() {
			for _, p := range parameters {
				text := advice.For(device, p, "the right value")
				if text == advice.For("paloalto", p, "the right value") && text == advice.For("aws", p, "the right value") {
					continue // on our side
				}
				what, where, found := strings.Cut(text, ". ")
				Expect(found).To(BeTrue(), text)
				Expect(what).To(ContainSubstring("the right value"))
				Expect(where).To(And(HaveSuffix("."), Not(ContainSubstring("  "))), "%s", p)
				for _, other := range connection.Devices {
					if other != device {
						_, elsewhere, _ := strings.Cut(advice.For(other, p, "the right value"), ". ")
						Expect(where).NotTo(Equal(elsewhere), "%s on %s and %s", p, device, other)
					}
				}
			}
		})
	}

	It("says the right value", func() {
		Expect(advice.For("paloalto", signature.IKEGroup, "group 14 (MODP-2048)")).To(
			Equal("set the phase 1 Diffie-Hellman group to group 14 (MODP-2048). Network > Network Profiles > IKE Crypto (set network ike crypto-profiles ike-crypto-profiles NAME …)."))
	})
})
