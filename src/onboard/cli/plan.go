package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"privnet/document"
	"privnet/onboard/impact"
	"privnet/onboard/ledger"
	"privnet/onboard/plan"
	"privnet/onboard/platform"
	"privnet/onboard/render"
)

const planLong = `Allocates what requests need from the platform's pools and writes it to the ledger,
ORGS/<org>/{request,plan}.yml. Then comes "privnet render".

What an org already holds it keeps: planning again after a request has changed changes only what it must,
and never a segment or an address. The difference is shown before it is written, and what it does: which jobs the
next deploy renders anew, which VMs restart, what becomes of the tunnel and the apps, and whether the customer
must act, with the words to send. --dry-run writes nothing; --json prints all of that for a machine.

Cells: the apps' memory divided by a cell's, or the apps divided by the containers that a cell takes,
whichever is more, rounded up, and the spare cells. All of these are in the platform file.

A request, as "privnet new" writes it, and a platform file, which you write once:

  org: Agency A                                 iaas: vsphere
  endpoint:                                     networks: [10.0.0.0/16]
    address: 198.51.100.10                      segments:
    device: paloalto                            - {az: z1, cidr: 10.20.0.0/20}
  private_networks: [10.150.0.0/16]             public_addresses: [203.0.113.10-203.0.113.20]
  apps: 40                                      public_network: public`

func planCommand() *cobra.Command {
	var requests []string
	var platformFile, orgs string
	var dryRun, asJSON bool
	c := &cobra.Command{
		Use: "plan", Short: "allocate what requests need, and write the ledger", Long: planLong,
		Example: "  privnet plan --request request.yml --platform platform.yml\n" +
			"  privnet plan --request request.yml --platform platform.yml --dry-run\n" +
			"  privnet plan --request a.yml --request b.yml --platform platform.yml",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := required(c, "request", "platform"); err != nil {
				return err
			}
			return runPlan(c.OutOrStdout(), requests, platformFile, ledger.New(orgs), dryRun, asJSON, time.Now())
		},
	}
	c.Flags().StringArrayVar(&requests, "request", nil, "`FILE` with a customer's request; repeat it for more")
	platformFlag(c, &platformFile)
	orgsFlag(c, &orgs)
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show the difference and what it does, and write nothing")
	c.Flags().BoolVar(&asJSON, "json", false, "print what it does as JSON")
	return c
}

// planned is a request's plan and what it changes in the ledger.
type planned struct {
	org     string
	changes []ledger.Change
	impact  impact.Impact
}

// source is a file that was read. A pipe can be read once only.
type source struct {
	name string
	data []byte
}

// readSources reads files of the same kind. The error names all that cannot be read.
func readSources(what string, files ...string) ([]source, error) {
	out := make([]source, len(files))
	var failed error
	for i, file := range files {
		data, err := readFile(file, what)
		failed = errors.Join(failed, err)
		out[i] = source{file, data}
	}
	return out, failed
}

func runPlan(out io.Writer, requestFiles []string, platformFile string, l ledger.Ledger, dryRun, asJSON bool, now time.Time) error {
	requests, requestsErr := readSources("request", requestFiles...)
	platforms, platformErr := readSources("platform file", platformFile)
	if err := errors.Join(requestsErr, platformErr); err != nil {
		return err
	}
	// Once before the lock, so that wrong input leaves nothing behind, not even an empty ledger.
	made, err := prepare(requests, platforms[0], l, now)
	if err != nil {
		return err
	}
	if !dryRun {
		unlock, err := l.Lock()
		if err != nil {
			return err
		}
		defer unlock()
		if made, err = prepare(requests, platforms[0], l, now); err != nil {
			return err
		}
	}
	if asJSON {
		if err := showJSON(out, made); err != nil {
			return err
		}
		out = io.Discard
	}
	for _, p := range made {
		if err := showAndWrite(out, l, p, dryRun); err != nil {
			return err
		}
	}
	return nil
}

// showJSON prints what the plans do, before anything is written.
func showJSON(out io.Writer, made []planned) error {
	impacts := make([]impact.Impact, len(made))
	for i, p := range made {
		impacts[i] = p.impact
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	return encoder.Encode(impacts)
}

// prepare makes the plans and says what they would change in the ledger. The error has everything that
// is wrong in all files.
func prepare(files []source, platformFile source, l ledger.Ledger, now time.Time) ([]planned, error) {
	p, platformErr := platform.Parse(platformFile.name, platformFile.data)
	entries, ledgerErr := l.Entries(func(document.Value) {})
	former, formerErr := l.Former()
	ledgerErr = document.Join(ledgerErr, formerErr)
	if platformErr == nil {
		ledgerErr = document.Join(ledgerErr, plan.Misplaced(ledger.Plans(entries), p).Err())
	}
	requests, requestsErr := checkRequests(files, p, entries)
	if err := document.Join(requestsErr, platformErr, ledgerErr); err != nil {
		return nil, err
	}
	allocator := plan.NewAllocator(p, ledger.Plans(entries), ledger.Quarantined(former, now)...)
	var out []planned
	var err error
	for _, a := range requests {
		var held *plan.Plan
		var before *render.Input
		if a.earlier != nil {
			held = &a.earlier.Plan
			before = &render.Input{Request: a.earlier.Request, Plan: a.earlier.Plan, Platform: p}
		}
		made, allocateErr := allocator.Allocate(a.request, held)
		err = document.Join(err, allocateErr)
		if allocateErr != nil {
			continue
		}
		changes, changesErr := l.Changes(made.Name, a.data, made.YAML())
		does, impactErr := impact.Of(before, render.Input{Request: a.request, Plan: made, Platform: p})
		err = document.Join(err, changesErr, impactErr)
		out = append(out, planned{made.Name, changes, does})
	}
	return out, err
}

func showAndWrite(out io.Writer, l ledger.Ledger, p planned, dryRun bool) error {
	if len(p.changes) == 0 {
		fmt.Fprintf(out, "%s: unchanged\n", p.org)
		return nil
	}
	for _, change := range p.changes {
		showDifference(out, change.Path, change.Before, change.After)
	}
	fmt.Fprint(out, p.impact.Text())
	if dryRun {
		fmt.Fprintf(out, "%s: nothing written (--dry-run)\n", p.org)
		return nil
	}
	if err := l.Write(p.org, p.changes); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: written; next: privnet render --org %s\n", p.org, p.org)
	return nil
}
