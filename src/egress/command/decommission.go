package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"privnet/atomicfile"
	"privnet/egress"
)

// turnPatience is how long a command waits for its turn: a round takes that long only if every program hangs.
const turnPatience = 90 * time.Second

func (o *options) decommissionCommand() *cobra.Command {
	name := ""
	command := subcommand("decommission", "Remove every rule, route and setting, and leave the VM as it was found",
		`decommission ends the protection of this VM. A running enforcer notices and leaves the VM alone from then on,
also after a restart or a reboot, until the job is deployed again: then apply, which the job's pre-start runs,
protects it anew. If decommission is ended before its end, a running enforcer puts everything back.`,
		func(ctx context.Context) error {
			ctx, cancel := context.WithTimeout(ctx, turnPatience)
			defer cancel()
			return o.turn(ctx, func() error { return o.decommission(name) })
		})
	command.Flags().StringVar(&name, "confirm", "", "what is to be without protection: the org's name, or shared-cell on a shared cell")
	return command
}

// decommission leaves the mark last: whatever ends it before, the VM is still to be protected.
func (o *options) decommission(confirmed string) error {
	loaded := o.source().Load()
	if name := protected(loaded.Policy); confirmed != name {
		return fmt.Errorf("decommissioning: confirm: %q is not what this VM protects; to take all protection away, confirm %q", confirmed, name)
	}
	if err := o.enforcer(loaded).Remove(); err != nil {
		return err
	}
	if err := o.unit().Remove(); err != nil {
		return err
	}
	for _, file := range []string{o.source().LastGood, o.source().Withdrawn, o.status} {
		if err := o.files.RemoveAll(file); err != nil {
			return fmt.Errorf("removing %s: %w", file, err)
		}
	}
	if err := atomicfile.Write(o.marker(), []byte(time.Now().UTC().Format(time.RFC3339)+"\n"), 0o640); err != nil {
		return fmt.Errorf("marking the VM as decommissioned, without which it is protected again: %w", err)
	}
	fmt.Fprintln(o.out, "Nothing is enforced on this VM any more, until the job is deployed again.")
	return nil
}

// protected names what a policy is for.
func protected(p egress.Policy) string {
	switch {
	case p.Role == egress.RoleDenied:
		return "unknown"
	case p.Connection.Org != "":
		return p.Connection.Org
	default:
		return string(p.Role)
	}
}

// marker is the file that says that the VM was decommissioned. It survives a reboot and not a recreation.
func (o *options) marker() string { return filepath.Join(o.state, "decommissioned") }

func (o *options) decommissioned() bool { return o.files.FileExists(o.marker()) }

// alone keeps a second enforcer away from this VM. It ends with the process.
func (o *options) alone() (unlock func(), err error) {
	unlock, err = o.lock("lock")
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("another egress-enforcer runs on this VM; stop it first (monit stop egress-enforcer): %w", err)
	}
	return unlock, err
}

// turn does some work on the kernel while nobody else of us does any. It waits for that until the context ends.
func (o *options) turn(ctx context.Context, work func() error) error {
	for {
		unlock, err := o.lock("turn")
		switch {
		case err == nil:
			defer unlock()
			return work()
		case !errors.Is(err, unix.EWOULDBLOCK) || ctx.Err() != nil:
			return fmt.Errorf("waiting for another egress-enforcer's round to end: %w", err)
		}
		time.Sleep(interval / 50)
	}
}

// lock locks a file of the state directory, or fails at once. It ends with the process.
func (o *options) lock(name string) (unlock func(), err error) {
	if err := o.files.MkdirAll(o.state, 0o750); err != nil {
		return nil, fmt.Errorf("creating the state directory: %w", err)
	}
	path := filepath.Join(o.state, name)
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return nil, fmt.Errorf("locking: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		file.Close()
		return nil, fmt.Errorf("locking %s: %w", path, err)
	}
	return func() { file.Close() }, nil
}
