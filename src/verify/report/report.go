// Package report writes the result of a proof for people: as text for the operator, and as a page for an
// auditor, with the claim, the method and the inputs' hashes.
package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/netip"
	"strings"
	"time"

	"privnet/verify"
)

// Input is a file that was read.
type Input struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// Report is a result and what it was made of.
type Report struct {
	Result verify.Result `json:"result"`
	Inputs []Input       `json:"inputs"`
	// Made is when, Took how long the proof alone took.
	Made time.Time     `json:"made"`
	Took time.Duration `json:"took_ns"`
}

// Rules is the number of rules that were judged.
func (r Report) Rules() int {
	n := 0
	for _, org := range r.Result.Orgs {
		n += org.Rules
	}
	return n
}

// Failing is the number of orgs for which something does not hold.
func (r Report) Failing() int {
	n := 0
	for _, org := range r.Result.Orgs {
		if !org.Holds {
			n++
		}
	}
	return n
}

// Text is the result for a terminal: what fails, and one line that sums up.
func (r Report) Text() string {
	var b strings.Builder
	for _, f := range r.Result.Platform {
		writeFinding(&b, "the platform", f)
	}
	for _, org := range r.Result.Orgs {
		for _, f := range org.Findings {
			writeFinding(&b, org.Name, f)
		}
	}
	if groups := r.Result.GuardedElsewhere; len(groups) > 0 {
		fmt.Fprintf(&b, "Not proved: the IaaS's firewall keeps the apps on %s out of the segments, the platform file says.\n", strings.Join(groups, ", "))
	}
	fmt.Fprintln(&b, r.Verdict())
	return b.String()
}

// Verdict is one sentence.
func (r Report) Verdict() string {
	if r.Result.Holds {
		return fmt.Sprintf("All obligations hold for %s: %s.", count(len(r.Result.Orgs), "org"), count(r.Rules(), "rule"))
	}
	var parts []string
	if n := r.Failing(); n > 0 {
		parts = append(parts, fmt.Sprintf("%d of %s", n, count(len(r.Result.Orgs), "org")))
	}
	if len(r.Result.Platform) > 0 {
		parts = append(parts, "the platform")
	}
	return "An obligation does not hold for " + strings.Join(parts, " and for ") + "."
}

func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func writeFinding(b *strings.Builder, who string, f verify.Finding) {
	fmt.Fprintf(b, "%s: %s: %s\n", who, f.Obligation, f.Sentence)
	if f.Packet == nil {
		return
	}
	fmt.Fprintf(b, "  from      %s\n  to        %s\n  protocol  %s, %s\n", f.Packet.From, f.Packet.To, f.Packet.Protocol, f.Packet.State)
	for _, step := range f.Packet.Way {
		fmt.Fprintf(b, "    %s\n", step)
	}
}

//go:embed page.html.tmpl
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"prefixes": func(in []netip.Prefix) string {
		out := make([]string, len(in))
		for i, p := range in {
			out[i] = p.String()
		}
		return strings.Join(out, " ")
	},
	"fails": func(o verify.Org, obligation string) bool {
		for _, f := range o.Findings {
			if f.Obligation == obligation {
				return true
			}
		}
		return false
	},
	"platformFails": func(r verify.Result, obligation string) bool {
		for _, f := range r.Platform {
			if f.Obligation == obligation {
				return true
			}
		}
		return false
	},
	"join": strings.Join,
}).Parse(pageText))

// HTML is the result as one page, without scripts and without anything from elsewhere.
func (r Report) HTML() ([]byte, error) {
	var b bytes.Buffer
	err := page.Execute(&b, struct {
		Report
		Obligations, PlatformObligations []verify.Obligation
	}{r, verify.Obligations, verify.PlatformObligations})
	if err != nil {
		return nil, fmt.Errorf("writing the page: %w", err)
	}
	return b.Bytes(), nil
}
