package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"privnet/document"
	"privnet/onboard/ledger"
)

func listCommand() *cobra.Command {
	var orgs string
	c := &cobra.Command{
		Use: "list", Short: "show what each org holds",
		Long:    "Shows the ledger: each org's segment, gateways, number of cells, endpoint and private networks.",
		Example: "  privnet list --orgs orgs",
		RunE: func(c *cobra.Command, _ []string) error {
			return runList(c.OutOrStdout(), ledger.New(orgs))
		},
	}
	orgsFlag(c, &orgs)
	return c
}

func runList(out io.Writer, l ledger.Ledger) error {
	entries, err := l.Entries(func(document.Value) {})
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		fmt.Fprintln(out, "no org yet: privnet new asks for a request, privnet plan puts it into the ledger")
		return nil
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ORG\tSEGMENT\tGATEWAYS\tCELLS\tENDPOINT\tPRIVATE NETWORKS")
	for _, e := range entries {
		var gateways []string
		for _, g := range e.Plan.Gateways {
			gateways = append(gateways, g.PublicAddress.String())
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%s %s\t%s\n", e.Plan.Name, words(e.Plan.CIDRs()), strings.Join(gateways, " "),
			e.Plan.Cells, e.Request.Endpoint.Address, e.Request.Endpoint.Device, words(e.Request.PrivateNetworks))
	}
	return table.Flush()
}

func words[T fmt.Stringer](in []T) string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = s.String()
	}
	return strings.Join(out, " ")
}
