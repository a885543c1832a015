package ipsec

import (
	"slices"
	"strings"

	"privnet/connection"
	"privnet/document"
)

// Policy is a named set of algorithms. A gateway offers exactly what its policy names, in order of
// preference, and every phase 2 has perfect forward secrecy.
type Policy string

const (
	// Modern is IKEv2 with AES-256-GCM, SHA-384 and ECP-384, as in CNSA 1.0 (RFC 9206).
	Modern Policy = "modern"
	// Compatible is AES-256 with SHA-256 or better and MODP-2048 or better, for IKEv1 and IKEv2. With
	// IKEv2 it includes all of Modern.
	Compatible Policy = "compatible"
	// QuantumSafe is Modern with an additional ML-KEM key exchange (RFC 9370); IKEv2 only.
	QuantumSafe Policy = "quantum-safe"
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

// The key exchange groups and hashes of Compatible, the strongest first. A responder takes the first of
// its own that the initiator proposes too.
var (
	compatibleGroups = []string{"ecp384", "ecp521", "ecp256", "modp4096", "modp3072", "modp2048"}
	compatibleHashes = []string{"sha384", "sha512", "sha256"}
)

// IKEProposals are the policy's phase 1 proposals in strongSwan's words. version is connection.IKEv1 or
// connection.IKEv2; a policy that the version does not have gives none.
func (p Policy) IKEProposals(version connection.IKE) []string {
	switch {
	case p == Modern && version == connection.IKEv2:
		return []string{"aes256gcm16-prfsha384-ecp384"}
	case p == QuantumSafe && version == connection.IKEv2:
		return []string{"aes256gcm16-prfsha384-ecp384-ke1_mlkem1024", "aes256gcm16-prfsha384-ecp384-ke1_mlkem768"}
	case p == Compatible && version == connection.IKEv2:
		return []string{
			join([]string{"aes256gcm16"}, prefixed("prf", compatibleHashes), compatibleGroups),
			join([]string{"aes256"}, compatibleHashes, compatibleGroups),
		}
	case p == Compatible && version == connection.IKEv1:
		return eachAlone()
	}
	return nil
}

// ESPProposals are the policy's phase 2 proposals, like IKEProposals.
func (p Policy) ESPProposals(version connection.IKE) []string {
	switch {
	case p == Modern && version == connection.IKEv2:
		return []string{"aes256gcm16-ecp384"}
	case p == QuantumSafe && version == connection.IKEv2:
		return []string{"aes256gcm16-ecp384-ke1_mlkem1024", "aes256gcm16-ecp384-ke1_mlkem768"}
	case p == Compatible && version == connection.IKEv2:
		return []string{
			join([]string{"aes256gcm16"}, compatibleGroups),
			join([]string{"aes256"}, compatibleHashes, compatibleGroups),
		}
	case p == Compatible && version == connection.IKEv1:
		return eachAlone()
	}
	return nil
}

// eachAlone lists Compatible's combinations one by one: charon strips an IKEv1 proposal to one algorithm
// of a kind.
func eachAlone() []string {
	var out []string
	for _, group := range compatibleGroups {
		for _, hash := range compatibleHashes {
			out = append(out, join([]string{"aes256", hash, group}))
		}
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
