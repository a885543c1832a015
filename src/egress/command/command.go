// Package command is the command line of egress-enforcer: it puts the parts together for the VM it runs
// on, in the network namespace of the process.
package command

import (
	"context"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	boshlog "github.com/cloudfoundry/bosh-utils/logger"
	"github.com/cloudfoundry/bosh-utils/system"
	"github.com/spf13/cobra"

	"privnet/commandline"
	"privnet/egress"
	"privnet/egress/backend"
	"privnet/egress/boot"
	"privnet/egress/enforcer"
	"privnet/egress/iptables"
	"privnet/egress/nftables"
	"privnet/egress/routes"
)

// interval is the time between two looks at the kernel, if it does not tell of a change before.
const interval = time.Second

// patience is how long a program may take. iptables waits for its lock for 5 s of them.
const patience = 8 * time.Second

// options are the places of files, by default those of the BOSH job.
type options struct {
	config, state, status, root string
	files                       system.FileSystem
	out                         io.Writer
	log                         *slog.Logger
}

// Run runs the command line and returns the exit code: 0, 1 for a failure or bad input, 2 for a wrong
// usage.
func Run(args []string, out, errOut io.Writer) int {
	return commandline.Run(context.Background(), newCommand(out), args, out, errOut)
}

func newCommand(out io.Writer) *cobra.Command {
	o := &options{
		files: system.NewOsFileSystem(boshlog.NewLogger(boshlog.LevelNone)),
		out:   out,
		log:   slog.New(slog.NewJSONHandler(out, nil)),
	}
	root := &cobra.Command{
		Use:   "egress-enforcer",
		Short: "Keeps traffic between an org's segment and its private networks in the tunnel, or nowhere",
		Long: `egress-enforcer keeps this VM at its egress policy: on a dedicated cell, private networks are reached
through the org's gateway or not at all; a gateway forwards inside the tunnel and nothing else; a shared
cell stays out of every segment.

It compares the kernel with the policy, repairs what differs and says what it found. Whatever ends it,
the rules stay; only decommission removes them.`,
		Example: `  egress-enforcer status    what is enforced, since when, how often repaired
  egress-enforcer check     what differs at this moment; changes nothing
  egress-enforcer decommission --confirm agency-a
                            take everything away`,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	flags := root.PersistentFlags()
	flags.StringVar(&o.config, "config", "/var/vcap/jobs/egress-enforcer/config/enforcer.json", "the policy, as the job renders it")
	flags.StringVar(&o.state, "state-dir", "/var/vcap/data/egress-enforcer", "where it keeps what must survive a restart")
	flags.StringVar(&o.status, "status-file", "/var/vcap/sys/run/egress-enforcer/status.json", "where it tells its status")
	flags.StringVar(&o.root, "root", "/", "the VM's root directory, for the boot unit")
	root.AddCommand(o.runCommand(), o.applyCommand(), o.bootCommand(), o.checkCommand(), o.statusCommand(), o.readyCommand(), o.decommissionCommand())
	return root
}

// subcommand is a command without arguments.
func subcommand(name, short, long string, work func(context.Context) error) *cobra.Command {
	return &cobra.Command{Use: name, Short: short, Long: long, RunE: func(c *cobra.Command, _ []string) error {
		return work(c.Context())
	}}
}

func (o *options) unit() boot.Unit { return boot.Unit{Root: o.root} }

func (o *options) source() enforcer.Source {
	return enforcer.Source{Files: o.files, Config: o.config, LastGood: filepath.Join(o.state, "last-good.json"),
		Withdrawn: filepath.Join(o.state, "withdrawn.json")}
}

func (o *options) rules() enforcer.Rules {
	runner := system.NewExecCmdRunner(boshlog.NewLogger(boshlog.LevelNone))
	return &backend.Rules{
		IPTables: iptables.New(iptables.Impatient{CmdRunner: runner, Limit: patience}, o.files, iptables.Glance),
		NFTables: &nftables.Table{},
	}
}

// enforcer puts the parts together. The flows to a withdrawn network end before its route goes. In userland
// mode the tunnel's device must be exempt from the blocks before they stand, or a tunnel that is up would stall:
// hence settings before blocks.
func (o *options) enforcer(loaded enforcer.Loaded) *enforcer.Enforcer {
	settings := func(name, file string, want func(egress.Policy) []egress.Setting) *routes.Settings {
		return routes.NewSettings(name, o.files, "/proc/sys", filepath.Join(o.state, file), want)
	}
	return &enforcer.Enforcer{
		Loaded: loaded,
		Rules:  o.rules(),
		Guards: []enforcer.Layer{
			&routes.Flows{Withdrawn: o.source().Withdrawing()},
			routes.Table{},
			settings("kernel parameters", "kernel-parameters.json", egress.Policy.Settings),
			routes.Blocks{},
		},
		Opening: settings("forwarding", "forwarding.json", egress.Policy.Opening),
		Through: routes.Through,
		Now:     time.Now,
		Log:     o.log,
	}
}
