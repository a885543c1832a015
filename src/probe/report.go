package probe

import (
	"slices"
	"strconv"
	"time"

	"privnet/connection"
	"privnet/ipsec"
	"privnet/ipsec/gateway"
	"privnet/ipsec/vici"
	"privnet/probe/health"
)

// notYet is the verdict before the first look.
var notYet = health.Condition{Verdict: health.Verdict{State: health.Unknown, Reason: "the prober has just started"}}

// status is what was seen, with every pair, tunnel and target, and no verdicts yet.
func (o *observation) status() Status {
	s := Status{
		Version:     StatusVersion,
		Org:         o.config.Connection.Org,
		Role:        o.config.Role,
		Condition:   notYet,
		Enforcement: o.enforcement,
		Tunnels:     []Tunnel{},
		Pairs:       []Pair{},
		Targets:     []Target{},
		Failures:    o.failures.standing,
		LastFailure: o.failures.last,

		Configuration: o.configuration,
		failureCounts: o.failures.counts,
	}
	if o.config.Role == RoleGateway {
		s.Gateway = o.config.Source.String()
		s.Charon = &Charon{Answers: o.looked && o.charonError == "", Reason: o.charonError}
	}
	for _, t := range o.tunnels {
		s.Tunnels = append(s.Tunnels, t.report(o.sas, o.listedAt, o.configuration))
	}
	for _, p := range o.pairs {
		s.Pairs = append(s.Pairs, p.report())
	}
	for _, t := range o.targets {
		s.Targets = append(s.Targets, t.report())
	}
	for _, g := range o.gateways {
		s.Gateways = append(s.Gateways, g.reportHop())
	}
	return s
}

func (t *tunnelSeen) report(sas []vici.SA, listedAt time.Time, configured *Configuration) Tunnel {
	out := Tunnel{Endpoint: t.endpoint, TunnelCounts: t.counts, Differences: []Difference{}}
	mine := func(sa vici.SA) bool { return sa.RemoteHost == t.endpoint }
	i := slices.IndexFunc(sas, func(sa vici.SA) bool { return mine(sa) && sa.IsEstablished() })
	if i < 0 {
		i = slices.IndexFunc(sas, mine)
	}
	if i < 0 {
		return out
	}
	sa := sas[i]
	if out.Established = sa.IsEstablished(); out.Established {
		out.EstablishedAt = listedAt.Add(-sa.Established)
	}
	out.State, out.IKEVersion = sa.State, sa.Version
	out.RemoteID, out.RemotePort = sa.RemoteID, sa.RemotePort
	out.RemoteNAT, out.LocalNAT = sa.RemoteNAT, sa.LocalNAT
	out.Algorithms = sa.Algorithms.String()
	// A gateway of an earlier release does not say what it offers.
	if out.Established && configured.Known && configured.offer.IKE != "" {
		out.Differences = differences(sa, configured.offer)
	}
	return out
}

// differences compares what was negotiated with what is offered now. A CHILD_SA that was made together with
// an IKE_SA of version 2 has no key exchange of its own.
func differences(sa vici.SA, offer gateway.OfferStatus) []Difference {
	out := []Difference{}
	if offer.IKE != connection.IKEAuto && string(offer.IKE) != strconv.Itoa(sa.Version) {
		out = append(out, Difference{"ike_version", strconv.Itoa(sa.Version)})
	}
	if !ipsec.Negotiated(sa.Algorithms).In(offer.Phase1) {
		out = append(out, Difference{"ike_algorithms", sa.Algorithms.String()})
	}
	for _, child := range sa.Children {
		if child.Carries() && !ipsec.Negotiated(child.Algorithms).In(offer.Phase2) {
			return append(out, Difference{"esp_algorithms", child.Algorithms.String()})
		}
	}
	return out
}

func (p *pairSeen) report() Pair {
	out := Pair{Segment: p.pair.Segment, PrivateNetwork: p.pair.PrivateNetwork, Condition: notYet, Traffic: p.traffic, LastIn: p.lastIn, PathMTU: p.mtu}
	if n := len(p.coverage.Children); n > 0 {
		out.Algorithms = p.coverage.Children[n-1].Algorithms.String()
	}
	return out
}

func (t *targetSeen) report() Target {
	out := Target{
		Name: t.name, Segment: t.pair.Segment, PrivateNetwork: t.pair.PrivateNetwork,
		Reached: t.last.Reached, Served: t.last.Served, Missed: t.missed, Reason: t.last.Detail,
		AskedAt: t.last.At, Questions: t.questions, Losses: t.losses, PathMTU: t.mtu,
	}
	if t.last.Reached {
		out.Seconds = t.last.Took.Seconds()
	}
	return out
}

// reportHop is the report on a gateway, of which only silence is a fault.
func (t *targetSeen) reportHop() NextHop {
	out := NextHop{Address: t.target.Address, Reached: t.last.Reached, Missed: t.missed, AskedAt: t.last.At}
	if t.last.Reached {
		out.Seconds = t.last.Took.Seconds()
	} else {
		out.Reason = t.last.Detail
	}
	return out
}
