package ipsec

import "strings"

// Negotiated is what two sides agreed on, in charon's words as in AES_CBC-256, HMAC_SHA2_256_128,
// PRF_HMAC_SHA2_256 and MODP_2048. What does not apply, or is not known, is empty.
type Negotiated struct {
	Encryption, Integrity, PRF, KeyExchange string
}

// charonWords are charon's words for those of proposals.
var charonWords = map[string]string{
	"aes256": "AES_CBC-256", "aes192": "AES_CBC-192", "aes128": "AES_CBC-128", "aes256ctr": "AES_CTR-256",
	"aes256gcm16": "AES_GCM_16-256", "aes192gcm16": "AES_GCM_16-192", "aes128gcm16": "AES_GCM_16-128",
	"chacha20poly1305": "CHACHA20_POLY1305",
	"sha256":           "HMAC_SHA2_256_128", "sha384": "HMAC_SHA2_384_192", "sha512": "HMAC_SHA2_512_256", "sha1": "HMAC_SHA1_96",
	"prfsha256": "PRF_HMAC_SHA2_256", "prfsha384": "PRF_HMAC_SHA2_384", "prfsha512": "PRF_HMAC_SHA2_512", "prfsha1": "PRF_HMAC_SHA1",
	"ecp256": "ECP_256", "ecp384": "ECP_384", "ecp521": "ECP_521", "curve25519": "CURVE_25519", "curve448": "CURVE_448",
	"modp2048": "MODP_2048", "modp3072": "MODP_3072", "modp4096": "MODP_4096", "modp6144": "MODP_6144", "modp8192": "MODP_8192",
	"modp1536": "MODP_1536", "modp1024": "MODP_1024",
}

// In says whether one of the proposals allows it. Without a PRF a proposal means that of its hash (RFC 7296,
// section 3.3). An additional key exchange is not looked at: charon does not tell it.
func (n Negotiated) In(proposals []string) bool {
	for _, proposal := range proposals {
		allowed := map[kind][]string{}
		for _, word := range strings.Split(proposal, "-") {
			allowed[algorithms[word].kind] = append(allowed[algorithms[word].kind], word)
		}
		if len(allowed[prf]) == 0 {
			allowed[prf] = prefixed("prf", allowed[integrity])
		}
		if holds(append(allowed[encryption], allowed[aead]...), n.Encryption) && holds(allowed[integrity], n.Integrity) &&
			holds(allowed[prf], n.PRF) && holds(allowed[group], n.KeyExchange) {
			return true
		}
	}
	return false
}

// holds says whether one of the words is charon's. CHACHA20_POLY1305 is told with its only key size.
func holds(words []string, charon string) bool {
	if charon == "" {
		return true
	}
	for _, word := range words {
		if charonWords[word] == charon || word == "chacha20poly1305" && strings.HasPrefix(charon, charonWords[word]) {
			return true
		}
	}
	return false
}
