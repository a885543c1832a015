// Package cli is the operator's command, privnet: it reads files, calls the pure packages, writes files
// and says what it did. It decides nothing itself.
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// Exit codes: of success, of a failure or bad input, and of a command that was used wrongly.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

// usageError is a command used wrongly.
type usageError struct{ error }

const long = `privnet turns a customer's request for a private network into what you deploy.

  privnet new                        asks for the request and writes request.yml
  privnet plan   --request FILE      allocates a segment and addresses, writes the ledger
  privnet render --org NAME          writes ops-file, cloud-config, firewall table and hand-off
  privnet diff   --org NAME          shows what render would change
  privnet list                       shows what each org holds

After it:
  bosh update-config --type=cloud --name=private-network-ORG rendered/ORG/cloud-config.yml
  bosh -d cf deploy cf.yml -o rendered/ORG/ops.yml

The ledger (orgs/ by default) belongs into your git. No file that privnet writes holds a secret.`

// Run runs the command and returns its exit code.
func Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use: "privnet", Short: "private networks for Cloud Foundry orgs", Long: long,
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("say what to do: new, plan, render, diff or list; see privnet --help")}
		},
		Args: cobra.NoArgs,
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newCommand(), planCommand(), renderCommand(), diffCommand(), listCommand())
	for _, c := range root.Commands() {
		c.Args = usageArgs(cobra.NoArgs)
	}
	root.Args = usageArgs(cobra.NoArgs)

	err := root.Execute()
	if err == nil {
		return exitOK
	}
	fmt.Fprintln(stderr, err)
	if usage := (usageError{}); errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailed
}

func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// required refuses empty values, and empty lists, of flags that have to be given.
func required(c *cobra.Command, flags ...string) error {
	for _, name := range flags {
		if value := c.Flag(name).Value.String(); value == "" || value == "[]" {
			return usageError{fmt.Errorf("--%s is missing: %s", name, c.Flag(name).Usage)}
		}
	}
	return nil
}

func readFile(path, what string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the %s: %w", what, err)
	}
	return data, nil
}
