package iptables

import (
	"fmt"
	"time"

	"github.com/cloudfoundry/bosh-utils/system"
)

// Impatient runs commands that must not take longer than Limit: a program that hangs would keep everything
// else from being repaired. It is killed with what it has started.
type Impatient struct {
	system.CmdRunner
	Limit time.Duration
}

// RunComplexCommand is the runner's own, in time.
func (r Impatient) RunComplexCommand(c system.Command) (stdout, stderr string, exitStatus int, err error) {
	process, err := r.RunComplexCommandAsync(c)
	if err != nil {
		return "", "", -1, err
	}
	done := process.Wait()
	select {
	case result := <-done:
		return result.Stdout, result.Stderr, result.ExitStatus, result.Error
	case <-time.After(r.Limit):
	}
	if err := process.TerminateNicely(time.Millisecond); err != nil {
		return "", "", -1, fmt.Errorf("%s takes longer than %s, and killing it failed: %w", c.Name, r.Limit, err)
	}
	return "", "", -1, fmt.Errorf("%s took longer than %s and was killed", c.Name, r.Limit)
}

// RunCommandQuietly is RunComplexCommand without echo.
func (r Impatient) RunCommandQuietly(name string, args ...string) (stdout, stderr string, exitStatus int, err error) {
	return r.RunComplexCommand(system.Command{Name: name, Args: args, Quiet: true})
}
