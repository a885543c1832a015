package ipsec

import "strings"

// Negotiated is what two sides agreed on, in charon's words as in AES_CBC-256, HMAC_SHA2_256_128,
// PRF_HMAC_SHA2_256 and MODP_2048. What does not apply, or is not known, is empty.
type Negotiated struct {
	Encryption, Integrity, PRF, KeyExchange string
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
		if algorithms[word].charon == charon || word == "chacha20poly1305" && strings.HasPrefix(charon, algorithms[word].charon) {
			return true
		}
	}
	return false
}
