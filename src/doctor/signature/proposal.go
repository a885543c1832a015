package signature

import (
	"regexp"
	"slices"
	"strings"
)

// kind is what an algorithm is for.
type kind int

const (
	encryption kind = iota
	integrity
	prf
	group
	// sequence is of the numbers in ESP: with 64 bits (ESN, RFC 4304) or without.
	sequence
)

var kinds = []kind{encryption, integrity, prf, group, sequence}

// proposal is the algorithms of one proposal, by kind.
type proposal map[kind][]string

var (
	groupPattern     = regexp.MustCompile(`^(MODP|ECP|CURVE|FFDHE|KE\d_|ML_KEM|NTRU|NEWHOPE|GOST_VKO)`)
	integrityPattern = regexp.MustCompile(`^(HMAC_|AES_XCBC_96|AES_CMAC_96|AES_\d+_GMAC|DES_MAC|KPDK)`)
	aeadPattern      = regexp.MustCompile(`^(AES_GCM|AES_CCM|CHACHA20|CAMELLIA_CCM)`)
)

// parseProposals reads charon's list, as in IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048, …
func parseProposals(text string) []proposal {
	var out []proposal
	for _, one := range strings.Split(text, ", ") {
		_, algorithms, found := strings.Cut(one, ":")
		if !found || algorithms == "" {
			continue
		}
		p := proposal{}
		for _, name := range strings.Split(algorithms, "/") {
			switch {
			case name == "":
			case name == "NO_EXT_SEQ", name == "EXT_SEQ":
				p[sequence] = append(p[sequence], name)
			case strings.HasPrefix(name, "PRF_"):
				p[prf] = append(p[prf], name)
			case groupPattern.MatchString(name):
				p[group] = append(p[group], name)
			case integrityPattern.MatchString(name):
				p[integrity] = append(p[integrity], name)
			default:
				p[encryption] = append(p[encryption], name)
			}
		}
		out = append(out, p)
	}
	return out
}

func (p proposal) isAEAD() bool { return slices.ContainsFunc(p[encryption], aeadPattern.MatchString) }

// mismatch is one kind of algorithm on which two proposals have nothing in common.
type mismatch struct {
	kind      kind
	got, want []string
}

// compare finds the kinds on which a received proposal and a configured one cannot agree.
func compare(received, configured proposal, inAuth bool) []mismatch {
	var out []mismatch
	for _, k := range kinds {
		got, want := received[k], configured[k]
		switch {
		case overlap(got, want), len(got) == 0 && len(want) == 0:
		case k == integrity && received.isAEAD() != configured.isAEAD():
			// It follows from the encryption: AEAD needs none.
		case k == integrity && (received.isAEAD() || configured.isAEAD()):
		case k == group && len(got) == 0 && inAuth:
			// IKEv2's first CHILD_SA has no key exchange of its own.
		case k == sequence && (len(got) == 0 || len(want) == 0):
		default:
			out = append(out, mismatch{k, got, want})
		}
	}
	return out
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool { return slices.Contains(b, x) })
}

// difference is what separates the received proposals from the configured: the kinds of the pair that is
// nearest to an agreement, with everything that would have been right. It is empty if they agree.
func difference(received, configured []proposal, inAuth bool) []mismatch {
	var best []mismatch
	least, found := 0, false
	for _, r := range received {
		for _, c := range configured {
			d := compare(r, c, inAuth)
			w := weight(d)
			if r.isAEAD() != c.isAEAD() {
				w++ // another family of ciphers
			}
			switch {
			case !found || w < least:
				best, least, found = d, w, true
			case w == least && sameKinds(d, best) && slices.Equal(d[0].got, best[0].got):
				for i := range best {
					best[i].want = union(best[i].want, d[i].want)
				}
			}
		}
	}
	return best
}

// weight prefers, of as many mismatches, those that do not change the encryption: a hash or group is more
// often wrong than the cipher together with all that hangs on it. A hash is one setting, also where it is
// both integrity and PRF.
func weight(d []mismatch) int {
	n := 2 * len(d)
	if i, p := find(d, integrity), find(d, prf); i != nil && p != nil {
		n -= 2
	}
	if find(d, encryption) != nil {
		n++
	}
	return n
}

func find(d []mismatch, k kind) *mismatch {
	for i := range d {
		if d[i].kind == k {
			return &d[i]
		}
	}
	return nil
}

func sameKinds(a, b []mismatch) bool {
	return len(a) > 0 && slices.EqualFunc(a, b, func(x, y mismatch) bool { return x.kind == y.kind })
}

func union(a, b []string) []string {
	out := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

// readable are charon's names in the words of an admin screen.
var readable = map[string]string{
	"MODP_768": "group 1 (MODP-768)", "MODP_1024": "group 2 (MODP-1024)", "MODP_1536": "group 5 (MODP-1536)",
	"MODP_2048": "group 14 (MODP-2048)", "MODP_3072": "group 15 (MODP-3072)", "MODP_4096": "group 16 (MODP-4096)",
	"MODP_6144": "group 17 (MODP-6144)", "MODP_8192": "group 18 (MODP-8192)", "ECP_256": "group 19 (ECP-256)",
	"ECP_384": "group 20 (ECP-384)", "ECP_521": "group 21 (ECP-521)", "CURVE_25519": "group 31 (Curve25519)",
	"AES_CBC_128": "AES-128-CBC", "AES_CBC_192": "AES-192-CBC", "AES_CBC_256": "AES-256-CBC",
	"AES_GCM_16_128": "AES-128-GCM", "AES_GCM_16_192": "AES-192-GCM", "AES_GCM_16_256": "AES-256-GCM", "3DES_CBC": "3DES", "DES_CBC": "DES",
	"NULL":        "none",
	"HMAC_MD5_96": "MD5", "HMAC_SHA1_96": "SHA-1", "HMAC_SHA2_256_128": "SHA-256", "HMAC_SHA2_384_192": "SHA-384",
	"HMAC_SHA2_512_256": "SHA-512", "PRF_HMAC_MD5": "MD5", "PRF_HMAC_SHA1": "SHA-1",
	"EXT_SEQ": "on", "NO_EXT_SEQ": "off", "PRF_HMAC_SHA2_256": "SHA-256", "PRF_HMAC_SHA2_384": "SHA-384", "PRF_HMAC_SHA2_512": "SHA-512",
}

// Algorithm is charon's name of an algorithm in the words of an admin screen.
func Algorithm(name string) string {
	if words, ok := readable[name]; ok {
		return words
	}
	return Clean(name)
}

func algorithms(names []string, empty string) string {
	if len(names) == 0 {
		return empty
	}
	out := make([]string, 0, len(names))
	for _, name := range names {
		out = append(out, Algorithm(name))
	}
	if last := len(out) - 1; last > 0 {
		return strings.Join(out[:last], ", ") + " or " + out[last]
	}
	return out[0]
}

// named is a mismatch as the parameter that an admin screen has for it.
func named(d []mismatch, phase1 bool) []Finding {
	var out []Finding
	for _, m := range d {
		f := Finding{Got: algorithms(m.got, "none"), Want: algorithms(m.want, "none")}
		switch {
		case m.kind == encryption && phase1:
			f.Parameter = IKEEncryption
		case m.kind == encryption:
			f.Parameter = ESPEncryption
		case m.kind == integrity && phase1:
			f.Parameter = IKEHash
		case m.kind == integrity:
			f.Parameter = ESPHash
		case m.kind == prf && find(d, integrity) != nil:
			continue // the same hash, already named
		case m.kind == prf:
			f.Parameter = IKEPRF
		case m.kind == sequence:
			f.Parameter = ESPSequence
		case m.kind == group && phase1:
			f.Parameter = IKEGroup
		default:
			f.Parameter = ESPGroup
			f.Got = algorithms(m.got, "no perfect forward secrecy")
		}
		out = append(out, f)
	}
	return out
}
