package probe

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"privnet/connection"
	"privnet/ipsec/vici"
	"privnet/probe/check"
)

const (
	// look is how often the enforcer's status is read and everything is judged again; what charon and
	// the targets say is judged at once.
	look = time.Second
	// save is how often the counts are saved; a change of state is saved at once.
	save = time.Minute
)

// Senses are what a prober learns from, and the clock.
type Senses struct {
	// Charon tells of security associations until its context ends; nil where there is no charon.
	Charon func(ctx context.Context, deliver func(vici.Update))
	// Ask asks a target once, from the source address.
	Ask func(ctx context.Context, target connection.Target, source netip.Addr) check.Result
	// Enforcement says whether the rules are in place.
	Enforcement func(now time.Time) Enforcement
	Now         func() time.Time
}

// Prober watches one connection.
type Prober struct {
	config  Config
	senses  Senses
	memory  Memory
	log     *slog.Logger
	metrics *Metrics
	status  atomic.Pointer[Status]
}

// New is a prober that has looked at nothing yet.
func New(config Config, senses Senses, memory Memory, log *slog.Logger) *Prober {
	p := &Prober{config: config, senses: senses, memory: memory, log: log}
	first := newObservation(config, State{}).status()
	p.status.Store(&first)
	p.metrics = newMetrics(p.Status)
	return p
}

// Status is what the prober knows. It may be asked at any time.
func (p *Prober) Status() Status { return *p.status.Load() }

// Metrics are the prober's metrics.
func (p *Prober) Metrics() *Metrics { return p.metrics }

// Run watches until the context ends.
func (p *Prober) Run(ctx context.Context) {
	state, err := p.memory.Load()
	if err != nil {
		p.log.Warn("starting without what was known before", "reason", err.Error())
	}
	o := newObservation(p.config, state)
	facts := make(chan func())
	tell := func(fact func()) {
		select {
		case facts <- fact:
		case <-ctx.Done():
		}
	}
	var senses sync.WaitGroup
	defer senses.Wait()
	if p.config.Role == RoleGateway {
		senses.Go(func() {
			p.senses.Charon(ctx, func(u vici.Update) { tell(func() { p.hear(o, u) }) })
		})
	}
	for i, t := range o.targets {
		senses.Go(func() { p.ask(ctx, t, check.Splay(p.config.Interval, i, len(o.targets)), tell) })
	}
	p.loop(ctx, o, facts)
}

func (p *Prober) hear(o *observation, u vici.Update) {
	for _, e := range u.Events {
		p.log.Info("charon reports", "event", e.Kind, "up", e.Up, "endpoint", e.SA.RemoteHost, "sa", e.SA.Name, "state", e.SA.State)
	}
	o.sawCharon(u, p.senses.Now())
}

func (p *Prober) ask(ctx context.Context, t *targetSeen, delay time.Duration, tell func(func())) {
	ask := func(ctx context.Context) check.Result { return p.senses.Ask(ctx, t.target, p.config.Source) }
	check.Repeat(ctx, p.config.Interval, delay, ask, func(r check.Result) {
		tell(func() {
			t.sawAnswer(r)
			if r.Reached {
				p.metrics.answered(t.labels(), r.Took)
			}
		})
	})
}

// loop owns the observation: it takes in one fact after the other, and judges after each.
func (p *Prober) loop(ctx context.Context, o *observation, facts <-chan func()) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	o.enforcement = p.senses.Enforcement(p.senses.Now())
	var saved time.Time
	for {
		now := p.senses.Now()
		status, changes := o.conclude(now)
		p.status.Store(&status)
		for _, c := range changes {
			p.log.Info("state changed", "org", p.config.Connection.Org, "what", c.name, "state", c.State, "reason", c.Reason)
		}
		if o.looked && (len(changes) > 0 || now.Sub(saved) >= save) {
			p.save(o)
			saved = now
		}
		select {
		case <-ctx.Done():
			if o.looked {
				p.save(o)
			}
			return
		case fact := <-facts:
			fact()
		case <-ticker.C:
			o.enforcement = p.senses.Enforcement(p.senses.Now())
		}
	}
}

func (p *Prober) save(o *observation) {
	if err := p.memory.Save(o.state()); err != nil {
		p.log.Warn("what is known will not outlive a restart", "reason", err.Error())
	}
}
