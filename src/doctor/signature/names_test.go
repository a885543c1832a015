package signature_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/doctor/signature"
)

var _ = It("Every finding of every recorded log has a name that is listed, so that it can be counted from the start", func() {
	names, found := signature.FailureNames(), 0
	for _, sections := range recorded {
		for _, lines := range sections {
			for _, expect := range []signature.Expect{agreed, byCertificate()} {
				for _, ike := range []connection.IKE{connection.IKEv1, connection.IKEv2, connection.IKEAuto} {
					_, findings := readFor(expect, lines, ike)
					for _, f := range findings {
						Expect(names).To(ContainElement(f.Signature))
						found++
					}
				}
			}
		}
	}
	Expect(found).To(BeNumerically(">", 50))
})
