// Package command is the command line of tunnel-doctor: the errand's one question, and the command on the
// VM. It only looks, unless it is told to --fix.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"privnet/atomicfile"
	"privnet/commandline"
	"privnet/doctor"
	"privnet/doctor/bundle"
	"privnet/doctor/sense"
)

// options are what the command line says.
type options struct {
	config  string
	senses  sense.Senses
	json    bool
	fix     bool
	bundle  string
	monit   string
	lasting time.Duration
}

const about = `tunnel-doctor looks at one org's connection from this VM, a gateway or a dedicated cell, and says from
near to far what works. On a gateway: configuration, services, egress rules, interface, IKE packets from the
endpoint, phase 1, identity, key or certificate, phase 2 and traffic of each pair, services, path MTU. On a
cell: its dedication, routes, whether the gateway sees its packets, security groups, traffic, services,
private DNS. Then it names what is wrong, whose side it is on, what to change on the customer's type of
device, and what to write to them.

It changes nothing without --fix and opens no tunnel: the customer initiates. Run it as root.

Exit status: 0 healthy, 1 broken, 2 wrong usage, 3 it cannot tell.`

// Execute runs the command line and returns the exit code.
func Execute(ctx context.Context, arguments []string, stdout, stderr io.Writer) int {
	return commandline.Run(ctx, newRoot(), arguments, stdout, stderr)
}

func newRoot() *cobra.Command {
	o := &options{senses: sense.DefaultSenses()}
	watch, capture, listen := false, "", time.Duration(0)
	root := &cobra.Command{
		Use:   "tunnel-doctor",
		Short: "Say why a connection does not work, and what to change",
		Long:  about,
		RunE: func(c *cobra.Command, _ []string) error {
			config, err := sense.Load(o.config)
			if err != nil {
				return err
			}
			if c.Flags().Changed("listen") {
				config.Listen = listen
			}
			switch {
			case capture != "":
				return record(c.Context(), capture, o.lasting, c.OutOrStdout())
			case watch:
				return o.watch(c.Context(), config, c.OutOrStdout())
			}
			return o.examine(c.Context(), config, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	root.CompletionOptions.DisableDefaultCmd = true
	flags := root.Flags()
	flags.BoolVar(&o.json, "json", false, "print the report as JSON (docs/doctor.md)")
	flags.BoolVar(&watch, "watch", false, "follow live what the endpoint tries, until interrupted")
	flags.StringVar(&capture, "capture", "", "record IKE packets, and nothing else, to this pcap file")
	flags.StringVar(&o.bundle, "bundle", "", "also write a support archive, without secrets, to this file (.tgz)")
	flags.BoolVar(&o.fix, "fix", false, "restart or reload what is wrong on this VM, then look again")
	flags.DurationVar(&listen, "listen", 0, "how long to listen when the endpoint is silent (default: the job's property)")
	flags.DurationVar(&o.lasting, "for", time.Minute, "how long to capture")
	flags.StringVar(&o.config, "config", "/var/vcap/jobs/tunnel-doctor/config/doctor.json", "the job's configuration")
	flags.StringVar(&o.senses.Log, "log", o.senses.Log, "charon's log as ipsec-gateway writes it")
	flags.StringVar(&o.senses.Enforcer, "enforcer", o.senses.Enforcer, "the egress enforcer's status file")
	flags.StringVar(&o.senses.Jobs, "jobs", o.senses.Jobs, "directory of the VM's jobs")
	flags.StringVar(&o.senses.PIDs, "pids", o.senses.PIDs, "directory of bpm's pid files")
	flags.StringVar(&o.senses.Gateway.Config, "gateway-config", o.senses.Gateway.Config, "ipsec-gateway's gateway.json")
	flags.StringVar(&o.senses.Gateway.Key, "gateway-psk", o.senses.Gateway.Key, "ipsec-gateway's psk.json")
	flags.StringVar(&o.senses.Gateway.Data, "gateway-data", o.senses.Gateway.Data, "directory of what ipsec-gateway rendered")
	flags.StringVar(&o.senses.Gateway.Run, "gateway-run", o.senses.Gateway.Run, "directory of charon's vici socket")
	flags.StringVar(&o.senses.Gateway.Status, "gateway-status", o.senses.Gateway.Status, "file in which ipsec-gateway says how it is")
	flags.TextVar(&o.senses.Resolver, "resolver", o.senses.Resolver, "the VM's own DNS server")
	flags.StringVar(&o.monit, "monit", "/var/vcap/bosh/bin/monit", "monit, for --fix")
	for _, other := range []string{"json", "fix", "bundle"} {
		root.MarkFlagsMutuallyExclusive("watch", "capture", other)
	}
	return root
}

func (o *options) examine(ctx context.Context, config doctor.Config, out, beside io.Writer) error {
	report := doctor.Examine(o.senses.Observe(ctx, config))
	if o.fix && report.Verdict != doctor.Healthy {
		done, err := o.repair(ctx, report)
		if err != nil {
			return err
		}
		notes := out
		if o.json {
			notes = beside
		}
		for _, what := range done {
			fmt.Fprintln(notes, "fixed:", what)
		}
		if len(done) > 0 {
			report = doctor.Examine(o.senses.Observe(ctx, config))
		}
	}
	if err := o.print(report, out); err != nil {
		return err
	}
	if o.bundle != "" {
		if err := o.writeBundle(ctx, report); err != nil {
			return err
		}
		if !o.json {
			fmt.Fprintf(out, "\nSupport archive, without secrets: %s\n", o.bundle)
		}
	}
	if code := report.ExitCode(); code != 0 {
		return commandline.Exit(code)
	}
	return nil
}

func (o *options) print(report doctor.Report, out io.Writer) error {
	if !o.json {
		return report.Write(out)
	}
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(report); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	return nil
}

func (o *options) writeBundle(ctx context.Context, report doctor.Report) error {
	files, secrets := o.senses.Support(ctx)
	text, data := &buffer{}, &buffer{}
	encoded := *o
	encoded.json = true
	if err := errors.Join(report.Write(text), encoded.print(report, data)); err != nil {
		return err
	}
	files = append(files, bundle.File{Name: "report.txt", Data: *text}, bundle.File{Name: "report.json", Data: *data})
	archive := &buffer{}
	if err := bundle.Write(archive, report.At, files, secrets); err != nil {
		return err
	}
	if err := atomicfile.Write(o.bundle, *archive, 0o640); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	return nil
}

// buffer is a writer to memory.
type buffer []byte

func (b *buffer) Write(data []byte) (int, error) {
	*b = append(*b, data...)
	return len(data), nil
}

// record writes a pcap file.
func record(ctx context.Context, path string, lasting time.Duration, out io.Writer) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	defer file.Close()
	count, err := capture(ctx, file, lasting, func() {
		fmt.Fprintf(out, "Recording IKE packets for %s. Let the customer's endpoint try now.\n", lasting)
	})
	if err != nil {
		return fmt.Errorf("recording: %w", err)
	}
	fmt.Fprintf(out, "%d IKE packets recorded in %s\n", count, path)
	return nil
}
