package ipsec

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"privnet/connection"
	"privnet/document"
)

// Waiver allows one weak algorithm to one connection for a reason and a time. Its end closes no tunnel, and
// neither does a restart then: a date is no reason to cut a customer off at night. But nothing new is
// deployed until somebody decides.
type Waiver struct {
	// Algorithm is the word that a proposal has for it, or nopfs.
	Algorithm string
	Reason    string
	// Until is when it ends.
	Until time.Time
}

// Why says what is weak about the algorithm.
func (w Waiver) Why() string { return algorithms[w.Algorithm].weak }

// minReason is the length in characters below which a reason says nothing.
const minReason = 10

func readWaivers(v document.Value) []Waiver {
	var out []Waiver
	for _, entry := range v.List() {
		if !entry.Fields("algorithm", "reason", "until") {
			continue
		}
		name := entry.Get("algorithm")
		w := Waiver{
			Algorithm: name.Required("the weak algorithm, one of " + strings.Join(weakNames(), ", ")),
			Reason:    strings.TrimSpace(entry.Get("reason").Text()),
			Until:     readTime(entry.Get("until")),
		}
		switch a, ok := algorithms[w.Algorithm]; {
		case w.Algorithm == "":
		case ok && a.refused != "":
			name.Problem("is refused, with or without a waiver: %s", a.refused)
		case !ok:
			name.Problem("is no weak algorithm; weak are %s", strings.Join(weakNames(), ", "))
		case a.weak == "":
			name.Problem("needs no waiver; remove it")
		case slices.ContainsFunc(out, func(other Waiver) bool { return other.Algorithm == w.Algorithm }):
			name.Problem("is waived twice; give one reason and one date")
		}
		if len(w.Reason) < minReason {
			entry.Get("reason").Problem("must say why the endpoint cannot do better, and who decided")
		}
		if !entry.Get("until").Present() {
			entry.Get("until").Problem("is missing; give the date, as in 2027-03-31, when this must be decided again")
		}
		out = append(out, w)
	}
	return out
}

func weakNames() []string {
	var out []string
	for name, a := range algorithms {
		if a.weak != "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// Proposals are what an operator names one by one when no preset fits an endpoint.
type Proposals struct{ IKE, ESP []string }

// readProposals reads custom proposals, in which each weak algorithm needs a waiver.
func readProposals(v document.Value, ike connection.IKE, waivers []Waiver) Proposals {
	if !v.Fields("ike", "esp") {
		return Proposals{}
	}
	if ike == connection.IKEAuto {
		v.Problem("do not fit both IKE versions; use ike: 1 or ike: 2 with them")
		return Proposals{}
	}
	read := func(v document.Value, of phase) []string {
		var out []string
		for _, entry := range v.List() {
			text := entry.Text()
			if problem := proposalProblem(text, of, ike); problem != "" {
				entry.Problem("%s", problem)
				continue
			}
			for _, name := range weaknesses(text, of) {
				if !slices.ContainsFunc(waivers, func(w Waiver) bool { return w.Algorithm == name }) {
					entry.Problem("needs a waiver for %s (%s): add it to waivers with a reason and a date, or do without", name, algorithms[name].weak)
				}
			}
			out = append(out, text)
		}
		if !v.Present() || len(v.List()) == 0 {
			v.Problem("is missing; give at least one proposal")
		}
		return out
	}
	return Proposals{IKE: read(v.Get("ike"), phaseIKE), ESP: read(v.Get("esp"), phaseESP)}
}

// refuseUnused refuses waivers that allow nothing that is offered: they would be forgotten, and allow it later.
func refuseUnused(v document.Value, c Connection) {
	used := map[string]bool{}
	for _, version := range versions(c.IKE) {
		for _, proposal := range c.ikeProposals(version) {
			for _, name := range weaknesses(proposal, phaseIKE) {
				used[name] = true
			}
		}
		for _, proposal := range c.espProposals(version) {
			for _, name := range weaknesses(proposal, phaseESP) {
				used[name] = true
			}
		}
	}
	for _, entry := range v.List() {
		name := entry.Get("algorithm").Text()
		if algorithms[name].weak != "" && !used[name] {
			entry.Problem("%s", fmt.Sprintf("allows %s, which policy %s never offers; remove it, or use policy: compatible or proposals", name, c.Policy))
		}
	}
}
