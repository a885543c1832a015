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
	// look is how often the status files are read and everything is judged again; what charon and the
	// targets say is judged at once.
	look = time.Second
	// together is how long facts that come together are taken in before they are judged.
	together = 50 * time.Millisecond
	// measureEvery is how often a path is measured, and measureAgain how soon after a failure.
	measureEvery = 5 * time.Minute
	measureAgain = 15 * time.Second
	// askKernel is how often the kernel is asked what it knows of the paths.
	askKernel = 10 * time.Second
	// save is how often the counts are saved; a change of state is saved at once.
	save = time.Minute
)

// Senses are what a prober learns from, and the clock.
type Senses struct {
	// Charon tells of security associations until its context ends; nil where there is no charon.
	Charon func(ctx context.Context, deliver func(vici.Update))
	// Ask asks a target once, from the source address.
	Ask func(ctx context.Context, target connection.Target, source netip.Addr) check.Result
	// Log tells charon's log until its context ends; nil where there is no charon.
	Log func(ctx context.Context, deliver func(vici.LogLine))
	// Configuration says what the gateway job says of itself; nil where there is none.
	Configuration func() Configuration
	// KernelMTU is what this VM would send in one piece; 0 for nothing.
	KernelMTU func(source, destination netip.Addr) int
	// PathMTU measures what passes to a target that answers echo requests.
	PathMTU func(ctx context.Context, source, target netip.Addr) (int, error)
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
	// facts are what changes or reads the observation, which only the loop does.
	facts chan func(*observation)
}

// New is a prober that has looked at nothing yet.
func New(config Config, senses Senses, memory Memory, log *slog.Logger) *Prober {
	p := &Prober{config: config, senses: senses, memory: memory, log: log, facts: make(chan func(*observation), 256)}
	first := newObservation(config, State{}).status()
	p.status.Store(&first)
	p.metrics = newMetrics(p.Status)
	return p
}

// Status is what the prober knows. It may be asked at any time.
func (p *Prober) Status() Status { return *p.status.Load() }

// Overview is what the prober knows, with the day behind it. It fails if the context ends before a prober that
// watches has answered.
func (p *Prober) Overview(ctx context.Context) (Overview, error) {
	answer := make(chan Overview, 1)
	select {
	case p.facts <- func(o *observation) { answer <- o.overview(p.Status(), p.senses.Now()) }:
	case <-ctx.Done():
		return Overview{}, ctx.Err()
	}
	select {
	case overview := <-answer:
		return overview, nil
	case <-ctx.Done():
		return Overview{}, ctx.Err()
	}
}

// Metrics are the prober's metrics.
func (p *Prober) Metrics() *Metrics { return p.metrics }

// Run watches until the context ends.
func (p *Prober) Run(ctx context.Context) {
	state, err := p.memory.Load()
	if err != nil {
		p.log.Warn("starting without what was known before", "reason", err.Error())
	}
	o := newObservation(p.config, state)
	var senses sync.WaitGroup
	defer senses.Wait()
	if p.config.Role == RoleGateway {
		senses.Go(func() {
			p.senses.Charon(ctx, func(u vici.Update) { p.tell(ctx, func(o *observation) { p.hear(o, u) }) })
		})
		senses.Go(func() {
			p.senses.Log(ctx, func(l vici.LogLine) { p.tell(ctx, func(o *observation) { o.failures.read(l, p.senses.Now()) }) })
		})
	}
	for i, t := range o.targets {
		delay := check.Splay(p.config.Interval, i, len(o.targets))
		senses.Go(func() {
			p.ask(ctx, t, delay, func(r check.Result) {
				if r.Reached {
					p.metrics.answered(t.labels(), r.Took)
				}
			})
		})
		if t.target.Check == connection.CheckICMP {
			senses.Go(func() { p.measure(ctx, t, delay) })
		}
	}
	for i, g := range o.gateways {
		senses.Go(func() { p.ask(ctx, g, check.Splay(p.config.Interval, i, len(o.gateways)), func(check.Result) {}) })
	}
	p.loop(ctx, o)
}

func (p *Prober) tell(ctx context.Context, fact func(*observation)) {
	select {
	case p.facts <- fact:
	case <-ctx.Done():
	}
}

func (p *Prober) hear(o *observation, u vici.Update) {
	before := o.charonError
	o.sawCharon(u, p.senses.Now())
	for _, e := range u.Events {
		p.event("charon", "charon reports", "what", e.Kind, "up", e.Up, "tunnel", e.SA.RemoteHost, "sa", e.SA.Name, "state", e.SA.State)
	}
	if before != o.charonError {
		p.event("charon", "charon answers or ceases to", "answers", o.charonError == "", "reason", o.charonError)
	}
}

func (p *Prober) ask(ctx context.Context, t *targetSeen, delay time.Duration, also func(check.Result)) {
	ask := func(ctx context.Context) check.Result { return p.senses.Ask(ctx, t.target, p.config.Source) }
	check.Repeat(ctx, p.config.Interval, delay, ask, func(r check.Result) {
		p.tell(ctx, func(*observation) {
			t.sawAnswer(r)
			also(r)
		})
	})
}

// measure finds out again and again which size of packet passes to a target.
func (p *Prober) measure(ctx context.Context, t *targetSeen, delay time.Duration) {
	for next := delay; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
		}
		mtu, err := p.senses.PathMTU(ctx, p.config.Source, t.target.Address)
		next = measureEvery
		if err != nil {
			mtu, next = 0, measureAgain
		}
		p.tell(ctx, func(*observation) { t.mtu = mtu })
	}
}

// loop owns the observation: it takes in facts, and judges after those that came together.
func (p *Prober) loop(ctx context.Context, o *observation) {
	ticker := time.NewTicker(look)
	defer ticker.Stop()
	var saved, askedKernel time.Time
	glance := func(now time.Time) {
		p.glance(o, now)
		if now.Sub(askedKernel) >= askKernel {
			askedKernel = now
			for _, pair := range o.pairs {
				pair.mtu = p.senses.KernelMTU(p.config.Source, pair.sample())
			}
		}
	}
	glance(p.senses.Now())
	for {
		now := p.senses.Now()
		changed := p.conclude(o, now)
		if o.looked && (changed || now.Sub(saved) >= save) {
			p.save(o)
			saved = now
		}
		select {
		case <-ctx.Done():
			if o.looked {
				p.save(o)
			}
			return
		case fact := <-p.facts:
			fact(o)
			p.gather(o)
		case <-ticker.C:
			glance(p.senses.Now())
		}
	}
}

// gather takes in what comes together with a fact, without waking for each. Whoever talks all the time, as charon's log
// under a flood of packets, must not keep it from judging.
func (p *Prober) gather(o *observation) {
	time.Sleep(together)
	for range cap(p.facts) {
		select {
		case fact := <-p.facts:
			fact(o)
		default:
			return
		}
	}
}

// glance looks at what tells nothing by itself.
func (p *Prober) glance(o *observation, now time.Time) {
	before := o.enforcement.State
	o.enforcement = p.senses.Enforcement(now)
	if before != o.enforcement.State {
		p.event("enforcement", "the egress rules are on, off or not known", "state", o.enforcement.State, "reason", o.enforcement.Reason)
	}
	if p.config.Role == RoleGateway {
		configuration := p.senses.Configuration()
		o.configuration = &configuration
		o.failures.expect(o.configuration)
	}
	for _, f := range o.failures.look(now) {
		p.event("failure", f.Meaning, "tunnel", f.Endpoint, "failure", f.Reason, "parameter", f.Parameter, "side", f.Side, "got", f.Got, "want", f.Want)
	}
}

// conclude judges, publishes what it came to, and says whether anything has changed.
func (p *Prober) conclude(o *observation, now time.Time) bool {
	status, changes := o.conclude(now)
	p.status.Store(&status)
	for _, c := range changes {
		if c.before.State != c.after.State {
			p.event("state", "state changed", "what", c.name, "state", c.after.State, "was", c.before.State, "reason", c.after.Reason)
		}
		if c.before.Flapping != c.after.Flapping {
			p.event("flapping", "the state changes all the time, or has ceased to", "what", c.name, "flapping", c.after.Flapping)
		}
	}
	return len(changes) > 0
}

// event logs something that happened; docs/status.md lists the events and their fields.
func (p *Prober) event(event, message string, fields ...any) {
	p.log.Info(message, append([]any{"event", event, "org", p.config.Connection.Org}, fields...)...)
}

func (p *Prober) save(o *observation) {
	if err := p.memory.Save(o.state()); err != nil {
		p.log.Warn("what is known will not outlive a restart", "reason", err.Error())
	}
}
