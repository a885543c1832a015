package page_test

import (
	"net/netip"
	"time"

	"privnet/ipsec"
	"privnet/ipsec/gateway"
	"privnet/probe"
	"privnet/probe/health"
	"privnet/probe/roundtrip"
)

var now = time.Date(2026, 11, 23, 14, 20, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

var (
	segment  = netip.MustParsePrefix("10.20.0.0/26")
	first    = netip.MustParsePrefix("10.150.0.0/16")
	second   = netip.MustParsePrefix("172.30.8.0/22")
	endpoint = netip.MustParseAddr("198.51.100.10")
)

const firstPair = "10.20.0.0/26=10.150.0.0/16"

var wrongKey = probe.Failure{
	At: ago(40 * time.Minute), Endpoint: endpoint, Reason: "psk-v2", IKEVersion: 2, Parameter: "pre-shared key", Side: "customer",
	Meaning:  "the endpoint proves another pre-shared key than the gateway's",
	Advice:   "enter the pre-shared key again, copied and not typed, without blanks or line ends. Network > IKE Gateways > General: Pre-shared Key",
	Evidence: "tried 1 shared key for '203.0.113.10' - '198.51.100.10', but MAC mismatched",
}

func condition(state health.State, reason string, since time.Duration) health.Condition {
	return health.Condition{Verdict: health.Verdict{State: state, Reason: reason}, Since: ago(since), Changes: 4}
}

// spans are from the oldest on: a state, and how long ago it began; the last goes on until now.
func spans(parts ...any) (out []health.Span) {
	for i := 0; i < len(parts); i += 2 {
		s := health.Span{State: parts[i].(health.State), From: ago(parts[i+1].(time.Duration)), To: now}
		if s.State == health.Down {
			s.Reason = "the endpoint 198.51.100.10 has not connected: there is no IKE_SA"
		}
		if n := len(out); n > 0 {
			out[n-1].To = s.From
		}
		out = append(out, s)
	}
	return out
}

// up is a healthy gateway with a day behind it.
func up() probe.Overview {
	day := roundtrip.Day{}
	for m := 20 * 60; m > 0; m-- {
		at := ago(time.Duration(m) * time.Minute)
		took := time.Duration(11+m%7+(m/60)%3*2) * time.Millisecond
		if m%211 == 0 {
			took *= 4
		}
		day.Add(at, took, m > 300 && m < 318)
	}
	return probe.Overview{
		At: now,
		Status: probe.Status{
			Version: 1, Org: "agency-a", Role: probe.RoleGateway, Gateway: "10.20.0.4", Condition: condition(health.Up, "", 5*time.Hour), ObservedAt: now,
			Enforcement: probe.Enforcement{Enforcement: health.Enforcement{State: health.On}, DroppedPackets: 12},
			Charon:      &probe.Charon{Answers: true},
			Configuration: &probe.Configuration{
				Known: true, Healthy: true, PSKs: []gateway.PSKStatus{{Endpoint: endpoint, InUse: ipsec.SlotA, Active: ipsec.SlotA}},
				Keys:     []gateway.KeyStatus{{PSK: ipsec.SlotA, FirstSeen: ago(90 * 24 * time.Hour)}},
				Waivers:  []gateway.WaiverStatus{{Algorithm: "modp1024", Reason: "ASA 5505, replaced in spring; J. Doe", Until: now.AddDate(0, 4, 0)}},
				Expiries: []gateway.ExpiryStatus{{What: "the waiver for modp1024", At: now.AddDate(0, 4, 0)}},
			},
			Tunnels: []probe.Tunnel{{Endpoint: endpoint, Established: true, EstablishedAt: ago(5 * time.Hour), State: "ESTABLISHED", IKEVersion: 2,
				Algorithms: "AES_GCM_16-256/PRF_HMAC_SHA2_384/ECP_384", Differences: []probe.Difference{}}},
			Pairs: []probe.Pair{
				{Segment: segment, PrivateNetwork: first, Condition: condition(health.Up, "", 5*time.Hour), Traffic: probe.Traffic{BytesIn: 48211000, BytesOut: 9120000, PacketsIn: 61000, PacketsOut: 58000},
					LastIn: ago(2 * time.Second), Algorithms: "AES_GCM_16-256/ECP_384", PathMTU: 1422},
				{Segment: segment, PrivateNetwork: second, Condition: condition(health.Idle, "no packet has passed for more than 5 minutes", 3*time.Hour), Traffic: probe.Traffic{BytesIn: 12400, BytesOut: 9900, PacketsIn: 61, PacketsOut: 58},
					LastIn: ago(3 * time.Hour), Algorithms: "AES_GCM_16-256/ECP_384", PathMTU: 1422},
			},
			Targets: []probe.Target{
				{Name: "tcp://10.150.0.10:443", Segment: segment, PrivateNetwork: first, Reached: true, Served: true, AskedAt: ago(time.Second), Seconds: 0.0123, Questions: 72000, Losses: 17},
				{Name: "icmp://10.150.0.11", Segment: segment, PrivateNetwork: first, Reached: true, Served: true, AskedAt: ago(time.Second), Seconds: 0.0093, Questions: 72000, PathMTU: 1422},
			},
			LastFailure: &wrongKey,
		},
		Timelines: map[string][]health.Span{
			firstPair:                    spans(health.Up, 20*time.Hour, health.Down, 318*time.Minute, health.Partial, 302*time.Minute, health.Up, 5*time.Hour),
			"10.20.0.0/26=172.30.8.0/22": spans(health.Up, 20*time.Hour, health.Down, 318*time.Minute, health.Up, 5*time.Hour, health.Idle, 3*time.Hour),
		},
		Days: map[string]roundtrip.Day{"tcp://10.150.0.10:443": day, "icmp://10.150.0.11": day[:100]},
	}
}

// partial has one pair whose tunnel is missing, and a service that refuses.
func partial() probe.Overview {
	o := up()
	s := &o.Status
	reason := "phase 1 with 198.51.100.10 is up, but it has opened no tunnel for this pair (phase 2)"
	s.Condition = condition(health.Partial, "10.20.0.0/26=172.30.8.0/22: "+reason, 50*time.Minute)
	s.Pairs[1].Condition = condition(health.Down, reason, 50*time.Minute)
	s.Pairs[1].Flapping, s.Pairs[1].Algorithms, s.Pairs[1].PathMTU = true, "", 0
	s.Targets[1].Served, s.Targets[1].Reason = false, "connection refused: the path works, the service does not"
	s.Tunnels[0].Differences = []probe.Difference{{Parameter: "ike_version", Negotiated: "1"}}
	o.Timelines["10.20.0.0/26=172.30.8.0/22"] = spans(health.Up, 20*time.Hour, health.Down, 100*time.Minute, health.Up, 90*time.Minute, health.Down, 80*time.Minute,
		health.Up, 70*time.Minute, health.Down, 60*time.Minute, health.Up, 55*time.Minute, health.Down, 50*time.Minute)
	return o
}

// down has an endpoint with the wrong key.
func down() probe.Overview {
	o := up()
	s := &o.Status
	reason := "phase 1 with 198.51.100.10 has begun and is not complete"
	s.Condition = condition(health.Down, "10.20.0.0/26=10.150.0.0/16, 10.20.0.0/26=172.30.8.0/22: "+reason, 41*time.Minute)
	for i := range s.Pairs {
		s.Pairs[i].Condition, s.Pairs[i].Algorithms, s.Pairs[i].PathMTU = condition(health.Down, reason, 41*time.Minute), "", 0
	}
	s.Tunnels[0] = probe.Tunnel{Endpoint: endpoint, State: "CONNECTING", IKEVersion: 2, Differences: []probe.Difference{}}
	for i := range s.Targets {
		s.Targets[i].Reached, s.Targets[i].Served, s.Targets[i].Missed, s.Targets[i].Reason = false, false, 240, "no answer within 4s"
	}
	s.Failures = []probe.Failure{wrongKey}
	for name := range o.Timelines {
		o.Timelines[name] = spans(health.Up, 20*time.Hour, health.Down, 41*time.Minute)
	}
	return o
}

// unknown is a gateway whose prober has just started.
func unknown() probe.Overview {
	o := up()
	o.Status = probe.Status{
		Version: 1, Org: "agency-a", Role: probe.RoleGateway, Gateway: "10.20.0.4", Condition: condition(health.Unknown, "charon does not answer: connecting to charon: connection refused", 30*time.Second), ObservedAt: now,
		Enforcement:   probe.Enforcement{Enforcement: health.Enforcement{State: health.Unclear, Reason: "the egress enforcer last looked at its rules at 2026-11-23T14:01:00Z"}},
		Charon:        &probe.Charon{Reason: "connecting to charon: connection refused"},
		Configuration: &probe.Configuration{Reason: "reading the gateway's status: no such file or directory; it is written when the gateway starts"},
		Tunnels:       []probe.Tunnel{{Endpoint: endpoint}},
		Pairs:         []probe.Pair{{Segment: segment, PrivateNetwork: first, Condition: condition(health.Unknown, "charon does not answer: connection refused", 30*time.Second)}},
		Targets:       []probe.Target{{Name: "tcp://10.150.0.10:443", Segment: segment, PrivateNetwork: first}},
	}
	o.Timelines = map[string][]health.Span{firstPair: spans(health.Unknown, 30*time.Second)}
	o.Days = nil
	return o
}

// cell is a cell that sees its targets.
func cell() probe.Overview {
	o := up()
	s := &o.Status
	s.Role, s.Gateway, s.Charon, s.Configuration, s.Tunnels, s.LastFailure = probe.RoleCell, "", nil, nil, nil, nil
	s.Gateways = []probe.NextHop{{Address: netip.MustParseAddr("10.20.0.4"), Reached: true, AskedAt: now}}
	return o
}
