// Package cli is the operator's command, privnet: it reads files, calls the pure packages, writes files
// and says what it did. It decides nothing itself.
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"privnet/onboard/ledger"
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
  privnet verify                     proves that no org reaches another's private network

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
		SilenceUsage: true, SilenceErrors: true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		RunE: func(*cobra.Command, []string) error {
			return usageError{errors.New("say what to do: new, plan, render, diff, list or verify; see privnet --help")}
		},
		Args: cobra.NoArgs,
	}
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w. See %s --help", err, c.CommandPath())}
	})
	root.AddCommand(newCommand(), planCommand(), renderCommand(), diffCommand(), listCommand(), verifyCommand())
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

// usageArgs makes a usage error of what check says, with the name that was probably meant.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		err := check(c, args)
		if err == nil {
			return nil
		}
		c.SuggestionsMinimumDistance = 2
		if meant := c.SuggestionsFor(args[0]); len(meant) > 0 {
			err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(meant, " or "))
		}
		return usageError{fmt.Errorf("%w See %s --help", err, c.CommandPath())}
	}
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
	return usageError{fmt.Errorf("%s\nSee %s --help", strings.Join(missing, "\n"), c.CommandPath())}
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
