package signature

import "regexp"

// effect is what a line does to the reader's picture of an exchange.
type effect int

const (
	// ordinary lines belong to a healthy exchange, or repeat what another line says.
	ordinary effect = iota
	packetIn
	packetOut
	parsed
	initiating
	proposalsReceived
	proposalsConfigured
	proposalChosen
	lookingFor
	established
	childUp
	closedByPeer
	refusedByPeer
	retransmitted
	// renewed lines are of rekeying.
	childRenewed
	ikeRenewed
	// certificate lines hold what the failure that follows does not say.
	certificateNamed
	certificateRefused
	restarted
	// failure lines make a finding.
	failure
)

// Row is one signature.
type Row struct {
	Name    string
	Pattern *regexp.Regexp
	// IKE are the versions in which the line occurs.
	IKE    []int
	effect effect
	// The rest is of a failure. Parameter is empty where refine finds it out.
	Parameter Parameter
	Side      Side
	Meaning   string
	Warning   bool
	stage     stage
	refine    refine
}

// refine finds out what a line alone does not say.
type refine func(r *Reader, x *exchange, match map[string]string) []Finding

func line(pattern string) *regexp.Regexp { return regexp.MustCompile(`^(?:` + pattern + `)$`) }

var (
	v1   = []int{1}
	v2   = []int{2}
	both = []int{1, 2}
)

const (
	address = `[0-9a-fA-F.:]+`
	// spis and selectors as they end the lines on CHILD_SAs; 6.1 says which direction a line is about.
	childTS = `with SPIs [0-9a-f]{8}_i(?: \(\d+ bytes\))? [0-9a-f]{8}_o(?: \(\d+ bytes\))? and TS (?P<ours>.+) === (?P<theirs>.+)`
)

// Rows are all signatures, each tried in order; the first that matches is taken.
var Rows = []Row{
	{Name: "packet-in", IKE: both, effect: packetIn, Pattern: line(`received packet: from (?P<remote>` + address + `)\[(?P<port>\d+)\] to ` + address + `\[\d+\].*`)},
	{Name: "packet-out", IKE: both, effect: packetOut, Pattern: line(`sending packet: from ` + address + `\[\d+\] to (?P<remote>` + address + `)\[(?P<port>\d+)\].*`)},
	{
		Name: "refused", IKE: v2, effect: refusedByPeer, Pattern: line(`parsed INFORMATIONAL request \d+ \[ N\(AUTH_FAILED\) \]`),
		Side: Customer, stage: stageChild, refine: refused,
		Meaning: "the endpoint refuses the gateway's proof of its identity",
	},
	{
		Name: "broken-off", IKE: v1, effect: failure, Pattern: line(`parsed INFORMATIONAL_V1 request \d+ \[ N\((?P<notify>[A-Z_]+)\) \]`),
		Side: Customer, stage: stageAuth, refine: brokenOff,
	},
	{Name: "parsed", IKE: both, effect: parsed, Pattern: line(`parsed (?P<exchange>[A-Z_0-9]+) (?:request|response) \d+ \[(?P<payloads>.*)\]`)},
	{Name: "initiating", IKE: both, effect: initiating, Pattern: line(`(?P<remote>` + address + `) is initiating (?:an? )?(?:(?P<mode>Main|Aggressive) Mode )?IKE_SA(?: .*)?`)},
	{Name: "received-proposals", IKE: both, effect: proposalsReceived, Pattern: line(`received proposals: (?P<proposals>(?:IKE|ESP|AH):.*)`)},
	{Name: "configured-proposals", IKE: both, effect: proposalsConfigured, Pattern: line(`configured proposals: (?P<proposals>(?:IKE|ESP|AH):.*)`)},
	{Name: "proposal-chosen", IKE: both, effect: proposalChosen, Pattern: line(`selected proposal: (?P<protocol>IKE|ESP|AH):.*`)},
	{Name: "looking-for-peer", IKE: both, effect: lookingFor, Pattern: line(`looking for (?:(?P<method>.+) )?peer configs matching (?:` + address + `|%any)(?:\[(?P<local>.*?)\])?\.\.\.(?P<remote>` + address + `)(?:\[(?P<id>.*)\])?`)},
	{Name: "ike-established", IKE: both, effect: established, Pattern: line(`IKE_SA \S+\[\d+\] established between .*`)},
	{Name: "child-renewed-v1", IKE: v1, effect: childRenewed, Pattern: line(`detected rekeying of CHILD_SA (?P<child>\S+)\{\d+\}`)},
	{Name: "child-renewed-v2", IKE: v2, effect: childRenewed, Pattern: line(`inbound CHILD_SA (?P<child>\S+)\{\d+\} established ` + childTS)},
	{Name: "ike-renewed-v1", IKE: v1, effect: ikeRenewed, Pattern: line(`detected reauth of existing IKE_SA, adopting \d+ children and \d+ virtual IPs`)},
	{Name: "ike-renewed-v2", IKE: v2, effect: ikeRenewed, Pattern: line(`IKE_SA \S+\[\d+\] rekeyed between .*`)},
	{Name: "certificate-received", IKE: both, effect: certificateNamed, Pattern: line(`received end entity cert "(?P<subject>.*)"`)},
	{Name: "certificate-issuer", IKE: both, effect: certificateRefused, Pattern: line(`issuer is "(?P<issuer>.*)"`)},
	{Name: "certificate-dates", IKE: both, effect: certificateRefused, Pattern: line(`(?P<which>subject|issuer) certificate invalid \(valid from (?P<from>.+) to (?P<until>.+)\)`)},
	{Name: "certificate-revoked", IKE: both, effect: certificateRefused, Pattern: line(`certificate was revoked on (?P<revoked>.+), reason: .+`)},
	{Name: "child-established", IKE: both, effect: childUp, Pattern: line(`(?:(?:inbound|outbound) )?CHILD_SA \S+\{\d+\} established ` + childTS)},
	{Name: "charon-started", IKE: both, effect: restarted, Pattern: line(`Starting (?:IKE charon daemon|charon-systemd|charon).*`)},
	{Name: "request-repeated", IKE: both, effect: retransmitted, Pattern: line(`received retransmit of request with ID \d+.*`)},

	{
		Name: "no-ike-config", IKE: both, Pattern: line(`no IKE config found for (?P<local>` + address + `)\.\.\.(?P<remote>` + address + `), sending NO_PROPOSAL_CHOSEN`),
		effect: failure, Side: Customer, stage: stageContact, refine: noConfig,
	},
	{
		Name: "ike-proposal-v1", IKE: v1, Pattern: line(`no proposal found`),
		effect: failure, Side: Customer, stage: stageProposal, refine: proposals,
		Meaning: "the endpoint's phase 1 (IKE) proposal and the gateway's have no such algorithm in common",
	},
	{
		Name: "ike-proposal-v2", IKE: v2, Pattern: line(`received proposals unacceptable`),
		effect: failure, Side: Customer, stage: stageProposal, refine: proposals,
		Meaning: "the endpoint's phase 1 (IKE) proposal and the gateway's have no such algorithm in common",
	},
	{
		Name: "psk-v1", IKE: v1, Pattern: line(`invalid (?:ID|HASH)_V1 payload length, decryption failed\?`),
		effect: failure, Parameter: PreSharedKey, Side: Customer, stage: stageAuth,
		Meaning: "the endpoint encrypts with another pre-shared key",
	},
	{
		Name: "psk-v2", IKE: v2, Pattern: line(`tried \d+ shared keys? for '.*' - '.*', but MAC mismatched`),
		effect: failure, Parameter: PreSharedKey, Side: Customer, stage: stageAuth,
		Meaning: "the endpoint proves another pre-shared key than the gateway's",
	},
	{
		Name: "no-key", IKE: both, Pattern: line(`no shared key found for .+ - .+`),
		effect: failure, Side: Platform, stage: stageAuth, refine: noKey,
		Meaning: "the gateway holds no pre-shared key for this identity",
	},
	{
		Name: "identity-v1", IKE: v1, Pattern: line(`no peer config found`),
		effect: failure, Side: Customer, stage: stageAuth, refine: identities,
		Meaning: "the endpoint presents itself with an identity that was not agreed",
	},
	{
		Name: "identity-v2", IKE: v2, Pattern: line(`no matching peer config found`),
		effect: failure, Side: Customer, stage: stageAuth, refine: identities,
		Meaning: "the endpoint presents itself with an identity that was not agreed",
	},
	{
		Name: "certificate", IKE: both, Pattern: line(`no trusted \S+ public key found for '(?P<id>.*)'`),
		effect: failure, Side: Customer, stage: stageAuth, refine: certificate,
		Meaning: "the endpoint's certificate does not hold the identity that it presents",
	},
	{
		Name: "aggressive-mode", IKE: v1, Pattern: line(`found \d+ matching configs?, but none allows .+ authentication using Aggressive Mode`),
		effect: failure, Parameter: ExchangeMode, Side: Customer, stage: stageAuth,
		Meaning: "the endpoint uses aggressive mode, which gives a hash of the key to anyone who asks",
	},
	{
		Name: "method-v1", IKE: v1, Pattern: line(`found \d+ matching configs?, but none allows (?P<method>.+) authentication using Main Mode`),
		effect: failure, Side: Customer, stage: stageAuth, refine: method,
		Meaning: otherMethod,
	},
	{
		Name: "method-v2", IKE: v2, Pattern: line(`peer requested (?P<method>EAP), config unacceptable`),
		effect: failure, Side: Customer, stage: stageAuth, refine: method,
		Meaning: otherMethod,
	},
	{
		Name: "aggressive-mode-off", IKE: v1, Pattern: line(`Aggressive Mode PSK disabled for security reasons`),
		effect: failure, Parameter: ExchangeMode, Side: Customer, stage: stageAuth,
		Meaning: "the endpoint uses aggressive mode, which gives a hash of the key to anyone who asks",
	},
	{
		Name: "child-proposal-v1", IKE: v1, Pattern: line(`no matching proposal found, sending NO_PROPOSAL_CHOSEN`),
		effect: failure, Side: Customer, stage: stageChild, refine: proposals,
		Meaning: "the endpoint's phase 2 (IPsec) proposal and the gateway's have no such algorithm in common",
	},
	{
		Name: "child-proposal-v2", IKE: v2, Pattern: line(`no acceptable proposal found`),
		effect: failure, Side: Customer, stage: stageChild, refine: proposals,
		Meaning: "the endpoint's phase 2 (IPsec) proposal and the gateway's have no such algorithm in common",
	},
	{
		Name: "child-refused", IKE: v2, Pattern: line(`received NO_PROPOSAL_CHOSEN notify, no CHILD_SA built`),
		effect: failure, Parameter: ESPGroup, Side: Customer, stage: stageChild,
		Meaning: "the endpoint refuses to rekey phase 2: only there is perfect forward secrecy agreed in IKEv2",
	},
	{
		Name: "selectors-v1", IKE: v1, Pattern: line(`no matching CHILD_SA config found for (?P<theirs>.*) === (?P<ours>.*)`),
		effect: failure, Side: Customer, stage: stageChild, refine: selectors,
		Meaning: "the endpoint asks for a tunnel between other networks (proxy-IDs) than were agreed",
	},
	{
		Name: "selectors-v2", IKE: v2, Pattern: line(`traffic selectors (?P<ours>.*?) === (?P<theirs>.*) unacceptable`),
		effect: failure, Side: Customer, stage: stageChild, refine: selectors,
		Meaning: "the endpoint asks for a tunnel between other networks (traffic selectors) than were agreed",
	},
	{
		Name: "virtual-address", IKE: v2, Pattern: line(`no virtual IP found, sending INTERNAL_ADDRESS_FAILURE`),
		effect: failure, Parameter: VirtualAddress, Side: Customer, stage: stageChild,
		Meaning: "the endpoint asks for an address of ours, as a single computer does that dials in, and not for a tunnel between networks",
	},
	{
		Name: "fragments-lost", IKE: v2, Pattern: line(`received duplicate fragment #\d+`),
		effect: failure, Parameter: LargePackets, Side: Between, stage: stageAuth,
		Meaning: "of a message in parts the endpoint repeats one that the gateway has, and the others do not arrive: the way swallows large packets",
	},
	{
		Name: "closed", IKE: both, effect: closedByPeer, Pattern: line(`received DELETE for IKE_SA .*`),
		Side: Customer, stage: stageChild, refine: refused,
		Meaning: "the endpoint closes phase 1 as soon as the gateway has named itself: it expects another identity of its peer",
	},
	{
		Name: "lifetime", IKE: v1, Pattern: line(`received (?P<got>\d+)s lifetime, configured (?P<want>\d+)s`),
		effect: failure, Side: Customer, stage: stageChild, Warning: true, refine: lifetime,
	},
	{
		Name: "gave-up", IKE: both, Pattern: line(`giving up after \d+ retransmits`),
		effect: failure, Parameter: Path, Side: Between, stage: stageEstablished,
		Meaning: "the endpoint stopped answering",
	},
	{
		Name: "dpd-timeout", IKE: v1, Pattern: line(`DPD check timed out, enforcing DPD action`),
		effect: failure, Parameter: Path, Side: Between, stage: stageEstablished,
		Meaning: "the endpoint stopped answering",
	},
	{
		Name: "duplicate", IKE: both, Pattern: line(`(?:deleting duplicate IKE_SA for peer '.*' due to uniqueness policy|destroying duplicate IKE_SA for peer '.*', received INITIAL_CONTACT)`),
		effect: failure, Parameter: OneBox, Side: Customer, stage: stageEstablished, Warning: true,
		Meaning: "an endpoint with this identity connects while another connection of it stands",
	},
	{
		Name: "half-open-limit", IKE: both, Pattern: line(`ignoring IKE_SA setup from (?P<remote>` + address + `), (?:per-IP half-open IKE_SA|half-open IKE_SA) .*limit.*`),
		effect: failure, Parameter: Retries, Side: Customer, stage: stageContact, Warning: true,
		Meaning: "the endpoint tries again so often that the gateway refuses for a while",
	},
	{
		Name: "own-firewall", IKE: both, Pattern: line(`error writing to socket: Operation not permitted`),
		effect: failure, Parameter: GatewayFirewall, Side: Platform, stage: stageContact,
		Meaning: "a rule on the gateway itself drops what charon sends",
	},
}

// Good says whether the line is progress worth telling.
func (r Row) Good() bool { return r.effect == established || r.effect == childUp }
