// Package health says, from what was observed, what state a connection is in and why. It is pure: it
// asks nobody, and time is given to it. What it does not know it calls unknown, and it never says up
// before traffic could pass.
package health

import (
	"fmt"
	"strings"
	"time"
)

// State is the state of a pair or of a connection.
type State string

const (
	// Up: traffic can pass, and passes as far as anything was sent.
	Up State = "up"
	// Idle: traffic could pass, but for IdleAfter none was seen.
	Idle State = "idle"
	// Partial: some of it can pass.
	Partial State = "partial"
	// Down: nothing can pass, or must pass.
	Down State = "down"
	// Unknown: nothing that was observed tells.
	Unknown State = "unknown"
)

// States are all states, the best first.
var States = []State{Up, Idle, Partial, Down, Unknown}

const (
	// IdleAfter is how long a pair without probes carries no packet before it is called idle.
	IdleAfter = 5 * time.Minute
	// quiet is how long after the last packet from the private network its silence means something.
	quiet = 30 * time.Second
	// resolution is how much later than it was a packet may seem: charon tells whole seconds, of a clock of
	// whole seconds.
	resolution = 2 * time.Second
	// oneWay is how many packets must go out without one coming in before that is odd. A connection that is
	// opened to a host that is not there sends seven.
	oneWay = 20
)

// Works says whether traffic can pass.
func (s State) Works() bool { return s == Up || s == Idle }

// Verdict is a state and, unless it is up, the reason for it in plain words.
type Verdict struct {
	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// Switch is something that is on, off or not known.
type Switch string

const (
	On      Switch = "on"
	Off     Switch = "off"
	Unclear Switch = "unknown"
)

// Enforcement is whether the rules that keep traffic in the tunnel are in place.
type Enforcement struct {
	State  Switch `json:"state"`
	Reason string `json:"reason,omitempty"`
}

// Extent is how much of a pair the CHILD_SAs cover.
type Extent int

const (
	Nothing Extent = iota
	Part
	Whole
)

// Tunnel is what charon says about one pair.
type Tunnel struct {
	// Error says why charon could not be asked; then the rest means nothing.
	Error  string
	Extent Extent
	// Detail says what is covered of a part, or why nothing is.
	Detail string
	// Covered is when the whole was first covered without a break.
	Covered time.Time
	// LastIn and LastOut are when the last packet passed; zero if none did.
	LastIn, LastOut time.Time
	// Listed is when charon was last asked.
	Listed time.Time
	// Unanswered is how many packets went out since the last one came in, and UnansweredSince when they
	// began to.
	Unanswered      uint64
	UnansweredSince time.Time
}

// Answer is what asking a target came to.
type Answer int

const (
	// NotAsked: no question was sent yet, or none could be.
	NotAsked Answer = iota
	// Waiting: too few questions were sent to tell.
	Waiting
	// Reached: the last answers came back through the path.
	Reached
	// Lost: none came back for several questions.
	Lost
)

// Target is what is known of one probe target.
type Target struct {
	Name   string
	Answer Answer
	// Missing is when the first of the last questions without an answer was asked; zero if there is none.
	Missing time.Time
	// Detail says what went wrong.
	Detail string
}

// Evidence is all that is known about one pair.
type Evidence struct {
	Enforcement Enforcement
	// Tunnel is nil where charon is not on this VM.
	Tunnel *Tunnel
	// Targets are those in the pair's private network that are asked from the pair's segment.
	Targets []Target
}

// Judge gives the state of one pair.
func Judge(e Evidence, now time.Time) Verdict {
	switch e.Enforcement.State {
	case On:
	case Off:
		return Verdict{Down, "the rules that keep traffic in the tunnel are off: " + e.Enforcement.Reason}
	default:
		return Verdict{Unknown, "whether the rules that keep traffic in the tunnel are on is not known: " + e.Enforcement.Reason}
	}
	if e.Tunnel == nil {
		return judgeTargets(e.Targets)
	}
	switch t := e.Tunnel; {
	case t.Error != "":
		return Verdict{Unknown, "charon does not answer: " + t.Error}
	case t.Extent == Nothing:
		return Verdict{Down, t.Detail}
	case t.Extent == Part:
		return Verdict{Partial, t.Detail}
	}
	return judgeTraffic(*e.Tunnel, e.Targets, now)
}

// judgeTraffic judges a pair that the tunnel covers.
func judgeTraffic(t Tunnel, targets []Target, now time.Time) Verdict {
	reached, lost := count(targets)
	switch {
	case lost == 0 && reached == 0 && t.nothingBack(now):
		return Verdict{Partial, fmt.Sprintf("packets go out since %s, and none has come back; traffic that wants no answer looks the same, a probe target would tell",
			t.UnansweredSince.UTC().Format(time.RFC3339))}
	case lost == 0 && reached == 0 && now.Sub(latest(t.Covered, t.LastIn, t.LastOut)) >= IdleAfter:
		return Verdict{Idle, fmt.Sprintf("no packet has passed for more than %d minutes", int(IdleAfter.Minutes()))}
	case lost == 0:
		return Verdict{State: Up}
	case reached == 0 && t.silentSince(missing(targets), now):
		return Verdict{Down, "the tunnel is up, but nothing comes back through it: " + describe(targets, Lost)}
	default:
		return Verdict{Partial, "the tunnel carries traffic, but not all: " + describe(targets, Lost)}
	}
}

// nothingBack says whether enough packets went out for long enough without one coming back, and still do.
func (t Tunnel) nothingBack(now time.Time) bool {
	return t.Unanswered >= oneWay && now.Sub(t.UnansweredSince) >= quiet && now.Sub(t.LastOut) < quiet
}

// silentSince says whether nothing has come in since a time, as far as charon can tell, or for long.
func (t Tunnel) silentSince(since, now time.Time) bool {
	sinceThen := t.LastIn.Before(since.Add(resolution)) && t.Listed.Sub(since) >= resolution
	return sinceThen || now.Sub(t.LastIn) >= quiet
}

// missing is when the first of the targets was lost.
func missing(targets []Target) time.Time {
	var out time.Time
	for _, t := range targets {
		if t.Answer == Lost && (out.IsZero() || t.Missing.Before(out)) {
			out = t.Missing
		}
	}
	return out
}

// judgeTargets judges a pair by probes alone.
func judgeTargets(targets []Target) Verdict {
	reached, lost := count(targets)
	switch {
	case len(targets) == 0:
		return Verdict{Unknown, "no probe target declared"}
	case reached == len(targets):
		return Verdict{State: Up}
	case lost == len(targets):
		return Verdict{Down, "no target answers: " + describe(targets, Lost)}
	case lost > 0:
		return Verdict{Partial, "not every target answers: " + describe(targets, Lost)}
	case reached > 0:
		return Verdict{State: Up}
	}
	if reason := describe(targets, NotAsked); reason != "" {
		return Verdict{Unknown, "a target was not asked: " + reason}
	}
	return Verdict{Unknown, "no target has answered yet: " + describe(targets, Waiting)}
}

func count(targets []Target) (reached, lost int) {
	for _, t := range targets {
		switch t.Answer {
		case Reached:
			reached++
		case Lost:
			lost++
		}
	}
	return reached, lost
}

func describe(targets []Target, answer Answer) string {
	var out []string
	for _, t := range targets {
		switch {
		case t.Answer != answer:
		case t.Detail == "":
			out = append(out, t.Name)
		default:
			out = append(out, t.Name+" ("+t.Detail+")")
		}
	}
	return strings.Join(out, ", ")
}

func latest(times ...time.Time) time.Time {
	var out time.Time
	for _, t := range times {
		if t.After(out) {
			out = t
		}
	}
	return out
}

// Named is the verdict on a pair, with the pair's name.
type Named struct {
	Name string
	Verdict
}

// Combine gives the state of the whole connection: up only if every pair is.
func Combine(pairs []Named) Verdict {
	of := map[State][]Named{}
	for _, p := range pairs {
		of[p.State] = append(of[p.State], p)
	}
	working := len(of[Up]) + len(of[Idle])
	switch {
	case len(pairs) == 0:
		return Verdict{Unknown, "no pair is observed from here"}
	case len(of[Up]) == len(pairs):
		return Verdict{State: Up}
	case working == len(pairs):
		return Verdict{Idle, reasons(of[Idle])}
	case len(of[Down])+len(of[Partial]) == 0:
		return Verdict{Unknown, reasons(of[Unknown])}
	case working+len(of[Partial]) > 0:
		return Verdict{Partial, reasons(append(append(of[Partial], of[Down]...), of[Unknown]...))}
	default:
		return Verdict{Down, reasons(append(of[Down], of[Unknown]...))}
	}
}

// reasons names the pairs of each reason, in the order given.
func reasons(pairs []Named) string {
	var order []string
	names := map[string][]string{}
	for _, p := range pairs {
		if names[p.Reason] == nil {
			order = append(order, p.Reason)
		}
		names[p.Reason] = append(names[p.Reason], p.Name)
	}
	var out []string
	for _, reason := range order {
		out = append(out, strings.Join(names[reason], ", ")+": "+reason)
	}
	return strings.Join(out, "; ")
}
