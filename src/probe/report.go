package probe

import (
	"slices"
	"time"

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
	}
	if o.config.Role == RoleGateway {
		s.Gateway = o.config.Source.String()
		s.Charon = &Charon{Answers: o.looked && o.charonError == "", Reason: o.charonError}
	}
	for _, t := range o.tunnels {
		s.Tunnels = append(s.Tunnels, t.report(o.sas, o.listedAt))
	}
	for _, p := range o.pairs {
		s.Pairs = append(s.Pairs, p.report())
	}
	for _, t := range o.targets {
		s.Targets = append(s.Targets, t.report())
	}
	return s
}

func (t *tunnelSeen) report(sas []vici.SA, listedAt time.Time) Tunnel {
	out := Tunnel{Endpoint: t.endpoint, Ups: t.ups, Downs: t.downs, IKERekeys: t.ikeRekeys, ChildRekeys: t.childRekeys}
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
	return out
}

func (p *pairSeen) report() Pair {
	out := Pair{Segment: p.pair.Segment, PrivateNetwork: p.pair.PrivateNetwork, Condition: notYet, Traffic: p.traffic, LastIn: p.lastIn}
	if n := len(p.coverage.Children); n > 0 {
		out.Algorithms = p.coverage.Children[n-1].Algorithms.String()
	}
	return out
}

func (t *targetSeen) report() Target {
	out := Target{
		Name: t.name, Segment: t.pair.Segment, PrivateNetwork: t.pair.PrivateNetwork,
		Reached: t.last.Reached, Served: t.last.Served, Missed: t.missed, Reason: t.last.Detail,
		AskedAt: t.last.At, Questions: t.questions, Losses: t.losses,
	}
	if t.last.Reached {
		out.Seconds = t.last.Took.Seconds()
	}
	return out
}
