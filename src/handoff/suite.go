package handoff

import (
	"fmt"

	"privnet/connection"
	"privnet/ipsec"
)

// Suite is the one set of algorithms that the page recommends out of those that the gateway accepts, in
// the words of people and of each kind of device.
type Suite struct {
	Version connection.IKE
	// Policy is the gateway's policy that the suite is part of.
	Policy ipsec.Policy
	// Encryption, Hash and Group are for people: both phases use them.
	Encryption, Hash, Group string
	// IKEProposal and ESPProposal are strongSwan's words.
	IKEProposal, ESPProposal string
	// SwanIKE and SwanESP are Libreswan's words; empty if it has none for these algorithms.
	SwanIKE, SwanESP string
	// PanEncryption, PanIKEHash, PanESPHash and PanGroup are PAN-OS's words; empty likewise.
	PanEncryption, PanIKEHash, PanESPHash, PanGroup string
}

// espHours is shorter than the gateway's own lifetime, so that the customer's side rekeys.
const espHours = 1

// IKEHours is the lifetime of phase 1 in hours.
func (Suite) IKEHours() int { return ipsec.EndpointIKEHours }

// ESPHours is the lifetime of phase 2 in hours.
func (Suite) ESPHours() int { return espHours }

var modern = Suite{
	Version: connection.IKEv2, Policy: ipsec.Modern,
	Encryption: "AES-256-GCM (16-byte tag)", Hash: "SHA-384 (as PRF)", Group: "20 (ECP-384)",
	IKEProposal: "aes256gcm16-prfsha384-ecp384", ESPProposal: "aes256gcm16-ecp384",
	SwanIKE: "aes_gcm256-sha2_384;dh20", SwanESP: "aes_gcm256;dh20",
	// With AES-GCM, PAN-OS takes the PRF from the group: SHA-384 for group 20.
	PanEncryption: "aes-256-gcm", PanIKEHash: "non-auth", PanESPHash: "none", PanGroup: "group20",
}

var quantumSafe = Suite{
	Version: connection.IKEv2, Policy: ipsec.QuantumSafe,
	Encryption: "AES-256-GCM (16-byte tag)", Hash: "SHA-384 (as PRF)",
	Group:       "20 (ECP-384), and ML-KEM-768 as additional key exchange 1 (RFC 9370)",
	IKEProposal: "aes256gcm16-prfsha384-ecp384-ke1_mlkem768", ESPProposal: "aes256gcm16-ecp384-ke1_mlkem768",
}

// compatible is what nearly every device speaks, for both versions.
var compatible = Suite{
	Version: connection.IKEv2, Policy: ipsec.Compatible,
	Encryption: "AES-256-CBC", Hash: "SHA-256", Group: "14 (MODP-2048)",
	IKEProposal: "aes256-sha256-modp2048", ESPProposal: "aes256-sha256-modp2048",
	SwanIKE: "aes256-sha2_256;modp2048", SwanESP: "aes256-sha2_256;modp2048",
	PanEncryption: "aes-256-cbc", PanIKEHash: "sha256", PanESPHash: "sha256", PanGroup: "group14",
}

// Recommend is the suite for an IKE version and a policy. Where the gateway takes either version, it is
// IKEv2's.
func Recommend(ike connection.IKE, policy string) (Suite, error) {
	p := ipsec.Policy(policy)
	if p == "" {
		p = ipsec.DefaultPolicy(ike)
	}
	var out Suite
	switch {
	case p == ipsec.Modern && ike != connection.IKEv1:
		out = modern
	case p == ipsec.QuantumSafe && ike != connection.IKEv1:
		out = quantumSafe
	case p == ipsec.Compatible:
		out = compatible
	default:
		return Suite{}, fmt.Errorf("the policy %q has no algorithms for IKEv%s", p, ike)
	}
	if ike == connection.IKEv1 {
		out.Version = connection.IKEv1
	}
	return out, nil
}
