package probe

import (
	"net/netip"
	"time"

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
	// Charon is absent on a cell.
	Charon  *Charon  `json:"charon,omitempty"`
	Tunnels []Tunnel `json:"tunnels"`
	Pairs   []Pair   `json:"pairs"`
	Targets []Target `json:"targets"`
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
	// The counts are since the prober's start.
	Ups         uint64 `json:"ups"`
	Downs       uint64 `json:"downs"`
	IKERekeys   uint64 `json:"ike_rekeys"`
	ChildRekeys uint64 `json:"child_rekeys"`
}

// Pair is one selector pair.
type Pair struct {
	Segment        netip.Prefix `json:"segment"`
	PrivateNetwork netip.Prefix `json:"private_network"`
	health.Condition
	// The counts are since the prober's start, over all CHILD_SAs that carried something of the pair; a
	// CHILD_SA for several pairs counts for each.
	Traffic
	LastIn time.Time `json:"last_in,omitzero"`
	// Algorithms are those of the CHILD_SA that carries the pair.
	Algorithms string `json:"algorithms,omitempty"`
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
	Seconds float64 `json:"seconds,omitempty"`
	// The counts are since the prober's start.
	Questions uint64 `json:"questions"`
	Losses    uint64 `json:"losses"`
}
