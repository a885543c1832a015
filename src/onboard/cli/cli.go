// Package cli is the operator's command, privnet: it reads files, calls the pure packages, writes files
// and says what it did. It decides nothing itself.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"privnet/commandline"
	"privnet/onboard/ledger"
)

const long = `privnet turns a customer's request for a private network into what you deploy.

  privnet new                        asks for the request and writes request.yml
  privnet plan   --request FILE      allocates a segment and addresses, says what a change does, writes the ledger
  privnet render --org NAME          writes ops-file, cloud-config, firewall table and hand-off
  privnet diff   --org NAME          shows what render would change
  privnet list                       shows what each org holds
  privnet verify                     proves that no org reaches another's private network
  privnet remove --org NAME          takes an org's connection away, step by step

After it:
  bosh update-config --type=cloud --name=private-network-ORG rendered/ORG/cloud-config.yml
  bosh -d cf deploy cf.yml -o rendered/ORG/ops.yml

The ledger (orgs/ by default) belongs into your git. No file that privnet writes holds a secret.
It exits with 0, with 1 if it failed or a file is wrong, with 2 if it was used wrongly.
Completion for your shell: source <(privnet completion bash), or zsh, fish, powershell.`

// Run runs the command and returns its exit code.
func Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use: "privnet", Short: "private networks for Cloud Foundry orgs", Long: long,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.SetIn(stdin)
	root.AddCommand(newCommand(), planCommand(), renderCommand(), diffCommand(), listCommand(), verifyCommand(), removeCommand())
	return commandline.Run(context.Background(), root, args, stdout, stderr)
}

// required refuses empty values, and empty lists, of flags that have to be given.
func required(c *cobra.Command, flags ...string) error {
	var missing []string
	for _, name := range flags {
		if value := c.Flag(name).Value.String(); value == "" || value == "[]" {
			kind, what := pflag.UnquoteUsage(c.Flag(name))
			missing = append(missing, fmt.Sprintf("--%s %s is missing: %s", name, kind, what))
		}
	}
	if missing == nil {
		return nil
	}
	return commandline.Usage(errors.New(strings.Join(missing, "\n")))
}

func orgsFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "orgs", "orgs", "`DIR` of the ledger")
	if err := c.MarkFlagDirname("orgs"); err != nil {
		panic(err) // the flag was defined one line above
	}
}

func platformFlag(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "platform", "platform.yml", "`FILE` that describes your platform")
}

// completeOrgs lets the shell complete --org with the orgs of the ledger.
func completeOrgs(c *cobra.Command) {
	err := c.RegisterFlagCompletionFunc("org", func(c *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		orgs, err := ledger.New(c.Flag("orgs").Value.String()).Orgs()
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return orgs, cobra.ShellCompDirectiveNoFileComp
	})
	if err != nil {
		panic(err) // the flag has been defined
	}
}

func readFile(path, what string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", what, err)
	}
	return data, nil
}
