// Package command is the command line of tunnel-prober: the process that watches, and the commands that
// ask it. Asking needs no privilege and changes nothing.
package command

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	boshlog "github.com/cloudfoundry/bosh-utils/logger"
	boshsys "github.com/cloudfoundry/bosh-utils/system"
	"github.com/spf13/cobra"

	"privnet/commandline"
	"privnet/ipsec/gateway"
	"privnet/ipsec/vici"
	"privnet/ipsec/vici/view"
	"privnet/probe"
	"privnet/probe/check"
	"privnet/probe/page"
)

// poll is how often charon is asked without a reason, for its counters.
const poll = time.Second

// files are the paths that a prober uses.
type files struct {
	config, tls, charon, gateway, enforcer, state string
}

// Execute runs the command line and returns the exit code.
func Execute(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	return commandline.Run(ctx, newRoot(), arguments, stdout, stderr)
}

func newRoot() *cobra.Command {
	f := &files{}
	root := &cobra.Command{
		Use:   "tunnel-prober",
		Short: "Says whether an org's connection to its private networks works, and why not",
		Long: `tunnel-prober watches one org's connection from one VM: on a gateway the tunnels in charon, on
gateways and cells the answers of the probe targets, and everywhere whether the egress rules are in
place. For each pair of segment and private network it says up, idle, partial, down or unknown, why, and
since when. It serves that on the VM itself and, by TLS, where it is configured: a page, /v1/status,
/metrics and /ready.`,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&f.config, "config", "/var/vcap/jobs/tunnel-prober/config/prober.json", "the job's configuration")
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newRun(f), newStatus(f), newReady(f))
	return root
}

func newRun(f *files) *cobra.Command {
	command := &cobra.Command{
		Use:   "run",
		Short: "Watch the connection until stopped",
		RunE: func(command *cobra.Command, _ []string) error {
			log := slog.New(slog.NewJSONHandler(command.OutOrStdout(), nil))
			return run(command.Context(), *f, log)
		},
	}
	flags := command.Flags()
	flags.StringVar(&f.charon, "charon", view.DefaultSocket, "the socket that shows charon's security associations")
	flags.StringVar(&f.tls, "tls", "/var/vcap/jobs/tunnel-prober/config/tls.json", "certificate and key, if it listens on other than localhost")
	flags.StringVar(&f.gateway, "gateway", gateway.DefaultPaths().Status, "the gateway's status file")
	flags.StringVar(&f.enforcer, "enforcer", "/var/vcap/sys/run/egress-enforcer/status.json", "the egress enforcer's status file")
	flags.StringVar(&f.state, "state", "/var/vcap/data/tunnel-prober/state.json", "the file for what a restart must not lose")
	return command
}

func run(ctx context.Context, f files, log *slog.Logger) error {
	// It waits most of the time. What a second processor would do sooner costs more in waking it than it is worth.
	runtime.GOMAXPROCS(1)
	config, err := loadConfig(f.config)
	if err != nil {
		return err
	}
	listeners, err := listen(config, f.tls)
	if err != nil {
		return err
	}
	fileSystem := boshsys.NewOsFileSystem(boshlog.NewLogger(boshlog.LevelNone))
	prober := probe.New(config, probe.Senses{
		Charon:        func(ctx context.Context, deliver func(vici.Update)) { vici.Watch(ctx, f.charon, poll, deliver) },
		Log:           func(ctx context.Context, deliver func(vici.LogLine)) { vici.FollowLog(ctx, f.charon, deliver) },
		Configuration: func() probe.Configuration { return probe.ReadConfiguration(f.gateway) },
		Ask:           check.Ask,
		KernelMTU:     check.KernelMTU,
		PathMTU:       check.PathMTU,
		Enforcement: func(now time.Time) probe.Enforcement {
			return probe.ReadEnforcement(fileSystem, f.enforcer, now)
		},
		Now: time.Now,
	}, probe.Memory{Path: f.state}, log)

	// The heap is some megabytes, nearly all of it short-lived: it need not be collected that often.
	debug.SetGCPercent(400)
	ctx, cancel := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() {
		defer cancel()
		handler := http.NewServeMux()
		handler.Handle("GET /{$}", page.Handler(prober))
		handler.Handle("/", prober.Handler())
		served <- probe.Serve(ctx, listeners, handler)
	}()
	log.Info("watching", "org", config.Connection.Org, "role", config.Role, "listen", config.Listen.String())
	prober.Run(ctx)
	return <-served
}

func listen(config probe.Config, path string) ([]net.Listener, error) {
	var secure *tls.Config
	if config.TLS {
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("reading the certificate to serve with: %w", err)
		}
		if secure, err = probe.ParseTLS(path, data); err != nil {
			return nil, err
		}
	}
	return config.Open(secure)
}

func loadConfig(path string) (probe.Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return probe.Config{}, fmt.Errorf("reading the configuration: %w", err)
	}
	return probe.ParseConfig(path, data)
}
