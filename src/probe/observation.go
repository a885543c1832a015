package probe

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"privnet/connection"
	"privnet/ipsec/vici"
	"privnet/probe/check"
	"privnet/probe/coverage"
	"privnet/probe/health"
	"privnet/probe/roundtrip"
)

// LostAfter is how many questions in a row must stay without an answer before a target counts as lost: a
// single lost packet is no fault.
const LostAfter = 3

// gatewayPort is where a cell asks its gateway whether it is there. That nobody listens is an answer, too.
const gatewayPort = 9427

// doubt is how long CHILD_SAs may be missing in charon's lists before they are, if no event says that they ended.
const doubt = 500 * time.Millisecond

// whole is the name of the connection itself in the history, which no pair can have.
const whole = "connection"

// observation is what was seen so far, and what follows from it. One goroutine owns it.
type observation struct {
	config      Config
	enforcement Enforcement
	// looked is false until charon was first asked; from then on charonError says how it went.
	looked      bool
	charonError string
	sas         []vici.SA
	listedAt    time.Time
	// shape is that of the last list, but for what was counted.
	shape string
	// doubtedAt is since when the lists lack CHILD_SAs that nobody has ended; zero if they lack none.
	doubtedAt time.Time
	tunnels   []*tunnelSeen
	pairs     []*pairSeen
	targets   []*targetSeen
	// gateways are asked on a cell: they are the next hop of all that its apps send to the private networks.
	gateways []*targetSeen
	// seen is what was counted of each CHILD_SA, by its inbound SPI, which outlives charon's numbers.
	seen    map[string]Traffic
	history health.History
	// configuration is what the gateway job says, nil on a cell; failures are charon's.
	configuration *Configuration
	failures      *failures
}

type tunnelSeen struct {
	endpoint netip.Addr
	counts   TunnelCounts
}

type pairSeen struct {
	pair            connection.Pair
	name            string
	coverage        coverage.Coverage
	covered         time.Time
	lastIn, lastOut time.Time
	traffic         Traffic
	// unanswered is how many packets went out since one came in, from unansweredSince on.
	unanswered      uint64
	unansweredSince time.Time
	// mtu is what this VM's kernel knows of the path; 0 if it would send nothing.
	mtu int
	// targets are those that are asked through the pair.
	targets []*targetSeen
}

type targetSeen struct {
	target            connection.Target
	name              string
	pair              connection.Pair
	answer            health.Answer
	last              check.Result
	missed            int
	missing           time.Time
	questions, losses uint64
	// mtu is what was measured; 0 if nothing was.
	mtu int
	day roundtrip.Day
}

func newObservation(c Config, state State) *observation {
	o := &observation{
		config:      c,
		looked:      c.Role == RoleCell,
		enforcement: Enforcement{Enforcement: health.Enforcement{State: health.Unclear}},
		seen:        maps.Clone(state.Seen),
		failures:    newFailures(c, state),
	}
	if c.Role == RoleGateway {
		o.configuration = &Configuration{Reason: notYet.Reason}
	}
	if o.seen == nil {
		o.seen = map[string]Traffic{}
	}
	// What is declared twice is watched once: names are labels, and must differ.
	for _, e := range c.Connection.Endpoints {
		known := slices.ContainsFunc(o.tunnels, func(t *tunnelSeen) bool { return t.endpoint == e.Address })
		if c.Role == RoleGateway && !known {
			o.tunnels = append(o.tunnels, &tunnelSeen{e.Address, state.Tunnels[e.Address]})
		}
	}
	for _, g := range c.Connection.Gateways {
		if c.Role == RoleCell {
			o.gateways = append(o.gateways, &targetSeen{target: connection.Target{Address: g.Address, Check: connection.CheckTCP, Port: gatewayPort}})
		}
	}
	for _, p := range c.Pairs() {
		name := PairName(p.Segment, p.PrivateNetwork)
		seen := &pairSeen{pair: p, name: name, traffic: state.Traffic[name], lastIn: state.LastIn[name]}
		o.pairs = append(o.pairs, seen)
		for _, t := range c.Connection.Probes {
			known := slices.ContainsFunc(o.targets, func(other *targetSeen) bool { return other.target == t })
			if c.probed(p, t) && !known {
				before := state.Targets[check.Name(t)]
				target := &targetSeen{target: t, name: check.Name(t), pair: p, questions: before.Questions, losses: before.Losses, day: before.Day}
				o.targets, seen.targets = append(o.targets, target), append(seen.targets, target)
			}
		}
	}
	// What is declared no more is forgotten.
	maps.DeleteFunc(state.History, func(name string, _ health.Record) bool {
		return name != whole && !slices.ContainsFunc(o.pairs, func(p *pairSeen) bool { return p.name == name })
	})
	o.history = health.Restore(state.History)
	return o
}

// change is a state that is not what it was, or a thing that has begun or ceased to flap.
type change struct {
	name          string
	before, after health.Condition
}

// conclude judges everything that was seen, and says what has changed.
func (o *observation) conclude(now time.Time) (Status, []change) {
	status := o.status()
	if !o.looked {
		return status, nil
	}
	status.ObservedAt = now
	var changes []change
	var verdicts []health.Named
	observe := func(name string, v health.Verdict) health.Condition {
		before, after := o.history.Observe(name, v, now)
		if before.State != after.State || before.Flapping != after.Flapping {
			changes = append(changes, change{name, before, after})
		}
		return after
	}
	for i, p := range o.pairs {
		verdict := health.Judge(o.evidence(p), now)
		verdicts = append(verdicts, health.Named{Name: p.name, Verdict: verdict})
		status.Pairs[i].Condition = observe(p.name, verdict)
	}
	status.Condition = observe(whole, health.Combine(verdicts))
	return status, changes
}

func (o *observation) evidence(p *pairSeen) health.Evidence {
	e := health.Evidence{Enforcement: o.enforcement.Enforcement}
	if o.config.Role == RoleGateway {
		e.Tunnel = &health.Tunnel{
			Error: o.charonError, Extent: p.coverage.Extent, Detail: p.coverage.Detail,
			Covered: p.covered, LastIn: p.lastIn, LastOut: p.lastOut, Listed: o.listedAt,
			Unanswered: p.unanswered, UnansweredSince: p.unansweredSince,
		}
	}
	for _, t := range p.targets {
		e.Targets = append(e.Targets, health.Target{Name: t.name, Answer: t.answer, Missing: t.missing, Detail: t.last.Detail})
	}
	return e
}

// Overview is a status and what came before it.
type Overview struct {
	Status Status
	// Timelines are by pair (PairName), Days by target.
	Timelines map[string][]health.Span
	Days      map[string]roundtrip.Day
	// At is when this was so.
	At time.Time
}

func (o *observation) overview(s Status, now time.Time) Overview {
	out := Overview{Status: s, Timelines: map[string][]health.Span{}, Days: map[string]roundtrip.Day{}, At: now}
	for _, p := range o.pairs {
		out.Timelines[p.name] = o.history.Spans(p.name)
	}
	for _, t := range o.targets {
		out.Days[t.name] = slices.Clone(t.day)
	}
	return out
}

// state is what a restart must not lose.
func (o *observation) state() State {
	s := State{
		History: o.history.Records(), Seen: maps.Clone(o.seen),
		Traffic: map[string]Traffic{}, LastIn: map[string]time.Time{},
		Tunnels: map[netip.Addr]TunnelCounts{}, Targets: map[string]TargetState{},
		Failures: o.failures.counts, LastFailure: o.failures.last,
	}
	for _, p := range o.pairs {
		s.Traffic[p.name], s.LastIn[p.name] = p.traffic, p.lastIn
	}
	for _, t := range o.tunnels {
		s.Tunnels[t.endpoint] = t.counts
	}
	for _, t := range o.targets {
		s.Targets[t.name] = TargetState{t.questions, t.losses, t.day}
	}
	return s
}
