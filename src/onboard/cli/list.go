package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"privnet/document"
	"privnet/onboard/ledger"
	"privnet/onboard/plan"
)

func listCommand() *cobra.Command {
	var orgs string
	c := &cobra.Command{
		Use: "list", Short: "show what each org holds",
		Long: "Shows the ledger: each org's segment, gateways, number of cells, endpoint and private networks; which\n" +
			"orgs are leaving, and which addresses are nobody's because an org has left.",
		Example: "  privnet list --orgs orgs",
		RunE: func(c *cobra.Command, _ []string) error {
			return runList(c.OutOrStdout(), ledger.New(orgs), time.Now())
		},
	}
	orgsFlag(c, &orgs)
	return c
}

func runList(out io.Writer, l ledger.Ledger, now time.Time) error {
	entries, err := l.Entries(func(document.Value) {})
	former, formerErr := l.Former()
	if err := document.Join(err, formerErr); err != nil {
		return err
	}
	if err := showEntries(out, entries); err != nil {
		return err
	}
	for _, e := range entries {
		if e.Removal.Begun() {
			fmt.Fprintf(out, "%s is leaving: privnet remove --org %s goes on with %s\n", e.Plan.Name, e.Plan.Name, e.Removal.Next())
		}
	}
	for _, q := range ledger.Quarantined(former, now) {
		fmt.Fprintf(out, "nobody's until %s: %s %s, which %s had\n", q.Until, words(q.CIDRs()), publicAddresses(q.Plan), q.Name)
	}
	return nil
}

func showEntries(out io.Writer, entries []ledger.Entry) error {
	if len(entries) == 0 {
		fmt.Fprintln(out, "no org yet: privnet new asks for a request, privnet plan puts it into the ledger")
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ORG\tSEGMENT\tGATEWAYS\tCELLS\tENDPOINT\tPRIVATE NETWORKS")
	for _, e := range entries {
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s %s\t%s\n", e.Plan.Name, words(e.Plan.CIDRs()), publicAddresses(e.Plan),
			e.Plan.Cells, e.Request.Endpoint.Address, e.Request.Endpoint.Device, words(e.Request.PrivateNetworks))
	}
	return table.Flush()
}

func publicAddresses(p plan.Plan) string {
	var out []string
	for _, g := range p.Gateways {
		out = append(out, g.PublicAddress.String())
	}
	return strings.Join(out, " ")
}

func words[T fmt.Stringer](in []T) string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = s.String()
	}
	return strings.Join(out, " ")
}
