package signature

import (
	"regexp"
	"strings"
)

// ordinaryForms are the forms of lines of healthy exchanges, and of those that say again what a row has said.
// Each is written out as far as charon's own words go: what is not here and in no row is shown.
var ordinaryForms = []string{
	// The daemon.
	`charon (?:is )?(?:ready|started|stopped|starting).*`, `SIG(?:TERM|INT|HUP) received.*`, `loaded plugins: .*`,
	`providers loaded by OpenSSL: .*`, `dropped capabilities, running as uid \d+, gid \d+`, `spawning \d+ worker threads`,
	`WARNING: IKEv1 support is deprecated.*`, `(?:created|removed) TUN device: \S+`,
	`unable to create IPv[46] routing table rule`,
	// The kernel's ESP: drop policies, and whether the kernel has XFRM interfaces.
	`vici installing '.*'`, `updating reqid for policy .* from \d+ to \d+`, `received netlink error: Unknown device type \(95\)`, `failed to create XFRM interface '\S+'`,
	`flags changed for \S+ on \S+`, `interface \S+ (?:activated|deactivated|deleted|appeared)`, `\S+ (?:appeared on|disappeared from) \S+`,
	`(?:added|removed|updated) vici connection: \S+`, `(?:loaded|unloaded) IKE shared key .*`, `unloaded shared key with id '.*'`, `loaded certificate .*`, `loaded \w+ private key`,
	`vici (?:rekey|reauth|terminate) (?:CHILD|IKE)_SA .*`,
	// Our own tools, asking a charon before 6.1 for its alerts.
	`vici client \d+ invalid registration: \w+`, `vici connection \d+ unknown`, `vici header (?:read|write) error: .*`,
	// Messages.
	`generating [A-Z_0-9]+ (?:request|response) [0-9a-f]+ \[.*\]`, `received .+ vendor ID(?::.*)?`, `(?:remote|local) host is behind NAT(?:, .*)?`,
	`received fragment #\d+ of \d+, .*`, `splitting IKE message \(\d+ bytes\) into \d+ fragments`, `ignoring request with ID \d+, already processing`,
	`received message ID \d+, expected \d+, ignored`, `retransmit \d+ of request with message ID \d+`, `sending DPD request`,
	`received ESP_TFC_PADDING_NOT_SUPPORTED, not using ESPv3 TFC padding`, `received (?:NO_PROPOSAL_CHOSEN|INVALID_ID_INFORMATION|INITIAL_CONTACT|AUTHENTICATION_FAILED) (?:error )?notify`,
	`ignoring unprotected INFORMATIONAL from [0-9a-fA-F.:]+`, `message verification failed`, `ignore malformed INFORMATIONAL request`,
	`could not decrypt payloads`, `message parsing failed`, `[A-Z_0-9]+ request with message ID \d+ processing failed`,
	// Phase 1.
	`peer supports MOBIKE(?:, but disabled in config)?`, `DPD not supported by peer, disabled`, `selected peer config .*`, `no alternative config found`,
	`authentication of '.*' (?:\(myself\) )?with (?:pre-shared key|\w+)(?: successful)?`, `authentication of '.*' \(myself\) successful`,
	`scheduling (?:rekeying|reauthentication) in \d+s`, `maximum IKE_SA lifetime \d+s`, `received AUTH_LIFETIME of \d+s, .*`,
	`key exchange method .* (?:unacceptable, requesting|doesn't match negotiated) \S+`, `DH group \S+ unacceptable, requesting \S+`, `DH group in received payload \S+ doesn't match negotiated \S+`,
	`schedule delete of duplicate IKE_SA for peer '.*' due to uniqueness policy and suspected reauthentication`,
	`deleting (?:half open )?IKE_SA .*`, `IKE_SA deleted`, `sending DELETE for IKE_SA \S+`,
	`reauthenticating IKE_SA .*`, `initiating (?:Main Mode )?IKE_SA \S+ to \S+`,
	// Certificates.
	`sending cert request for ".*"`, `sending (?:end entity|issuer) cert ".*"`, `received issuer cert ".*"`,
	`received cert request for (?:unknown ca )?['"].*['"]`, `received \d+ cert requests for an unknown ca`,
	`using (?:trusted |untrusted )?(?:ca |intermediate ca |intermediate )?certificate ".*"`, `reached self-signed root ca with a path length of \d+`,
	`checking certificate status of ".*"`, `certificate status is (?:good|not available)`, `crl correctly signed by ".*"`, `crl is valid: until .*`,
	`using cached crl`, `no issuer certificate found for ".*"`, `reached end of incomplete trust chain for .*`, `self-signed certificate ".*" is not trusted`,
	// Phase 2.
	`peer requested virtual IP \S+`, `no virtual IP found for \S+ requested by '.*'`, `configuration payload negotiation failed, no CHILD_SA built`,
	`received \d+ lifebytes, configured \d+`, `outbound CHILD_SA .+ established with .*`, `rekeyed CHILD_SA .*`, `(?:delay )?closing (?:of )?(?:inbound )?CHILD_SA .*`,
	`received DELETE for ESP CHILD_SA with SPI [0-9a-f]+`, `sending DELETE for ESP CHILD_SA with SPI [0-9a-f]+`, `CHILD_SA (?:\S+ )?closed`,
	`establishing CHILD_SA \S+ reqid \d+`, `failed to establish CHILD_SA, keeping IKE_SA`, `CHILD_SA rekeying failed, trying again in \d+ seconds`,
	`unable to install IPsec policies \(SPD\) in kernel`,
}

var ordinaryLines = regexp.MustCompile(`^(?:` + strings.Join(ordinaryForms, "|") + `)$`)
