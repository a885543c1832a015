// Package commandline runs a cobra command the way every binary of the release promises: what a command
// returns is printed to stderr and ends with 1, a command that was used wrongly ends with 2 and names its
// --help, and a command that wants another exit code returns Exit.
package commandline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// Exit codes that every binary has.
const (
	Failed = 1
	Misuse = 2
)

// Exit is returned by a command that has said everything and ends with this exit code.
type Exit int

func (e Exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// misuse is an error of the person at the command line.
type misuse struct{ error }

// Usage marks err as a wrong use, for what only the command itself can see, as two flags that exclude
// each other.
func Usage(err error) error { return misuse{err} }

// Run runs the command that the arguments name and returns the exit code. A command that declares no
// arguments takes none.
func Run(ctx context.Context, root *cobra.Command, arguments []string, stdout, stderr io.Writer) int {
	understood := false
	prepare := root.PersistentPreRunE
	root.PersistentPreRunE = func(c *cobra.Command, args []string) error {
		if err := c.ValidateFlagGroups(); err != nil {
			return err
		}
		understood = true
		if prepare == nil {
			return nil
		}
		return prepare(c, args)
	}
	if !root.Runnable() {
		nothing := Usage(fmt.Errorf("say what to do: %s", strings.Join(names(root), ", ")))
		root.RunE = func(*cobra.Command, []string) error { return nothing }
	}
	for _, c := range append(root.Commands(), root) {
		if c.Args == nil {
			c.Args = none
		}
	}
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetArgs(arguments)
	root.SetOut(stdout)
	root.SetErr(stderr)

	command, err := root.ExecuteContextC(ctx)
	var exit Exit
	var wrong misuse
	switch {
	case err == nil:
		return 0
	case errors.As(err, &exit):
		return int(exit)
	case understood && !errors.As(err, &wrong):
		fmt.Fprintln(stderr, err)
		return Failed
	default:
		fmt.Fprintf(stderr, "%s\nSee %s --help.\n", err, command.CommandPath())
		return Misuse
	}
}

// names lists the commands that help shows.
func names(root *cobra.Command) []string {
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// none refuses arguments, with the command that was probably meant.
func none(c *cobra.Command, args []string) error {
	err := cobra.NoArgs(c, args)
	if err == nil {
		return nil
	}
	c.SuggestionsMinimumDistance = 2
	if meant := c.SuggestionsFor(args[0]); len(meant) > 0 {
		err = fmt.Errorf("%w; did you mean %s?", err, strings.Join(meant, " or "))
	}
	return err
}
