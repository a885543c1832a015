package page

import (
	"fmt"
	"html/template"
	"net/netip"
	"slices"
	"strings"
	"time"

	"privnet/probe"
	"privnet/probe/health"
)

// view is what the template shows, in words and coordinates.
type view struct {
	Options
	CSS    template.CSS
	Policy string

	Org, Where  string
	At          time.Time
	State       health.State
	Headline    string
	Reason      string
	Since       string
	Flapping    bool
	Way         []station
	Failures    []failure
	More        int
	Overcome    bool
	Pairs       []pair
	Targets     []target
	Gateway     []fact
	Hours       []mark
	States      []health.State
	Differences []string
}

// hop is one that the way may go by. Mark is good, fair, bad, unsure or unseen.
type hop struct {
	Name, Address, Mark, Word string
	Details                   []string
}

type fact struct{ Name, Value string }

type failure struct {
	probe.Failure
	When, Whose string
}

type pair struct {
	Segment, Network string
	health.Condition
	When     string
	Facts    []fact
	Timeline timeline
}

type target struct {
	Name, Mark, Word, Reason string
	Facts                    []fact
	Plot                     plot
}

var headlines = map[health.State]string{
	health.Up:      "Traffic passes",
	health.Idle:    "Traffic can pass; none does at the moment",
	health.Partial: "Some traffic passes, some does not",
	health.Down:    "No traffic passes",
	health.Unknown: "Nobody knows whether traffic passes",
}

// marks are the marks of hops by state.
var marks = map[health.State]string{health.Up: "good", health.Idle: "good", health.Partial: "fair", health.Down: "bad", health.Unknown: "unsure"}

// worst puts marks in order.
var worst = map[string]int{"bad": 1, "fair": 2, "unsure": 3, "unseen": 4, "good": 5}

var whose = map[string]string{
	"customer": "The customer changes something on its device",
	"platform": "The platform's operator changes something",
	"between":  "Something between gateway and endpoint; mostly a firewall before the endpoint",
}

func newView(o probe.Overview) view {
	s := o.Status
	v := view{
		Org: s.Org, Where: "a dedicated cell", At: o.At, State: s.State, Headline: headlines[s.State], Reason: s.Reason,
		Since: since(s.Since, o.At), Flapping: s.Flapping, Hours: hours(o.At), States: health.States,
	}
	if s.Gateway != "" {
		v.Where = "gateway " + s.Gateway
	}
	v.Way = way(s, o.At)
	shown, more := s.ShownFailures()
	v.More = more
	for _, f := range shown {
		v.Failures = append(v.Failures, newFailure(f, o.At))
	}
	if len(v.Failures) == 0 && s.LastFailure != nil {
		v.Failures, v.Overcome = []failure{newFailure(*s.LastFailure, o.At)}, true
	}
	for _, p := range s.Pairs {
		v.Pairs = append(v.Pairs, newPair(p, o))
	}
	for _, t := range s.Targets {
		v.Targets = append(v.Targets, newTarget(t, o))
	}
	// Among a hundred, what does not work must not be looked for.
	slices.SortStableFunc(v.Pairs, func(a, b pair) int { return worst[marks[a.State]] - worst[marks[b.State]] })
	slices.SortStableFunc(v.Targets, func(a, b target) int { return worst[a.Mark] - worst[b.Mark] })
	if s.Configuration != nil {
		v.Gateway = gatewayFacts(*s.Configuration, o.At)
	}
	for _, t := range s.Tunnels {
		for _, d := range t.Differences {
			v.Differences = append(v.Differences, fmt.Sprintf("The tunnel with %s still has %s %s, which the gateway no longer offers.",
				t.Endpoint, strings.ReplaceAll(d.Parameter, "_", " "), d.Negotiated))
		}
	}
	return v
}

func newFailure(f probe.Failure, now time.Time) failure {
	f.Meaning, f.Advice = sentence(f.Meaning), sentence(f.Advice)
	return failure{f, ago(f.At, now), whose[f.Side]}
}

func newPair(p probe.Pair, o probe.Overview) pair {
	name := probe.PairName(p.Segment, p.PrivateNetwork)
	out := pair{Segment: p.Segment.String(), Network: p.PrivateNetwork.String(), Condition: p.Condition, When: since(p.Since, o.At),
		Timeline: newTimeline(o.Timelines[name], o.At)}
	if o.Status.Gateway == "" {
		return out
	}
	out.Facts = []fact{
		{"In", fmt.Sprintf("%s, %d packets", size(p.BytesIn), p.PacketsIn)},
		{"Out", fmt.Sprintf("%s, %d packets", size(p.BytesOut), p.PacketsOut)},
		{"Last packet in", orElse(ago(p.LastIn, o.At), "none yet")},
		{"Algorithms", orElse(p.Algorithms, "no tunnel")},
	}
	if p.PathMTU > 0 {
		out.Facts = append(out.Facts, fact{"Largest packet", fmt.Sprintf("%d bytes", p.PathMTU)})
	}
	return out
}

func newTarget(t probe.Target, o probe.Overview) target {
	out := target{Name: t.Name, Mark: "good", Word: "answers", Reason: t.Reason, Plot: newPlot(o.Days[t.Name], o.At)}
	switch {
	case t.AskedAt.IsZero():
		out.Mark, out.Word = "unsure", "not asked yet"
	case !t.Reached && t.Missed >= probe.LostAfter:
		out.Mark, out.Word = "bad", "no answer"
	case !t.Reached:
		out.Mark, out.Word = "unsure", "missed"
	case !t.Served:
		out.Mark, out.Word = "fair", "not served"
	}
	if t.Reached {
		out.Facts = append(out.Facts, fact{"Last answer", duration(time.Duration(t.Seconds * float64(time.Second)))})
	}
	out.Facts = append(out.Facts, out.Plot.facts()...)
	if t.PathMTU > 0 {
		out.Facts = append(out.Facts, fact{"Largest packet answered", fmt.Sprintf("%d bytes", t.PathMTU)})
	}
	return out
}

func gatewayFacts(c probe.Configuration, now time.Time) []fact {
	held := "charon holds what the job configures"
	if !c.Known || !c.Healthy {
		held = orElse(c.Reason, "not known")
	}
	out := []fact{{"Configuration", held}}
	for _, p := range c.PSKs {
		text := "key " + string(p.InUse)
		for _, k := range c.Keys {
			if k.PSK == p.InUse {
				text += ", on this VM since " + day(k.FirstSeen)
			}
		}
		if p.Overlap {
			text += "; the endpoint may use either of two"
		}
		out = append(out, fact{"Pre-shared key with " + p.Endpoint.String(), text})
	}
	for _, w := range c.Waivers {
		out = append(out, fact{"Waiver for " + w.Algorithm, "until " + day(w.Until) + ": " + w.Reason})
	}
	for _, e := range c.Expiries {
		text := "ends on " + day(e.At)
		if !e.At.After(now) {
			text = "ended on " + day(e.At)
		}
		out = append(out, fact{sentence(e.What), text})
	}
	if c.FIPS {
		out = append(out, fact{"FIPS", "only OpenSSL's FIPS provider does the cryptography"})
	}
	return out
}

// networks are the prefixes, each once, in their order.
func networks(pairs []probe.Pair, of func(probe.Pair) netip.Prefix) string {
	var out []string
	seen := map[netip.Prefix]bool{}
	for _, p := range pairs {
		if !seen[of(p)] {
			out = append(out, of(p).String())
		}
		seen[of(p)] = true
	}
	if len(out) > 3 {
		out = append(out[:2], fmt.Sprintf("and %d more", len(out)-2))
	}
	return strings.Join(out, ", ")
}
