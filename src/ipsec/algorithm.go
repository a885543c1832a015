package ipsec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"privnet/connection"
	"privnet/document"
)

// kind is what an algorithm does in a proposal.
type kind string

const (
	encryption kind = "encryption"
	aead       kind = "encryption with integrity"
	integrity  kind = "integrity"
	prf        kind = "PRF"
	group      kind = "key exchange"
	additional kind = "additional key exchange"
)

// algorithm is a word of a proposal, as strongSwan spells it.
type algorithm struct {
	kind kind
	// charon is charon's word for it when it was agreed on; empty for what never is, or is not told.
	charon string
	// weak says why a waiver is needed, and refused why none helps. Both are empty for what is good.
	weak, refused string
	// fips says whether OpenSSL's FIPS provider has it.
	fips bool
}

const (
	weak112      = "it gives less than the 112 bits of security that NIST SP 800-131A asks for"
	weakSHA1     = "SHA-1 is broken for signatures and leaves NIST's lists in 2030"
	weak128      = "it is below the 256 bits that this release keeps for data that must stay secret for long"
	refusedDES   = "its 64-bit blocks can be attacked in a long-lived tunnel (SWEET32), and NIST forbade it in 2024; use aes256"
	refusedMD5   = "MD5 is broken; use sha256"
	refusedMODP  = "a 768-bit group can be broken by anyone; use modp2048 or ecp384"
	refusedNone  = "it leaves out what protects the tunnel"
	refusedPrime = "its group has a subgroup of small order, which RFC 8247 forbids; use modp2048 or ecp384"
)

// noPFS is the name by which a waiver allows a phase 2 without a key exchange of its own.
const noPFS = "nopfs"

var algorithms = map[string]algorithm{
	"aes256":           {kind: encryption, charon: "AES_CBC-256", fips: true},
	"aes192":           {kind: encryption, charon: "AES_CBC-192", fips: true},
	"aes128":           {kind: encryption, charon: "AES_CBC-128", weak: weak128, fips: true},
	"aes256ctr":        {kind: encryption, charon: "AES_CTR-256", fips: true},
	"3des":             {kind: encryption, refused: refusedDES},
	"des":              {kind: encryption, refused: refusedDES},
	"blowfish":         {kind: encryption, refused: refusedDES},
	"null":             {kind: encryption, refused: refusedNone},
	"aes256gcm16":      {kind: aead, charon: "AES_GCM_16-256", fips: true},
	"aes192gcm16":      {kind: aead, charon: "AES_GCM_16-192", fips: true},
	"aes128gcm16":      {kind: aead, charon: "AES_GCM_16-128", weak: weak128, fips: true},
	"chacha20poly1305": {kind: aead, charon: "CHACHA20_POLY1305"},
	"sha256":           {kind: integrity, charon: "HMAC_SHA2_256_128", fips: true},
	"sha384":           {kind: integrity, charon: "HMAC_SHA2_384_192", fips: true},
	"sha512":           {kind: integrity, charon: "HMAC_SHA2_512_256", fips: true},
	"sha1":             {kind: integrity, charon: "HMAC_SHA1_96", weak: weakSHA1},
	"md5":              {kind: integrity, refused: refusedMD5},
	"prfsha256":        {kind: prf, charon: "PRF_HMAC_SHA2_256", fips: true},
	"prfsha384":        {kind: prf, charon: "PRF_HMAC_SHA2_384", fips: true},
	"prfsha512":        {kind: prf, charon: "PRF_HMAC_SHA2_512", fips: true},
	"prfsha1":          {kind: prf, charon: "PRF_HMAC_SHA1", weak: weakSHA1},
	"prfmd5":           {kind: prf, refused: refusedMD5},
	"ecp256":           {kind: group, charon: "ECP_256", fips: true},
	"ecp384":           {kind: group, charon: "ECP_384", fips: true},
	"ecp521":           {kind: group, charon: "ECP_521", fips: true},
	"curve25519":       {kind: group, charon: "CURVE_25519"},
	"curve448":         {kind: group, charon: "CURVE_448"},
	"modp2048":         {kind: group, charon: "MODP_2048", fips: true},
	"modp3072":         {kind: group, charon: "MODP_3072", fips: true},
	"modp4096":         {kind: group, charon: "MODP_4096", fips: true},
	"modp6144":         {kind: group, charon: "MODP_6144", fips: true},
	"modp8192":         {kind: group, charon: "MODP_8192", fips: true},
	"modp1536":         {kind: group, charon: "MODP_1536", weak: weak112},
	"modp1024":         {kind: group, charon: "MODP_1024", weak: weak112},
	"modp768":          {kind: group, refused: refusedMODP},
	"modp1024s160":     {kind: group, refused: refusedPrime},
	"modp2048s224":     {kind: group, refused: refusedPrime},
	"modp2048s256":     {kind: group, refused: refusedPrime},
	"modpnone":         {kind: group, refused: refusedNone},
	"none":             {kind: group, refused: refusedNone},
	"ke1_mlkem768":     {kind: additional},
	"ke1_mlkem1024":    {kind: additional},
	noPFS:              {kind: group, weak: "whoever learns the key of phase 1 can then read all of phase 2"},
}

// known lists the algorithms that may be written in a proposal.
func known() string {
	var out []string
	for _, word := range slices.Sorted(maps.Keys(algorithms)) {
		if algorithms[word].refused == "" && word != noPFS {
			out = append(out, word)
		}
	}
	return strings.Join(out, ", ")
}

// phase says which of the two a proposal is for.
type phase int

const (
	phaseIKE phase = iota
	phaseESP
)

// weaknesses are the names of what a proposal holds that needs a waiver.
func weaknesses(proposal string, of phase) []string {
	var out []string
	hasGroup := false
	for _, word := range strings.Split(proposal, "-") {
		hasGroup = hasGroup || algorithms[word].kind == group
		if algorithms[word].weak != "" {
			out = append(out, word)
		}
	}
	if of == phaseESP && !hasGroup {
		out = append(out, noPFS)
	}
	return out
}

// refuseOutsideFIPS refuses what OpenSSL's FIPS provider does not have or NIST does not allow.
func refuseOutsideFIPS(v document.Value, c Connection) {
	refused := map[string]bool{}
	for _, version := range versions(c.IKE) {
		for _, proposal := range append(c.ikeProposals(version), c.espProposals(version)...) {
			for _, word := range strings.Split(proposal, "-") {
				if !algorithms[word].fips {
					refused[word] = true
				}
			}
		}
	}
	if len(refused) > 0 {
		v.Problem("does not go with %s, which policy %s offers; use policy: modern or compatible, without waivers for them",
			strings.Join(slices.Sorted(maps.Keys(refused)), ", "), c.Policy)
	}
}

// proposalProblem says why a custom proposal cannot be offered, or nothing. It does not look for waivers.
func proposalProblem(proposal string, of phase, version connection.IKE) string {
	count := map[kind]int{}
	for _, word := range strings.Split(proposal, "-") {
		a, ok := algorithms[word]
		switch {
		case word == "default":
			return "is strongSwan's own list, which changes with its version; name the algorithms"
		case !ok || word == noPFS:
			return fmt.Sprintf("holds %q, which is no algorithm; known are %s", word, known())
		case a.refused != "":
			return fmt.Sprintf("holds %s, which is refused: %s", word, a.refused)
		}
		count[a.kind]++
	}
	if version == connection.IKEv1 {
		for kind, n := range count {
			if n > 1 {
				return fmt.Sprintf("names %d algorithms for %s; IKEv1 has one of a kind in a proposal, so give several proposals", n, kind)
			}
		}
		if count[additional] > 0 || (of == phaseIKE && count[aead] > 0) || count[prf] > 0 {
			return "holds what only IKEv2 has: an AEAD in phase 1, a PRF of its own or an additional key exchange"
		}
	}
	switch {
	case count[encryption]+count[aead] == 0:
		return "names no encryption"
	case count[encryption] > 0 && count[aead] > 0:
		return "mixes AEAD and other encryption, which RFC 7296 forbids; give two proposals"
	case count[encryption] > 0 && count[integrity] == 0:
		return "names no integrity, as in sha256, for its encryption"
	case count[aead] > 0 && count[integrity] > 0:
		return "names integrity beside an AEAD, which has its own; leave it out (for IKE, name a PRF, as in prfsha384)"
	case of == phaseESP && count[prf] > 0:
		return "names a PRF, which ESP has none of"
	case of == phaseIKE && count[aead] > 0 && count[prf] == 0:
		return "names no PRF, as in prfsha384, for its AEAD"
	case of == phaseIKE && count[group] == 0:
		return "names no key exchange group, as in ecp384"
	}
	return ""
}
