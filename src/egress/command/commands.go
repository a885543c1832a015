package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"privnet/egress/enforcer"
	"privnet/egress/routes"
)

func (o *options) runCommand() *cobra.Command {
	every := interval
	command := subcommand("run", "Enforce, and go on enforcing until stopped; the job's process",
		"run enforces the policy before anything else, then watches it and repairs it. It logs JSON to the\nstandard output. When it ends, all rules stay.",
		func(ctx context.Context) error { return o.run(ctx, every) })
	command.Flags().DurationVar(&every, "interval", every, "how often to look even if the kernel tells of no change; legacy iptables never tells")
	return command
}

func (o *options) run(ctx context.Context, every time.Duration) error {
	unlock, err := o.alone()
	if err != nil {
		return err
	}
	defer unlock()
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	// Polling goes on without: nothing may keep this process from enforcing.
	changes, err := routes.Watch(ctx.Done())
	if err != nil {
		o.log.Error("changes in the kernel are noticed by polling only", "reason", err.Error())
	}
	// bpm makes the directory root's alone at each start; the prober, which is not root, reads the status.
	if err := os.Chmod(filepath.Dir(o.status), 0o755); err != nil {
		o.log.Error("the status cannot be read by others", "reason", err.Error())
	}
	kept := false
	subject := o.enforcer(o.source().Load())
	subject.Turn = func(round func(bool)) error {
		return o.turn(ctx, func() error { round(o.decommissioned()); return nil })
	}
	subject.Run(ctx, ticker.C, changes, func(s enforcer.Status) error {
		err := enforcer.WriteStatus(o.status, s)
		if s.Ready() && !kept {
			keeping := o.source().Keep()
			kept = keeping == nil
			err = errors.Join(err, keeping)
		}
		return err
	})
	o.log.Info("ending; what is enforced stays")
	return nil
}

func (o *options) applyCommand() *cobra.Command {
	return subcommand("apply", "Enforce once; what the job does before any other job starts",
		"apply enforces the policy once. With an invalid configuration it enforces the last good one, or denies all\nforwarding, and fails all the same. It ends a decommissioning: who deploys the job wants the VM protected.",
		func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, turnPatience)
			defer cancel()
			return o.turn(ctx, o.apply)
		})
}

func (o *options) apply() error {
	if err := o.files.RemoveAll(o.marker()); err != nil {
		return fmt.Errorf("ending the decommissioning: %w", err)
	}
	status := o.enforcer(o.source().Load()).RunOnce()
	if !status.Ready() {
		return fmt.Errorf("the configured policy is not enforced (enforced instead: %s):\n%s",
			status.Configuration, strings.Join(status.Problems, "\n"))
	}
	if err := o.source().Keep(); err != nil {
		return err
	}
	if unit := o.unit(); unit.Possible() {
		program, err := os.Executable()
		if err != nil {
			return fmt.Errorf("finding this program: %w", err)
		}
		return unit.Install(program, o.config)
	}
	return nil
}

func (o *options) bootCommand() *cobra.Command {
	return subcommand("boot", "Enforce before the network is up; what the boot unit does",
		"boot puts up the rules and the IPsec blocks, and nothing that opens a way: no route, no forwarding. The unit\nthat runs it is written by apply on VMs that boot by systemd.", o.boot)
}

func (o *options) boot(context.Context) error {
	loaded := o.source().Load()
	var failed []error
	for _, layer := range []enforcer.Layer{o.rules(), routes.Blocks{}} {
		if err := layer.Apply(loaded.Policy); err != nil {
			failed = append(failed, fmt.Errorf("applying the %s: %w", layer.Name(), err))
		}
	}
	if loaded.Origin == enforcer.OriginDenied {
		failed = append(failed, errors.New("all forwarding is denied: "+strings.Join(loaded.Problems, "\n")))
	}
	return errors.Join(failed...)
}

func (o *options) checkCommand() *cobra.Command {
	return subcommand("check", "Say in what the kernel differs from the policy; exit 1 if it does",
		"check compares the kernel with the policy and changes nothing.", func(context.Context) error {
			found, err := o.enforcer(o.source().Load()).Check()
			if err != nil {
				return err
			}
			if len(found) > 0 {
				return errors.New(strings.Join(found, "\n"))
			}
			fmt.Fprintln(o.out, "The kernel is as the policy says.")
			return nil
		})
}

func (o *options) statusCommand() *cobra.Command {
	asJSON := false
	command := subcommand("status", "Say what is enforced, since when and how often it was repaired",
		"status prints what the running enforcer last told; exit 1 if the policy is not enforced.", func(context.Context) error {
			s, err := enforcer.ReadStatus(o.files, o.status)
			if err != nil {
				return err
			}
			if asJSON {
				encoder := json.NewEncoder(o.out)
				encoder.SetIndent("", "  ")
				if err := encoder.Encode(s); err != nil {
					return fmt.Errorf("printing the status: %w", err)
				}
			} else {
				o.print(s)
			}
			if !s.Enforced {
				return errors.New("the policy is not enforced")
			}
			return nil
		})
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

func (o *options) print(s enforcer.Status) {
	since := "not enforced"
	if !s.Since.IsZero() {
		since = s.Since.Format(time.RFC3339)
	}
	for _, line := range [][2]string{
		{"role", string(s.Role)},
		{"backend", s.Backend},
		{"configuration", string(s.Configuration)},
		{"enforced since", since},
		{"last checked", s.Checked.Format(time.RFC3339)},
		{"repairs", fmt.Sprint(s.Repairs)},
		{"packets dropped", fmt.Sprint(s.Dropped)},
	} {
		fmt.Fprintf(o.out, "%-16s %s\n", line[0], line[1])
	}
	for _, problem := range s.Problems {
		fmt.Fprintln(o.out, "problem: "+problem)
	}
}

func (o *options) readyCommand() *cobra.Command {
	timeout := time.Minute
	command := subcommand("ready", "Wait until the running enforcer says that the configured policy is enforced",
		"ready is what the job's post-start waits for. A status from before is not taken for an answer.", func(ctx context.Context) error {
			began := time.Now()
			for {
				s, err := enforcer.ReadStatus(o.files, o.status)
				if err == nil && s.Ready() && s.Checked.After(began) {
					return nil
				}
				if time.Since(began) > timeout {
					if err != nil {
						return err
					}
					return fmt.Errorf("after %s the configured policy is not enforced:\n%s", timeout, strings.Join(s.Problems, "\n"))
				}
				time.Sleep(interval / 5)
			}
		})
	command.Flags().DurationVar(&timeout, "timeout", timeout, "how long to wait")
	return command
}
