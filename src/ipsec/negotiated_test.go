package ipsec_test

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/ipsec"
)

func agreed(encryption, integrity, prf, keyExchange string) ipsec.Negotiated {
	return ipsec.Negotiated{Encryption: encryption, Integrity: integrity, PRF: prf, KeyExchange: keyExchange}
}

var _ = DescribeTable("What was negotiated",
	func(n ipsec.Negotiated, proposals []string, allowed bool) { Expect(n.In(proposals)).To(Equal(allowed)) },
	Entry("is allowed by its own proposal",
		agreed("AES_GCM_16-256", "", "PRF_HMAC_SHA2_384", "ECP_384"), ipsec.Modern.IKEProposals(connection.IKEv2), true),
	Entry("is allowed by a proposal whose hash names the PRF",
		agreed("AES_CBC-256", "HMAC_SHA2_256_128", "PRF_HMAC_SHA2_256", "MODP_2048"), []string{"aes256-sha256-modp2048"}, true),
	Entry("is allowed by one of several in a proposal",
		agreed("AES_CBC-256", "HMAC_SHA2_512_256", "PRF_HMAC_SHA2_512", "ECP_521"), ipsec.Compatible.IKEProposals(connection.IKEv2), true),
	Entry("is allowed as the first CHILD_SA of IKEv2, which has no key exchange of its own",
		agreed("AES_GCM_16-256", "", "", ""), ipsec.Modern.ESPProposals(connection.IKEv2), true),
	Entry("is not allowed by a policy that has become stricter",
		agreed("AES_CBC-256", "HMAC_SHA2_256_128", "PRF_HMAC_SHA2_256", "MODP_2048"), ipsec.Modern.IKEProposals(connection.IKEv2), false),
	Entry("is not allowed without the waiver that it once had",
		agreed("AES_CBC-256", "HMAC_SHA1_96", "", "MODP_2048"), ipsec.Compatible.ESPProposals(connection.IKEv1), false),
	Entry("is not put together of two proposals",
		agreed("AES_CBC-256", "HMAC_SHA2_256_128", "", "MODP_2048"), []string{"aes256-sha256-ecp384", "aes256-sha384-modp2048"}, false),
	Entry("is not allowed by nothing", agreed("AES_CBC-256", "", "", ""), nil, false),
)
