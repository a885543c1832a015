// Package removal is the end of a connection's life: the steps in their order, what is done of them, and how
// long the addresses stay nobody's. It is pure; package ledger keeps the state in a file.
//
// # The order, and why
//
// Nothing is taken away while something else still leans on it, so that no step lets a packet out in clear:
//
//  1. apps: Cloud Foundry first. The security group goes before the apps leave the dedicated cells. In the
//     other order an app on a shared cell would be allowed to send to the private network's addresses, and
//     no rule there would hold it back.
//  2. cells: then they hold no app. Their rules go with the VMs; the gateway still stands behind them.
//  3. gateway: before the cells, it would take the link away that their rules are made of, and a director
//     would refuse.
//  4. cloud-config: a director refuses to take a network from under a VM, so the VMs are gone by now.
//  5. key: nothing uses it any more, and the customer's endpoint still has it. Not before, since without it
//     the connection cannot come back.
//  6. addresses: kept from everybody for the quarantine. The old customer's endpoint still tries the
//     address, and somebody's firewall still lets the segment in: neither must meet another org.
package removal

import (
	"slices"
	"time"

	"privnet/document"
	"privnet/onboard/tree"
)

// Step is one step of a removal.
type Step string

// The steps in their order.
const (
	Apps        Step = "apps"
	Cells       Step = "cells"
	Gateway     Step = "gateway"
	CloudConfig Step = "cloud-config"
	Key         Step = "key"
	Addresses   Step = "addresses"
)

// Steps are all steps in their order.
var Steps = []Step{Apps, Cells, Gateway, CloudConfig, Key, Addresses}

// Done is a step that is done.
type Done struct {
	Step Step   `yaml:"step"`
	On   string `yaml:"on"`
	// Shown is the file that showed it; empty where the operator said so.
	Shown string `yaml:"shown,omitempty"`
}

// Removal is how far an org's removal is. The zero Removal is that of an org that stays.
type Removal struct {
	Started string `yaml:"started"`
	Done    []Done `yaml:"done,omitempty"`
	// Until is the first day on which the addresses may be another org's; it is there once all is done.
	Until string `yaml:"quarantined_until,omitempty"`
}

// day is how dates are written; they are UTC's.
const day = "2006-01-02"

// Start is a removal of which nothing is done.
func Start(now time.Time) Removal { return Removal{Started: now.UTC().Format(day)} }

// Begun says whether the org is leaving or has left.
func (r Removal) Begun() bool { return r.Started != "" }

// Next is the step to be done; empty when all are done, or nothing has begun.
func (r Removal) Next() Step {
	if !r.Begun() || len(r.Done) == len(Steps) {
		return ""
	}
	return Steps[len(r.Done)]
}

// Has says whether the step is done.
func (r Removal) Has(step Step) bool {
	return slices.ContainsFunc(r.Done, func(d Done) bool { return d.Step == step })
}

// Finish is the removal with its next step done. The last step begins the quarantine of that many days.
func (r Removal) Finish(now time.Time, shown string, quarantine int) Removal {
	step := r.Next()
	r.Done = append(slices.Clone(r.Done), Done{Step: step, On: now.UTC().Format(day), Shown: shown})
	if step == Addresses {
		r.Until = now.UTC().AddDate(0, 0, quarantine).Format(day)
	}
	return r
}

// Quarantined says whether the addresses must not be given to anybody yet.
func (r Removal) Quarantined(now time.Time) bool { return now.UTC().Format(day) < r.Until }

const heading = `# How far the org's removal is. Written by "privnet remove"; run it again instead of editing.
`

// YAML is the removal as the ledger keeps it.
func (r Removal) YAML() []byte { return tree.Write(heading, r) }

// Parse reads a removal. The error is document.Problems.
func Parse(name string, data []byte) (Removal, error) {
	doc, err := document.Parse(name, data)
	if err != nil {
		return Removal{}, err
	}
	v := doc.Root()
	v.Fields("started", "done", "quarantined_until")
	out := Removal{Started: readDay(v.Get("started"))}
	for i, element := range v.Get("done").List() {
		element.Fields("step", "on", "shown")
		if i >= len(Steps) || element.Get("step").Text() != string(Steps[i]) {
			element.Get("step").Problem("is out of order; the steps are %s", Steps)
			break
		}
		out.Done = append(out.Done, Done{Step: Steps[i], On: readDay(element.Get("on")), Shown: element.Get("shown").Text()})
	}
	if len(out.Done) == len(Steps) {
		out.Until = readDay(v.Get("quarantined_until"))
	}
	return out, doc.Err()
}

func readDay(v document.Value) string {
	text := v.Required("a date such as 2027-03-31")
	if _, err := time.Parse(day, text); text != "" && err != nil {
		v.Problem("is no date; write one such as 2027-03-31")
	}
	return text
}
