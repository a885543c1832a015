// Package command is the command line of org-isolation. It reads the job's files and turns errors into exit
// codes: 0, 1 for what failed or is wrong in a file, 2 for wrong usage. The work is package isolation's.
package command

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"privnet/cfapi"
	"privnet/cfapi/isolation"
	"privnet/commandline"
)

const about = `org-isolation puts a Cloud Foundry org into the isolation segment of its private network, or
takes it out again, as the job's properties say.

It creates the isolation segment, entitles the org to it and makes it the org's default, and binds a
security group with the private networks to all spaces of the org. It says which running apps must
restart to move, and restarts them only if told. It may be run again at any time, and must be for new
spaces. It changes nothing and fails if others have a share in the segment.

The errand's properties are in the manifest; see docs/org-isolation.md of the release.`

// Execute runs one command and returns the exit code.
func Execute(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	return commandline.Run(ctx, newRoot(), arguments, stdout, stderr)
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "org-isolation",
		Short: "Put a Cloud Foundry org into the isolation segment of its private network",
		Long:  about,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newRun())
	return root
}

func newRun() *cobra.Command {
	var settings, credentials string
	run := &cobra.Command{
		Use:   "run",
		Short: "Do what the job's properties say, and report each step",
		RunE: func(command *cobra.Command, _ []string) error {
			config, api, err := load(settings, credentials)
			if err != nil {
				return err
			}
			out, clock := command.OutOrStdout(), cfapi.SystemClock{}
			client, err := cfapi.Connect(api, clock, func(notice string) { fmt.Fprintln(out, notice) })
			if err != nil {
				return err
			}
			return isolation.Run(command.Context(), client, clock, config, out)
		},
	}
	flags := run.Flags()
	flags.StringVar(&settings, "config", "/var/vcap/jobs/org-isolation/config/isolation.json", "what to do")
	flags.StringVar(&credentials, "credentials", "/var/vcap/jobs/org-isolation/config/credentials.json", "the UAA client's name and secret")
	return run
}

func load(settings, credentials string) (isolation.Config, cfapi.API, error) {
	var files []isolation.File
	for _, path := range []string{settings, credentials} {
		data, err := os.ReadFile(path)
		if err != nil {
			return isolation.Config{}, cfapi.API{}, fmt.Errorf("reading the configuration: %w", err)
		}
		files = append(files, isolation.File{Name: path, Data: data})
	}
	return isolation.Read(files[0], files[1])
}
