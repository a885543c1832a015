// Package isolation puts an org of Cloud Foundry into the isolation segment of its connection, and takes it
// out again: segment, entitlement, org default, security group, and the apps that must restart to move.
//
// A run looks at what is there, works out the next steps from that alone, takes them, and looks again
// until nothing is left to do. So it may be repeated, and stopped anywhere. What it finds in the hands of
// others (another org's entitlement, a space that somebody put elsewhere) it never changes: it names it and
// does nothing at all.
//
// Two rules keep an app's packets for the private network off the shared cells, where they would take the
// platform's way out instead of the tunnel. On the way in, a space gets the security group for running apps
// once none of its apps runs outside of the segment. On the way out, the security group goes first.
//
// Tasks are left alone: the API does not say where one runs. A running task stays where it was started.
package isolation

import (
	"context"
	"fmt"
	"io"
	"time"

	"privnet/cfapi"
	"privnet/connection"
)

// Config is what one run shall do.
type Config struct {
	Connection connection.Connection
	// Org is the org's name in Cloud Foundry.
	Org string
	// DryRun only says what would be done; nothing but questions is sent.
	DryRun bool
	// Remove takes the org out of the segment and deletes segment and security group.
	Remove bool
	// RestartApps restarts the running apps that must move; else a run with such apps fails.
	RestartApps bool
	// RestartTimeout is how long one app may take to restart.
	RestartTimeout time.Duration
}

// Name is the name of isolation segment and security group.
func (c Config) Name() string { return "private-network-" + c.Connection.Org }

// maxRounds is how often a run looks and acts before it gives up on an org that keeps changing.
const maxRounds = 10

// Run does what the config says and reports each step as a line. The error is what a person has to see to.
func Run(ctx context.Context, client *cfapi.Client, clock cfapi.Clock, config Config, out io.Writer) error {
	r := &run{client: client, clock: clock, config: config, out: out, restarted: map[string]bool{}}
	r.say("org %q, isolation segment %s", config.Org, config.Name())
	for range maxRounds {
		s, err := r.observe(ctx)
		if err != nil {
			return err
		}
		p, err := r.plan(s)
		if err != nil {
			return err
		}
		switch {
		case config.DryRun:
			r.preview(p)
			return nil
		case len(p.now) > 0:
			err = r.take(ctx, p.now)
		case len(p.moves) > 0 && config.RestartApps:
			err = r.restartAll(ctx, p.moves)
		case len(p.moves) > 0:
			return r.unmoved(p.moves)
		default:
			r.conclude(s)
			return nil
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("the org %q changed on each of %d looks; run the errand again", config.Org, maxRounds)
}

type run struct {
	client *cfapi.Client
	clock  cfapi.Clock
	config Config
	out    io.Writer
	// restarted are the apps, by GUID, that this run restarted.
	restarted map[string]bool
}

// step is one change.
type step struct {
	text string
	take func(context.Context) error
}

// plan is what follows from one look.
type plan struct {
	now []step
	// next says what the next look will allow.
	next []string
	// moves are the running apps that are on the wrong cells.
	moves []move
	// last says what a look will allow after the apps have moved.
	last []string
}

// move is a running app and where it runs.
type move struct {
	app  app
	from string
}

func (r *run) plan(s state) (plan, error) {
	if r.config.Remove {
		return r.planRemoval(s)
	}
	return r.planSetup(s)
}

func (r *run) take(ctx context.Context, steps []step) error {
	for _, step := range steps {
		r.say("%s", step.text)
		if err := step.take(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.text, err)
		}
	}
	return nil
}

func (r *run) preview(p plan) {
	if len(p.now)+len(p.next)+len(p.moves)+len(p.last) == 0 {
		r.say("dry run: nothing to do")
		return
	}
	for _, step := range p.now {
		r.say("dry run: would %s", step.text)
	}
	for _, text := range p.next {
		r.say("dry run: would %s", text)
	}
	for _, m := range p.moves {
		if r.config.RestartApps {
			r.say("dry run: would restart %s, which runs on %s", m.app, m.from)
		} else {
			r.say("dry run: %s must restart: it runs on %s", m.app, m.from)
		}
	}
	for _, text := range p.last {
		r.say("dry run: after that, would %s", text)
	}
}

// unmoved names the apps that must restart, which nobody allowed.
func (r *run) unmoved(moves []move) error {
	for _, m := range moves {
		r.say("%s must restart: it runs on %s", m.app, m.from)
	}
	return fmt.Errorf("%s of the org %q must restart to move; "+
		"restart them (cf restart --strategy rolling APP), or set restart_apps, and run the errand again",
		count(len(moves), "app"), r.config.Org)
}

func (r *run) conclude(s state) {
	if r.config.Remove {
		r.say("done: isolation segment and security group are gone, no app runs in the segment")
		return
	}
	r.say("done: the security group is bound to %s, every app runs in the segment", count(len(s.spaces), "space"))
}

func (r *run) say(format string, args ...any) {
	fmt.Fprintf(r.out, format+"\n", args...)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
