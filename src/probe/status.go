package probe

import (
	"net/netip"
	"time"

	"privnet/ipsec/gateway"
	"privnet/probe/health"
)

// StatusVersion is the version of the form of Status. A field may be added without a new one.
const StatusVersion = 1

// Status is all that the prober knows, as it is served at /v1/status; docs/status.md describes it.
type Status struct {
	Version int    `json:"version"`
	Org     string `json:"org"`
	Role    Role   `json:"role"`
	// Gateway is the address in the segment of the gateway that this is; absent on a cell.
	Gateway string `json:"gateway,omitempty"`
	health.Condition
	// ObservedAt is when this was found; absent before the first look.
	ObservedAt  time.Time   `json:"observed_at,omitzero"`
	Enforcement Enforcement `json:"enforcement"`
	// Charon and Configuration are absent on a cell.
	Charon        *Charon        `json:"charon,omitempty"`
	Configuration *Configuration `json:"configuration,omitempty"`
	Tunnels       []Tunnel       `json:"tunnels"`
	Pairs         []Pair         `json:"pairs"`
	Targets       []Target       `json:"targets"`
	// Gateways are how a cell sees the gateways; absent on a gateway.
	Gateways []NextHop `json:"gateways,omitempty"`
	// Failures are those of charon's that nothing has overtaken, the earliest stage first.
	Failures []Failure `json:"failures"`
	// LastFailure is the last of all, also if it is overcome; absent if there was none.
	LastFailure *Failure `json:"last_failure,omitempty"`

	// failureCounts are by tunnel and reason, for the metrics.
	failureCounts map[string]uint64
}

// Enforcement is what the enforcer says of its rules.
type Enforcement struct {
	health.Enforcement
	Repairs        uint64 `json:"repairs"`
	DroppedPackets uint64 `json:"dropped_packets"`
}

// Charon is whether the IKE daemon answers.
type Charon struct {
	Answers bool   `json:"answers"`
	Reason  string `json:"reason,omitempty"`
}

// Tunnel is the IKE_SA with one endpoint.
type Tunnel struct {
	Endpoint    netip.Addr `json:"endpoint"`
	Established bool       `json:"established"`
	// EstablishedAt, and all up to Algorithms, are absent without an IKE_SA.
	EstablishedAt time.Time `json:"established_at,omitzero"`
	State         string    `json:"state,omitempty"`
	IKEVersion    int       `json:"ike_version,omitempty"`
	RemoteID      string    `json:"remote_id,omitempty"`
	RemotePort    uint16    `json:"remote_port,omitempty"`
	RemoteNAT     bool      `json:"remote_nat,omitempty"`
	LocalNAT      bool      `json:"local_nat,omitempty"`
	Algorithms    string    `json:"algorithms,omitempty"`
	// Differences are parameters that are not as the gateway is configured now.
	Differences []Difference `json:"differences"`
	TunnelCounts
}

// TunnelCounts count what happened to a tunnel. What happens while charon cannot be listened to is missed.
type TunnelCounts struct {
	Ups         uint64 `json:"ups"`
	Downs       uint64 `json:"downs"`
	IKERekeys   uint64 `json:"ike_rekeys"`
	ChildRekeys uint64 `json:"child_rekeys"`
}

// Difference is a parameter that was negotiated before the configuration was changed.
type Difference struct {
	// Parameter is one of Parameters.
	Parameter  string `json:"parameter"`
	Negotiated string `json:"negotiated"`
}

// Parameters are those that are compared with the gateway's configuration.
var Parameters = []string{"ike_version", "ike_algorithms", "esp_algorithms"}

// Configuration is what the gateway job says of itself.
type Configuration struct {
	// Known says that it has said something; then Healthy says that charon holds what the job configures.
	Known   bool `json:"known"`
	Healthy bool `json:"healthy"`
	// Reason says why it is not healthy, or not known.
	Reason   string                 `json:"reason,omitempty"`
	FIPS     bool                   `json:"fips"`
	PSKs     []gateway.PSKStatus    `json:"psks"`
	Keys     []gateway.KeyStatus    `json:"keys"`
	Waivers  []gateway.WaiverStatus `json:"waivers"`
	Expiries []gateway.ExpiryStatus `json:"expiries"`

	offer gateway.OfferStatus
}

// Failure is one thing that charon's log says went wrong.
type Failure struct {
	At time.Time `json:"at"`
	// Endpoint is who it happened with; absent if the log does not tell.
	Endpoint netip.Addr `json:"endpoint,omitzero"`
	// Reason is the name of the signature; a label of metrics.
	Reason     string `json:"reason"`
	IKEVersion int    `json:"ike_version,omitempty"`
	// Parameter is what is wrong, Side who has to change it: customer, platform or between.
	Parameter string `json:"parameter"`
	Side      string `json:"side"`
	// Got is what the endpoint sent, Want what is right; either may be empty.
	Got     string `json:"got,omitempty"`
	Want    string `json:"want,omitempty"`
	Meaning string `json:"meaning"`
	// Advice says what to change, on the endpoint's type of device.
	Advice string `json:"advice,omitempty"`
	// Evidence is charon's line.
	Evidence string `json:"evidence,omitempty"`
}

// Pair is one selector pair.
type Pair struct {
	Segment        netip.Prefix `json:"segment"`
	PrivateNetwork netip.Prefix `json:"private_network"`
	health.Condition
	// The counts are over all CHILD_SAs that carried something of the pair; a CHILD_SA for several pairs
	// counts for each.
	Traffic
	LastIn time.Time `json:"last_in,omitzero"`
	// Algorithms are those of the CHILD_SA that carries the pair.
	Algorithms string `json:"algorithms,omitempty"`
	// PathMTU is the size in bytes of the largest packet that this VM's kernel would send to the private
	// network in one piece; 0 if it would send none.
	PathMTU int `json:"path_mtu"`
}

// Traffic counts bytes and packets, in from the private network and out to it.
type Traffic struct {
	BytesIn    uint64 `json:"bytes_in"`
	BytesOut   uint64 `json:"bytes_out"`
	PacketsIn  uint64 `json:"packets_in"`
	PacketsOut uint64 `json:"packets_out"`
}

// Target is one service that is asked.
type Target struct {
	// Name is as in tcp://10.150.0.10:443.
	Name           string       `json:"name"`
	Segment        netip.Prefix `json:"segment"`
	PrivateNetwork netip.Prefix `json:"private_network"`
	// Reached says that the last answer came back through the path; Served that it was a good one.
	Reached bool `json:"reached"`
	Served  bool `json:"served"`
	// Missed is how many questions in a row had no answer.
	Missed int    `json:"missed"`
	Reason string `json:"reason,omitempty"`
	// AskedAt is absent before the first question.
	AskedAt time.Time `json:"asked_at,omitzero"`
	// Seconds is how long the last answer took.
	Seconds   float64 `json:"seconds,omitempty"`
	Questions uint64  `json:"questions"`
	Losses    uint64  `json:"losses"`
	// PathMTU is the size in bytes of the largest echo request that was answered; 0 unless it was measured.
	PathMTU int `json:"path_mtu"`
}

// NextHop is a gateway as a cell sees it. It says nothing of the tunnel.
type NextHop struct {
	Address netip.Addr `json:"address"`
	// Reached says that the last answer, if only a refusal, came back.
	Reached bool      `json:"reached"`
	Missed  int       `json:"missed"`
	Reason  string    `json:"reason,omitempty"`
	AskedAt time.Time `json:"asked_at,omitzero"`
	Seconds float64   `json:"seconds,omitempty"`
}
