// Package vm puts jobs on the lab's hosts and starts them as a BOSH agent does: every pre-start, then
// monit with the jobs' own monit files, then every post-start. Before it changes them it drains and stops them.
package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"time"

	"privnet/lab/host"
)

// vcap is the group that may read a job's files.
const vcap = 1000

// Patience is how long monit may take to say that everything runs.
const Patience = time.Minute

// Tools is where a host finds the lab's own program.
const Tools = "/opt/lab"

const monitrc = "/var/vcap/monit/monitrc"

// monitConfig is the one of BOSH's agent, in as far as Debian's monit needs it.
const monitConfig = `set daemon 1
set pidfile /var/vcap/monit/monit.pid
set statefile /var/vcap/monit/state
set idfile /var/vcap/monit/id
set logfile /var/vcap/monit/monit.log
set httpd port 2822 and use address 127.0.0.1 allow 127.0.0.1
include /var/vcap/monit/job/*.monitrc
`

const bpm = "#!/bin/sh\nexec " + Tools + "/lab bpm \"$@\"\n"

// VM is a host with jobs.
type VM struct {
	host.Host
	Jobs []string
}

// Install writes the jobs' rendered files, by job and by their path in it, onto the host's disk.
func Install(disk string, jobs map[string]map[string][]byte) error {
	root := filepath.Join(disk, "var/vcap")
	files := map[string][]byte{"jobs/bpm/bin/bpm": []byte(bpm)}
	for job, rendered := range jobs {
		for _, d := range []string{"data", "sys/log", "sys/run"} {
			if err := ownedByVcap(filepath.Join(root, d, job), 0o770, os.MkdirAll); err != nil {
				return fmt.Errorf("installing %s: %w", job, err)
			}
		}
		for path, content := range rendered {
			files[filepath.Join("jobs", job, path)] = content
		}
	}
	for path, content := range files {
		mode := os.FileMode(0o640)
		if filepath.Base(filepath.Dir(path)) == "bin" {
			mode = 0o750
		}
		place := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil {
			return fmt.Errorf("installing %s: %w", path, err)
		}
		write := func(name string, mode os.FileMode) error { return os.WriteFile(name, content, mode) }
		if err := ownedByVcap(place, mode, write); err != nil {
			return fmt.Errorf("installing %s: %w", path, err)
		}
	}
	return installMonit(disk, jobs)
}

func installMonit(disk string, jobs map[string]map[string][]byte) error {
	directory := filepath.Join(disk, filepath.Dir(monitrc), "job")
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return fmt.Errorf("installing monit: %w", err)
	}
	files := map[string][]byte{filepath.Join(disk, monitrc): []byte(monitConfig)}
	for job, rendered := range jobs {
		files[filepath.Join(directory, job+".monitrc")] = rendered["monit"]
	}
	for path, content := range files {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return fmt.Errorf("installing monit: %w", err)
		}
	}
	return nil
}

func ownedByVcap(path string, mode os.FileMode, create func(string, os.FileMode) error) error {
	if err := create(path, mode); err != nil {
		return err
	}
	if err := os.Chmod(path, mode); err != nil {
		return err
	}
	return os.Chown(path, 0, vcap)
}

// Start runs the jobs of all VMs.
func Start(ctx context.Context, vms []VM) error {
	if err := each(vms, func(v VM) error { return v.scripts(ctx, "pre-start") }); err != nil {
		return err
	}
	if err := each(vms, func(v VM) error { return v.monit(ctx) }); err != nil {
		return err
	}
	return each(vms, func(v VM) error { return v.scripts(ctx, "post-start") })
}

// Update puts other files of the same jobs on a VM: every drain, monit stops all, and then as Start.
func (v VM) Update(ctx context.Context, disk string, jobs map[string]map[string][]byte) error {
	if err := v.scripts(ctx, "drain"); err != nil {
		return err
	}
	if _, err := v.Run(ctx, "monit", "-c", monitrc, "stop", "all"); err != nil {
		return err
	}
	if err := v.await(ctx, "Not monitored"); err != nil {
		return err
	}
	// It reads the jobs' files anew, and starts them all, not as they were left.
	const quit = "cd /var/vcap/monit; monit -c " + monitrc + " quit; while [ -e monit.pid ]; do sleep 0.1; done; rm -f state"
	if _, err := v.Run(ctx, "sh", "-c", quit); err != nil {
		return err
	}
	if err := Install(disk, jobs); err != nil {
		return err
	}
	return Start(ctx, []VM{v})
}

func each[T any](of []T, f func(T) error) error {
	errs := make([]error, len(of))
	var group sync.WaitGroup
	for i, element := range of {
		group.Go(func() { errs[i] = f(element) })
	}
	group.Wait()
	return errors.Join(errs...)
}

// scripts runs a script of every job that has it, at the same time, as BOSH does.
func (v VM) scripts(ctx context.Context, name string) error {
	return each(v.Jobs, func(job string) error {
		script := filepath.Join("/var/vcap/jobs", job, "bin", name)
		if _, err := os.Stat(filepath.Join(v.Root(), script)); os.IsNotExist(err) {
			return nil
		}
		out, err := v.Run(ctx, script)
		log := filepath.Join(v.Root(), "/var/vcap/sys/log", job, name+".log")
		return errors.Join(err, os.WriteFile(log, []byte(out), 0o600))
	})
}

func (v VM) monit(ctx context.Context) error {
	if len(v.Jobs) == 0 {
		return nil
	}
	if _, err := v.Run(ctx, "monit", "-c", monitrc); err != nil {
		return err
	}
	return v.await(ctx, "OK")
}

// await waits until monit says the same of every process.
func (v VM) await(ctx context.Context, status string) error {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	for {
		summary, processes, err := v.Summary(ctx)
		if err == nil && !slices.ContainsFunc(processes, func(p Process) bool { return p.Status != status }) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("monit in %s does not say within %s that every process is %s:\n%s", v.Name, Patience, status, summary)
		case <-time.After(300 * time.Millisecond):
		}
	}
}

// Process is what monit says of one process.
type Process struct {
	Name, Status string
}

var processLine = regexp.MustCompile(`(?m)^\s*(\S+)\s+(\S.*?)\s+Process\s*$`)

// Summary is monit's own, and what it says of each process.
func (v VM) Summary(ctx context.Context) (summary string, processes []Process, err error) {
	summary, err = v.Run(ctx, "monit", "-c", monitrc, "-B", "summary")
	for _, m := range processLine.FindAllStringSubmatch(summary, -1) {
		processes = append(processes, Process{m[1], m[2]})
	}
	return summary, processes, err
}
