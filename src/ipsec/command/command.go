// Package command is the command line of ipsec-gateway. It reads flags, prints, and turns errors into exit
// codes: 0, 1 for what failed or is wrong in a file, 2 for wrong usage. The work is package gateway's.
package command

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os/user"
	"strconv"
	"strings"
	"time"

	boshlog "github.com/cloudfoundry/bosh-utils/logger"
	"github.com/cloudfoundry/bosh-utils/system"
	"github.com/spf13/cobra"

	"privnet/commandline"
	"privnet/ipsec"
	"privnet/ipsec/fips"
	"privnet/ipsec/gateway"
	"privnet/ipsec/vici/view"
	"privnet/ipsec/xfrm"
)

const about = `ipsec-gateway runs strongSwan's charon with one org's IPsec connection.

The customer's endpoint initiates; the gateway responds and never initiates. BOSH calls
these commands from the job's scripts. On the VM, as root, "reload" brings a changed
configuration to the running charon without touching the tunnels that did not change.`

// Execute runs one command and returns the exit code. When the context ends, a running gateway stops.
func Execute(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	return commandline.Run(ctx, New(), arguments, stdout, stderr)
}

// New makes the command tree.
func New() *cobra.Command {
	paths := gateway.DefaultPaths()
	var viewSocket, viewGroup string
	var hungAfter time.Duration
	root := &cobra.Command{
		Use:   "ipsec-gateway",
		Short: "Run strongSwan's charon with an org's IPsec connection",
		Long:  about,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.CompletionOptions.DisableDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVar(&paths.Config, "config", paths.Config, "the job's gateway.json")
	flags.StringVar(&paths.Key, "psk", paths.Key, "the job's psk.json")
	flags.StringVar(&paths.Data, "data", paths.Data, "directory for swanctl.conf and strongswan.conf")
	flags.StringVar(&paths.Run, "run", paths.Run, "directory of charon's vici socket")
	flags.StringVar(&paths.StrongSwan, "strongswan", paths.StrongSwan, "directory that strongSwan is installed in")
	flags.StringVar(&paths.Status, "status", paths.Status, "file in which the gateway says how it is")
	flags.DurationVar(&hungAfter, "hung-after", 15*time.Second, "how long charon may not answer before it is killed")
	flags.StringVar(&viewSocket, "view", view.DefaultSocket, "socket on which others may watch the tunnels, and change nothing")
	flags.StringVar(&viewGroup, "view-group", "vcap", "group that may watch, by name or number")
	// newGateway is called when the flags are read. Only run logs to stdout; the others print there.
	newGateway := func(log io.Writer) gateway.Gateway {
		logger := slog.New(slog.NewJSONHandler(log, nil))
		return gateway.Gateway{
			Paths: paths, Log: logger, FlushSAs: xfrm.FlushSAs, Now: time.Now, HungAfter: hungAfter,
			CheckFIPS: func() error { return fips.Check(system.NewExecCmdRunner(boshlog.NewLogger(boshlog.LevelNone))) },
			ServeView: func(ctx context.Context) error { return serveView(ctx, paths.Socket(), viewSocket, viewGroup, logger) },
		}
	}
	root.AddCommand(run(newGateway), check(newGateway), reload(newGateway), ready(newGateway), drain(newGateway), status(newGateway), rekey(newGateway))
	return root
}

// serveView lets a group watch the tunnels. bpm runs unprivileged jobs as vcap.
func serveView(ctx context.Context, charon, socket, group string, log *slog.Logger) error {
	if found, err := user.LookupGroup(group); err == nil {
		group = found.Gid
	}
	number, err := strconv.Atoi(group)
	if err != nil {
		return fmt.Errorf("finding the group that may watch the tunnels: there is no group %q", group)
	}
	return view.View{Charon: charon, Socket: socket, Group: number, Log: log}.Serve(ctx)
}

type maker func(log io.Writer) gateway.Gateway

func run(make maker) *cobra.Command {
	return &cobra.Command{
		Use:   "run",
		Short: "Start charon, load the connection and supervise it in the foreground",
		Long: `Start charon, load the connection and stay in the foreground. SIGTERM closes the
tunnels, tells the endpoints and ends charon. If charon ends by itself, so does this
command, with exit code 1, and monit starts it again. Logs JSON lines to stdout.`,
		RunE: func(c *cobra.Command, _ []string) error { return make(c.OutOrStdout()).Run(c.Context()) },
	}
}

func check(make maker) *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Say whether the configuration and the pre-shared key are right; start nothing",
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := make(c.ErrOrStderr()).Check()
			if err != nil {
				return err
			}
			for _, connection := range config.Connections {
				fmt.Fprintln(c.OutOrStdout(), summary(config, connection))
			}
			return nil
		},
	}
}

func summary(config ipsec.Config, c ipsec.Connection) string {
	var endpoints []string
	for _, e := range c.Endpoints {
		endpoints = append(endpoints, fmt.Sprintf("%s %s", e.Device, e.Address))
	}
	return fmt.Sprintf("org %s: gateway %s (%s) for %s; IKE %s, policy %s, data path %s, %d selector pairs",
		c.Org, c.Gateway.PublicAddress, c.Gateway.Address, strings.Join(endpoints, ", "), c.IKE, c.Policy, config.DataPath, len(c.Pairs()))
}

func reload(make maker) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Bring the running charon to the configuration on disk, without a restart",
		Long: `Bring the running charon to the configuration on disk. What did not change keeps its
tunnels; what changed is closed, so that the endpoint initiates it anew; what is gone is
removed. A renewed certificate or key of ours closes nothing. If charon refuses something,
it keeps all that it has, the exit code is 1, and the status is unhealthy until a reload or
a start succeeds.`,
		RunE: func(c *cobra.Command, _ []string) error {
			changes, err := make(c.ErrOrStderr()).Reload(c.Context())
			for _, line := range []struct {
				what  string
				names []string
			}{{"added", changes.Added}, {"changed", changes.Changed}, {"renewed", changes.Renewed}, {"removed", changes.Removed}} {
				for _, name := range line.names {
					fmt.Fprintf(c.OutOrStdout(), "%s %s\n", line.what, name)
				}
			}
			if err == nil && !changes.Any() {
				fmt.Fprintln(c.OutOrStdout(), "no connection changed")
			}
			return err
		},
	}
}

func status(make maker) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say whether charon holds what the job configures, and which pre-shared keys are in use",
		Long: `Print, as JSON, whether charon holds what the job configures and which pre-shared key it
has for each endpoint. Exit 1 if it is not healthy. The tunnels' state is the prober's.`,
		RunE: func(c *cobra.Command, _ []string) error {
			status, err := make(c.ErrOrStderr()).ReadStatus()
			if err != nil {
				return err
			}
			encoder := json.NewEncoder(c.OutOrStdout())
			encoder.SetIndent("", "  ")
			if err := encoder.Encode(status); err != nil {
				return fmt.Errorf("printing the status: %w", err)
			}
			if !status.Healthy {
				return fmt.Errorf("the gateway is not healthy: %s", status.Problem)
			}
			return nil
		},
	}
}

func ready(make maker) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "ready",
		Short: "Wait until charon answers and holds all connections; never for a tunnel",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			if err := make(c.ErrOrStderr()).Ready(ctx); err != nil {
				return fmt.Errorf("the gateway is not ready: %w", err)
			}
			return nil
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait")
	return c
}

func drain(make maker) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "drain",
		Short: "Close all tunnels and tell the endpoints; print 0, as BOSH wants it of a drain script",
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			closed, err := make(c.ErrOrStderr()).Drain(ctx)
			// A tunnel that cannot be closed must not keep the VM from stopping.
			fmt.Fprintf(c.ErrOrStderr(), "closed %d tunnels\n", closed)
			if err != nil {
				fmt.Fprintln(c.ErrOrStderr(), err)
			}
			fmt.Fprintln(c.OutOrStdout(), 0)
			return nil
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 15*time.Second, "how long the endpoints may take")
	return c
}

func rekey(make maker) *cobra.Command {
	var timeout time.Duration
	c := &cobra.Command{
		Use:   "rekey",
		Short: "Negotiate new keys for every pair of networks now, to see that it works",
		Long: `Negotiate new keys for every pair of networks that is up, as it happens every few hours,
and print those that have them. With IKEv2 a wrong setting for perfect forward secrecy shows
only then: run it once when a customer has connected. Exit 1 if the endpoint refuses or does
not answer; what is up carries on with the keys that it has.`,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(c.Context(), timeout)
			defer cancel()
			rekeyed, err := make(c.ErrOrStderr()).Rekey(ctx)
			for _, pair := range rekeyed {
				fmt.Fprintf(c.OutOrStdout(), "rekeyed %s\n", pair)
			}
			return err
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", 15*time.Second, "how long the endpoints may take")
	return c
}
