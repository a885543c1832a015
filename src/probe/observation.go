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
)

// lostAfter is how many questions in a row must stay without an answer before a target counts as lost: a
// single lost packet is no fault.
const lostAfter = 3

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
	tunnels     []*tunnelSeen
	pairs       []*pairSeen
	targets     []*targetSeen
	// seen is what was counted of each CHILD_SA, by its inbound SPI, which outlives charon's numbers.
	seen    map[string]Traffic
	history health.History
}

type tunnelSeen struct {
	endpoint                           netip.Addr
	ups, downs, ikeRekeys, childRekeys uint64
}

type pairSeen struct {
	pair            connection.Pair
	name            string
	coverage        coverage.Coverage
	covered         time.Time
	lastIn, lastOut time.Time
	traffic         Traffic
}

type targetSeen struct {
	target            connection.Target
	name              string
	pair              connection.Pair
	answer            health.Answer
	last              check.Result
	missed            int
	questions, losses uint64
}

func newObservation(c Config, state State) *observation {
	o := &observation{
		config:      c,
		looked:      c.Role == RoleCell,
		enforcement: Enforcement{Enforcement: health.Enforcement{State: health.Unclear}},
		seen:        maps.Clone(state.Seen),
		history:     health.Restore(state.Conditions),
	}
	if o.seen == nil {
		o.seen = map[string]Traffic{}
	}
	// What is declared twice is watched once: names are labels, and must differ.
	for _, e := range c.Connection.Endpoints {
		known := slices.ContainsFunc(o.tunnels, func(t *tunnelSeen) bool { return t.endpoint == e.Address })
		if c.Role == RoleGateway && !known {
			o.tunnels = append(o.tunnels, &tunnelSeen{endpoint: e.Address})
		}
	}
	for _, p := range c.Pairs() {
		name := PairName(p)
		o.pairs = append(o.pairs, &pairSeen{pair: p, name: name, traffic: state.Traffic[name]})
		for _, t := range c.Connection.Probes {
			known := slices.ContainsFunc(o.targets, func(other *targetSeen) bool { return other.target == t })
			if c.probed(p, t) && !known {
				o.targets = append(o.targets, &targetSeen{target: t, name: check.Name(t), pair: p})
			}
		}
	}
	return o
}

// sawCharon takes in what charon said.
func (o *observation) sawCharon(u vici.Update, now time.Time) {
	o.looked = true
	o.charonError = ""
	if u.Err != nil {
		o.charonError = u.Err.Error()
	}
	for _, e := range u.Events {
		o.sawEvent(e)
		o.countKnown(e.SA, now)
	}
	o.sas, o.listedAt = u.SAs, now
	for _, p := range o.pairs {
		p.coverage = coverage.Of(p.pair, o.config.Connection.Endpoints, u.SAs)
		switch {
		case p.coverage.Extent != health.Whole:
			p.covered = time.Time{}
		case p.covered.IsZero():
			p.covered = now
			o.forgetLosses(p.pair)
		}
	}
	if u.Err == nil {
		o.countAll(u.SAs, now)
	}
}

// forgetLosses begins anew with a pair's targets: that they were lost without a tunnel says nothing of the
// one that has just come up.
func (o *observation) forgetLosses(p connection.Pair) {
	for _, t := range o.targets {
		if t.pair == p && t.answer != health.NotAsked {
			t.answer, t.missed = health.Waiting, 0
		}
	}
}

func (o *observation) sawEvent(e vici.Event) {
	for _, t := range o.tunnels {
		if t.endpoint != e.SA.RemoteHost {
			continue
		}
		switch {
		case e.Kind == vici.IKEUpDown && e.Up:
			t.ups++
		case e.Kind == vici.IKEUpDown:
			t.downs++
		case e.Kind == vici.IKERekey:
			t.ikeRekeys++
		case e.Kind == vici.ChildRekey:
			t.childRekeys++
		}
	}
}

// countAll counts what is listed, and forgets what is not any more.
func (o *observation) countAll(sas []vici.SA, now time.Time) {
	current := map[string]bool{}
	for _, sa := range sas {
		for _, child := range sa.Children {
			current[child.SPIIn] = true
			o.count(child, now)
		}
	}
	maps.DeleteFunc(o.seen, func(spi string, _ Traffic) bool { return !current[spi] })
}

// countKnown counts the last packets of what an event says is gone. The event may come after a list
// without it: what is forgotten must not be counted again.
func (o *observation) countKnown(sa vici.SA, now time.Time) {
	for _, child := range sa.Children {
		if _, known := o.seen[child.SPIIn]; known {
			o.count(child, now)
		}
	}
}

// count adds to each pair what its CHILD_SA carried since it was last seen.
func (o *observation) count(child vici.Child, now time.Time) {
	total := trafficOf(child)
	gain := total.since(o.seen[child.SPIIn])
	o.seen[child.SPIIn] = total
	for _, p := range o.pairs {
		if coverage.Touches(p.pair, child) {
			p.traffic = p.traffic.plus(gain)
			p.lastIn = later(p.lastIn, child.UsedIn, now)
			p.lastOut = later(p.lastOut, child.UsedOut, now)
		}
	}
}

func later(known time.Time, ago time.Duration, now time.Time) time.Time {
	if used := now.Add(-ago); ago >= 0 && used.After(known) {
		return used
	}
	return known
}

func trafficOf(c vici.Child) Traffic {
	return Traffic{BytesIn: c.BytesIn, BytesOut: c.BytesOut, PacketsIn: c.PacketsIn, PacketsOut: c.PacketsOut}
}

func (t Traffic) plus(u Traffic) Traffic {
	return Traffic{t.BytesIn + u.BytesIn, t.BytesOut + u.BytesOut, t.PacketsIn + u.PacketsIn, t.PacketsOut + u.PacketsOut}
}

// since is what came on top of an earlier count; a counter that is behind it adds nothing.
func (t Traffic) since(u Traffic) Traffic {
	gain := func(a, b uint64) uint64 { return max(a, b) - b }
	return Traffic{gain(t.BytesIn, u.BytesIn), gain(t.BytesOut, u.BytesOut), gain(t.PacketsIn, u.PacketsIn), gain(t.PacketsOut, u.PacketsOut)}
}

// sawAnswer takes in what asking a target came to.
func (t *targetSeen) sawAnswer(r check.Result) {
	t.last = r
	switch {
	case !r.Asked:
		t.answer = health.NotAsked
		return
	case r.Reached:
		t.answer, t.missed = health.Reached, 0
	default:
		t.missed++
		t.losses++
		switch {
		case t.missed >= lostAfter:
			t.answer = health.Lost
		case t.answer == health.NotAsked:
			t.answer = health.Waiting
		}
	}
	t.questions++
}

// change is a state that is not what it was.
type change struct {
	name string
	health.Condition
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
		condition, changed := o.history.Observe(name, v, now)
		if changed {
			changes = append(changes, change{name, condition})
		}
		return condition
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
			Covered: p.covered, LastIn: p.lastIn, LastOut: p.lastOut,
		}
	}
	for _, t := range o.targets {
		if t.pair == p.pair {
			e.Targets = append(e.Targets, health.Target{Name: t.name, Answer: t.answer, Detail: t.last.Detail})
		}
	}
	return e
}

// state is what a restart must not lose.
func (o *observation) state() State {
	s := State{Conditions: o.history.Conditions(), Traffic: map[string]Traffic{}, Seen: maps.Clone(o.seen)}
	for _, p := range o.pairs {
		s.Traffic[p.name] = p.traffic
	}
	return s
}
