package ipsec

import (
	"slices"
	"strings"

	"privnet/connection"
	"privnet/document"
)

// Policy is a named set of algorithms. A gateway offers exactly what its policy names, in order of
// preference, and what a waiver adds; every phase 2 has perfect forward secrecy unless a waiver says
// otherwise.
type Policy string

const (
	// Modern is IKEv2 with AES-256-GCM, SHA-384 and ECP-384, as in CNSA 1.0 (RFC 9206).
	Modern Policy = "modern"
	// Compatible is AES-256 with SHA-256 or better and MODP-2048 or better, for IKEv1 and IKEv2. With
	// IKEv2 it includes all of Modern.
	Compatible Policy = "compatible"
	// QuantumSafe is Modern with an additional ML-KEM key exchange (RFC 9370); IKEv2 only.
	QuantumSafe Policy = "quantum-safe"
	// Custom is what the property proposals names.
	Custom Policy = "custom"
)

// DefaultPolicy is the policy of a connection that names none.
func DefaultPolicy(ike connection.IKE) Policy {
	if ike == connection.IKEv2 {
		return Modern
	}
	return Compatible
}

func readPolicy(v document.Value, ike connection.IKE) Policy {
	policy := Policy(v.OneOf(string(DefaultPolicy(ike)), connection.Policies...))
	if ike != connection.IKEv2 && policy != Compatible {
		v.Problem("needs ike: 2, because IKEv1 has no such algorithms; use policy: compatible with ike: %s", ike)
	}
	return policy
}

// The algorithms of Compatible, the strongest first. A responder takes the first of its own that the
// initiator proposes too; so the weak ones, which only a waiver adds, come last.
var (
	compatibleAEADs   = []string{"aes256gcm16", "aes128gcm16"}
	compatibleCiphers = []string{"aes256", "aes128"}
	compatibleHashes  = []string{"sha384", "sha512", "sha256", "sha1"}
	compatibleGroups  = []string{"ecp384", "ecp521", "ecp256", "modp4096", "modp3072", "modp2048", "modp1536", "modp1024"}
)

// allowed are those that are good or waived.
func allowed(names, waived []string) []string {
	var out []string
	for _, name := range names {
		if algorithms[name].weak == "" || slices.Contains(waived, name) {
			out = append(out, name)
		}
	}
	return out
}

// IKEProposals are the policy's phase 1 proposals in strongSwan's words. version is connection.IKEv1 or
// connection.IKEv2; a policy that the version does not have gives none. Waivers widen Compatible alone.
func (p Policy) IKEProposals(version connection.IKE, waived ...string) []string {
	groups, hashes := allowed(compatibleGroups, waived), allowed(compatibleHashes, waived)
	switch {
	case p == Modern && version == connection.IKEv2:
		return []string{"aes256gcm16-prfsha384-ecp384"}
	case p == QuantumSafe && version == connection.IKEv2:
		return []string{"aes256gcm16-prfsha384-ecp384-ke1_mlkem1024", "aes256gcm16-prfsha384-ecp384-ke1_mlkem768"}
	case p == Compatible && version == connection.IKEv2:
		return []string{
			join(allowed(compatibleAEADs, waived), prefixed("prf", hashes), groups),
			join(allowed(compatibleCiphers, waived), hashes, groups),
		}
	case p == Compatible && version == connection.IKEv1:
		return eachAlone(allowed(compatibleCiphers, waived), hashes, groups)
	}
	return nil
}

// ESPProposals are the policy's phase 2 proposals, like IKEProposals.
func (p Policy) ESPProposals(version connection.IKE, waived ...string) []string {
	groups, hashes, ciphers := allowed(compatibleGroups, waived), allowed(compatibleHashes, waived), allowed(compatibleCiphers, waived)
	withoutPFS := slices.Contains(waived, noPFS)
	switch {
	case p == Modern && version == connection.IKEv2:
		return []string{"aes256gcm16-ecp384"}
	case p == QuantumSafe && version == connection.IKEv2:
		return []string{"aes256gcm16-ecp384-ke1_mlkem1024", "aes256gcm16-ecp384-ke1_mlkem768"}
	case p == Compatible && version == connection.IKEv2:
		aeads := allowed(compatibleAEADs, waived)
		out := []string{join(aeads, groups), join(ciphers, hashes, groups)}
		if withoutPFS {
			out = append(out, join(aeads), join(ciphers, hashes))
		}
		return out
	case p == Compatible && version == connection.IKEv1:
		out := eachAlone(ciphers, hashes, groups)
		if withoutPFS {
			out = append(out, eachAlone(ciphers, hashes, nil)...)
		}
		return out
	}
	return nil
}

// eachAlone lists all combinations one by one, the first list's choice changing last: charon strips an
// IKEv1 proposal to one algorithm of a kind. Without groups the combinations have none.
func eachAlone(ciphers, hashes, groups []string) []string {
	var out []string
	for _, cipher := range ciphers {
		if len(groups) == 0 {
			out = append(out, prefixed(cipher+"-", hashes)...)
		}
		for _, group := range groups {
			for _, hash := range hashes {
				out = append(out, join([]string{cipher, hash, group}))
			}
		}
	}
	return out
}

// ikeProposals are what a connection offers in phase 1.
func (c Connection) ikeProposals(version connection.IKE) []string {
	if c.Policy == Custom {
		return c.Proposals.IKE
	}
	return c.Policy.IKEProposals(version, c.waived()...)
}

// espProposals are what a connection offers in phase 2.
func (c Connection) espProposals(version connection.IKE) []string {
	if c.Policy == Custom {
		return c.Proposals.ESP
	}
	return c.Policy.ESPProposals(version, c.waived()...)
}

// Offer is all that may be agreed on in phase 1 and in phase 2, in whatever version.
func (c Connection) Offer() (phase1, phase2 []string) {
	for _, version := range versions(c.IKE) {
		phase1 = append(phase1, c.ikeProposals(version)...)
		phase2 = append(phase2, c.espProposals(version)...)
	}
	return phase1, phase2
}

func (c Connection) waived() []string {
	out := make([]string, len(c.Waivers))
	for i, w := range c.Waivers {
		out[i] = w.Algorithm
	}
	return out
}

func join(parts ...[]string) string { return strings.Join(slices.Concat(parts...), "-") }

func prefixed(prefix string, words []string) []string {
	out := make([]string, len(words))
	for i, word := range words {
		out[i] = prefix + word
	}
	return out
}
