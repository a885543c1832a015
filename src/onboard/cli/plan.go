package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"privnet/connection"
	"privnet/document"
	"privnet/onboard/ledger"
	"privnet/onboard/plan"
	"privnet/onboard/platform"
)

const planLong = `Allocates what a request needs from the platform's pools and writes it to the ledger,
ORGS/<org>/{request,plan}.yml.

What an org already holds it keeps: planning again after the request has changed changes only what it
must, and never a segment or an address. The difference is shown; --dry-run shows it and writes nothing.

Cells: the apps' memory divided by a cell's, or the apps divided by the containers that a cell takes,
whichever is more, rounded up, and the spare cells. All of these are in the platform file.`

func planCommand() *cobra.Command {
	var request, platformFile, orgs string
	var dryRun bool
	c := &cobra.Command{
		Use: "plan", Short: "allocate what a request needs, and write the ledger", Long: planLong,
		Example: "  privnet plan --request request.yml --platform platform.yml",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := required(c, "request", "platform"); err != nil {
				return err
			}
			return runPlan(c.OutOrStdout(), request, platformFile, ledger.New(orgs), dryRun)
		},
	}
	c.Flags().StringVar(&request, "request", "", "file with the customer's request")
	c.Flags().StringVar(&platformFile, "platform", "", "file that describes your platform")
	c.Flags().StringVar(&orgs, "orgs", "orgs", "directory of the ledger")
	c.Flags().BoolVar(&dryRun, "dry-run", false, "show the difference and write nothing")
	return c
}

func runPlan(out io.Writer, requestFile, platformFile string, l ledger.Ledger, dryRun bool) error {
	// Once before the lock, so that wrong input leaves nothing behind, not even an empty ledger.
	made, changes, err := prepare(requestFile, platformFile, l)
	if err != nil {
		return err
	}
	if !dryRun {
		unlock, err := l.Lock()
		if err != nil {
			return err
		}
		defer unlock()
		if made, changes, err = prepare(requestFile, platformFile, l); err != nil {
			return err
		}
	}
	return showAndWrite(out, l, made, changes, dryRun)
}

// prepare makes the plan and says what it would change in the ledger. The error has everything that is
// wrong in all files.
func prepare(requestFile, platformFile string, l ledger.Ledger) (plan.Plan, []ledger.Change, error) {
	requestData, err := readFile(requestFile, "request")
	if err != nil {
		return plan.Plan{}, nil, err
	}
	platformData, err := readFile(platformFile, "platform file")
	if err != nil {
		return plan.Plan{}, nil, err
	}
	p, platformErr := platform.Parse(platformFile, platformData)
	entries, ledgerErr := l.Entries(func(document.Value) {})
	doc, err := document.Parse(requestFile, requestData)
	if err != nil {
		return plan.Plan{}, nil, document.Join(err, platformErr, ledgerErr)
	}
	request := connection.ReadRequest(doc.Root())
	entry, others := ledger.Find(entries, request.Name)
	var earlier *plan.Plan
	if entry != nil {
		if earlier = &entry.Plan; earlier.Org != request.Org {
			doc.Root().Get("org").Problem("has the same name %s as org %q, which is in the ledger; rename one", request.Name, earlier.Org)
		}
	}
	plan.CheckRequest(doc.Root(), p)
	plan.CheckRoutes(doc.Root(), p, request, ledger.PrivateNetworks(others))
	if err := document.Join(doc.Err(), platformErr, ledgerErr); err != nil {
		return plan.Plan{}, nil, err
	}
	made, err := plan.Allocate(request, p, earlier, ledger.Plans(others))
	if err != nil {
		return plan.Plan{}, nil, err
	}
	changes, err := l.Changes(made.Name, requestData, made.YAML())
	return made, changes, err
}

func showAndWrite(out io.Writer, l ledger.Ledger, made plan.Plan, changes []ledger.Change, dryRun bool) error {
	if len(changes) == 0 {
		fmt.Fprintf(out, "%s: unchanged\n", made.Name)
		return nil
	}
	for _, change := range changes {
		fmt.Fprintf(out, "%s\n%s", change.Path, difference(change.Before, change.After))
	}
	if dryRun {
		fmt.Fprintf(out, "%s: nothing written (--dry-run)\n", made.Name)
		return nil
	}
	if err := l.Write(made.Name, changes); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: written; next: privnet render --org %s\n", made.Name, made.Name)
	return nil
}
