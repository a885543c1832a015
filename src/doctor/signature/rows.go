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
	retransmitted
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
	{Name: "parsed", IKE: both, effect: parsed, Pattern: line(`parsed (?P<exchange>[A-Z_0-9]+) (?:request|response) \d+ \[.*\]`)},
	{Name: "initiating", IKE: both, effect: initiating, Pattern: line(`(?P<remote>` + address + `) is initiating (?:an? )?(?:(?P<mode>Main|Aggressive) Mode )?IKE_SA(?: .*)?`)},
	{Name: "received-proposals", IKE: both, effect: proposalsReceived, Pattern: line(`received proposals: (?P<proposals>(?:IKE|ESP|AH):.*)`)},
	{Name: "configured-proposals", IKE: both, effect: proposalsConfigured, Pattern: line(`configured proposals: (?P<proposals>(?:IKE|ESP|AH):.*)`)},
	{Name: "proposal-chosen", IKE: both, effect: proposalChosen, Pattern: line(`selected proposal: (?P<protocol>IKE|ESP|AH):.*`)},
	{Name: "looking-for-peer", IKE: both, effect: lookingFor, Pattern: line(`looking for (?:(?P<method>.+) )?peer configs matching (?:` + address + `|%any)(?:\[(?P<local>.*?)\])?\.\.\.(?P<remote>` + address + `)(?:\[(?P<id>.*)\])?`)},
	{Name: "ike-established", IKE: both, effect: established, Pattern: line(`IKE_SA \S+\[\d+\] established between .*`)},
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
		effect: failure, Parameter: GatewayKey, Side: Platform, stage: stageAuth,
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
		Name: "aggressive-mode", IKE: v1, Pattern: line(`found \d+ matching configs?, but none allows .+ authentication using Aggressive Mode`),
		effect: failure, Parameter: ExchangeMode, Side: Customer, stage: stageAuth,
		Meaning: "the endpoint uses aggressive mode, which gives a hash of the key to anyone who asks",
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
		Name: "closed-at-once", IKE: both, effect: closedByPeer, Pattern: line(`received DELETE for IKE_SA .*`),
		Parameter: PeerIdentity, Side: Customer, stage: stageChild,
		Meaning: "the endpoint closes phase 1 as soon as the gateway has named itself: it expects another identity of its peer",
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
		Name: "duplicate", IKE: both, Pattern: line(`(?:deleting|destroying|schedule delete of) duplicate IKE_SA for peer '.*'.*`),
		effect: failure, Parameter: OneBox, Side: Customer, stage: stageEstablished, Warning: true,
		Meaning: "an endpoint with this identity connects while another connection of it stands",
	},
	{
		Name: "half-open-limit", IKE: v1, Pattern: line(`ignoring IKE_SA setup from (?P<remote>` + address + `), (?:per-IP half-open IKE_SA|half-open IKE_SA) .*limit.*`),
		effect: failure, Parameter: Retries, Side: Customer, stage: stageContact, Warning: true,
		Meaning: "the endpoint tries again so often that the gateway refuses for a while",
	},
	{
		Name: "own-firewall", IKE: both, Pattern: line(`error writing to socket: Operation not permitted`),
		effect: failure, Parameter: GatewayFirewall, Side: Platform, stage: stageContact,
		Meaning: "a rule on the gateway itself drops what charon sends",
	},
}

// ordinaryLines are of healthy exchanges, or say again what a row has said.
var ordinaryLines = regexp.MustCompile(`^(?:` +
	`generating .*|creating .*|received .+ vendor ID.*|received unknown vendor ID.*|(?:remote|local) host is behind NAT.*|` +
	`peer supports MOBIKE.*|scheduling (?:rekeying|reauthentication) in \d+s|maximum IKE_SA lifetime \d+s|selected peer config .*|` +
	`authentication of '.*' with pre-shared key successful|authentication of '.*' \(myself\) with pre-shared key|` +
	`received \d+s lifetime, configured \d+s|received AUTH_LIFETIME of \d+s.*|received ESP_TFC_PADDING_NOT_SUPPORTED.*|` +
	`(?:closing|deleting|rekeyed|establishing|delay closing|detected (?:rekeying|reauth)|sending DELETE|sending DPD|reauthenticating|initiating) .*|` +
	`CHILD_SA (?:\S+ )?closed|IKE_SA .*(?:deleted|rekeyed|state change).*|received DELETE for ESP CHILD_SA.*|` +
	`failed to establish CHILD_SA, keeping IKE_SA|CHILD_SA rekeying failed, trying again in \d+ seconds|could not decrypt payloads|` +
	`message parsing failed|ID_PROT request with message ID \d+ processing failed|QUICK_MODE request with message ID \d+ processing failed|` +
	`retransmit \d+ of request with message ID \d+|key exchange method .*(?:unacceptable|doesn't match).*|DH group .* unacceptable, requesting .*|` +
	`deleting half open IKE_SA .*|vici .*|added vici connection: .*|removed vici connection: .*|updated vici connection: .*|` +
	`loaded IKE shared key .*|unloaded shared key .*|loaded plugins: .*|providers loaded by OpenSSL.*|dropped capabilities.*|spawning \d+ worker threads|` +
	`created TUN device.*|removed TUN device.*|flags changed for .*|interface \S+ (?:activated|deactivated|deleted|appeared)|\S+ (?:appeared on|disappeared from) \S+|` +
	`WARNING: IKEv1 support is deprecated.*|SIG(?:TERM|INT|HUP) received.*|received stroke.*|no \S+ configured for .*|received \w+ notify|` +
	`(?:path probing|using|enabling|installing|uninstalling|unable to install source route for) .*|IKE_SA deleted|received message ID \d+, expected \d+, ignored|` +
	`charon (?:is )?(?:ready|started|stopped|starting).*` +
	`)$`)

// Good says whether the line is progress worth telling.
func (r Row) Good() bool { return r.effect == established || r.effect == childUp }
