// Package bpm stands in for bpm-release's bpm on the lab's hosts: it starts and stops the processes of
// a job by the job's own bpm.yml, with bpm's paths, user, environment, capabilities and log files.
//
// It isolates nothing: there is no container, no private /dev and no memory or process limit. A field
// that it does not know is refused, so that a bpm.yml is not half obeyed.
package bpm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"gopkg.in/yaml.v3"
)

// Grace is how long a process may take to end after SIGTERM, as in bpm.
const Grace = 20 * time.Second

// vcap is the user and the group of unprivileged processes.
const vcap = 1000

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Process is one entry of bpm.yml.
type Process struct {
	Name              string            `yaml:"name"`
	Executable        string            `yaml:"executable"`
	Args              []string          `yaml:"args"`
	Env               map[string]string `yaml:"env"`
	Workdir           string            `yaml:"workdir"`
	Capabilities      []string          `yaml:"capabilities"`
	EphemeralDisk     bool              `yaml:"ephemeral_disk"`
	PersistentDisk    bool              `yaml:"persistent_disk"`
	AdditionalVolumes []Volume          `yaml:"additional_volumes"`
	Limits            struct {
		Memory    string `yaml:"memory"`
		OpenFiles uint64 `yaml:"open_files"`
		Processes int64  `yaml:"processes"`
	} `yaml:"limits"`
	Unsafe struct {
		Privileged          bool     `yaml:"privileged"`
		HostPidNamespace    bool     `yaml:"host_pid_namespace"`
		UnrestrictedVolumes []Volume `yaml:"unrestricted_volumes"`
	} `yaml:"unsafe"`
}

// Volume is a directory or file that a process sees.
type Volume struct {
	Path            string `yaml:"path"`
	Writable        bool   `yaml:"writable"`
	MountOnly       bool   `yaml:"mount_only"`
	AllowExecutions bool   `yaml:"allow_executions"`
	Shared          bool   `yaml:"shared"`
}

// volumeRoots are where additional_volumes may lie.
var volumeRoots = []string{"/var/vcap/data/", "/var/vcap/store/", "/var/vcap/sys/run/"}

// Parse reads the processes of a bpm.yml and checks what bpm checks.
func Parse(data []byte) ([]Process, error) {
	var config struct {
		Processes []Process `yaml:"processes"`
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	decoder.KnownFields(true)
	if err := decoder.Decode(&config); err != nil {
		return nil, fmt.Errorf("parsing bpm.yml: %w", err)
	}
	for _, p := range config.Processes {
		switch {
		case p.Name == "":
			return nil, errors.New("bpm.yml: a process has no name")
		case !filepath.IsAbs(p.Executable):
			return nil, fmt.Errorf("bpm.yml: process %s: executable %q is no absolute path", p.Name, p.Executable)
		}
		for _, v := range p.AdditionalVolumes {
			if !slices.ContainsFunc(volumeRoots, func(root string) bool { return strings.HasPrefix(filepath.Clean(v.Path), root) }) {
				return nil, fmt.Errorf("bpm.yml: process %s: additional volume %q is not below one of %s", p.Name, v.Path, strings.Join(volumeRoots, ", "))
			}
		}
	}
	return config.Processes, nil
}

// BPM runs the jobs of one host. Root is the directory that stands for /.
type BPM struct {
	Root string
}

func (b BPM) at(parts ...string) string { return filepath.Join(append([]string{b.Root}, parts...)...) }

func (b BPM) pidFile(job, process string) string {
	return b.at("/var/vcap/sys/run/bpm", job, process+".pid")
}

// PID is the ID of a job's process, or 0 if it does not run.
func (b BPM) PID(job, process string) int {
	data, err := os.ReadFile(b.pidFile(job, process))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 0 || unix.Kill(pid, 0) != nil {
		return 0
	}
	return pid
}

// Start starts a job's process, unless it runs already, and leaves it running.
func (b BPM) Start(job, process string) error {
	unlock, err := b.lock(job, process)
	if err != nil {
		return err
	}
	defer unlock()
	if b.PID(job, process) != 0 {
		return nil
	}
	data, err := os.ReadFile(b.at("/var/vcap/jobs", job, "config/bpm.yml"))
	if err != nil {
		return fmt.Errorf("reading the job's configuration: %w", err)
	}
	processes, err := Parse(data)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(processes, func(p Process) bool { return p.Name == process })
	if i < 0 {
		return fmt.Errorf("bpm.yml of %s has no process %s", job, process)
	}
	p := processes[i]
	if err := b.makeDirectories(job, p); err != nil {
		return fmt.Errorf("making the directories of %s: %w", process, err)
	}
	cmd, err := b.command(job, p)
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", process, err)
	}
	return os.WriteFile(b.pidFile(job, process), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o644)
}

// Stop ends a job's process and all that it started, if it runs.
func (b BPM) Stop(job, process string) error {
	unlock, err := b.lock(job, process)
	if err != nil {
		return err
	}
	defer unlock()
	if pid := b.PID(job, process); pid != 0 {
		_ = unix.Kill(pid, unix.SIGTERM)
		for end := time.Now().Add(Grace); unix.Kill(pid, 0) == nil && time.Now().Before(end); {
			time.Sleep(50 * time.Millisecond)
		}
		_ = unix.Kill(-pid, unix.SIGKILL)
	}
	if err := os.Remove(b.pidFile(job, process)); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("removing the pid file: %w", err)
	}
	return nil
}

// lock keeps two calls for one process apart: monit does not wait for a stop before a start.
func (b BPM) lock(job, process string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(b.pidFile(job, process)), 0o755); err != nil {
		return nil, fmt.Errorf("locking %s: %w", process, err)
	}
	file, err := os.OpenFile(b.at("/var/vcap/sys/run/bpm", job, process+".lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking %s: %w", process, err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return nil, fmt.Errorf("locking %s: %w", process, err)
	}
	return func() { file.Close() }, nil
}

func (b BPM) makeDirectories(job string, p Process) error {
	directories := []string{b.at("/var/vcap/sys/log", job), b.at("/var/vcap/data", job), b.at("/var/vcap/data", job, "tmp")}
	if p.PersistentDisk {
		directories = append(directories, b.at("/var/vcap/store", job))
	}
	for _, v := range p.AdditionalVolumes {
		if !v.MountOnly {
			directories = append(directories, b.at(v.Path))
		}
	}
	for _, d := range directories {
		if _, err := os.Stat(d); err == nil {
			continue
		}
		if err := os.MkdirAll(d, 0o700); err != nil {
			return err
		}
		if err := os.Chown(d, vcap, vcap); err != nil {
			return err
		}
	}
	for _, v := range p.Unsafe.UnrestrictedVolumes {
		info, err := os.Stat(b.at(v.Path))
		switch {
		case err != nil && !v.MountOnly:
			return fmt.Errorf("unrestricted volume: %w", err)
		case err == nil && info.Mode()&fs.ModeDevice != 0:
			return fmt.Errorf("unrestricted volume: %s is a device, which bpm mounts nodev, so that nobody can open it", v.Path)
		}
	}
	return nil
}

func (b BPM) command(job string, p Process) (*exec.Cmd, error) {
	if info, err := os.Stat(p.Executable); err != nil || info.Mode()&0o111 == 0 {
		return nil, fmt.Errorf("the executable %s of process %s is not there or not executable", p.Executable, p.Name)
	}
	cmd := exec.Command(p.Executable, p.Args...)
	if !p.Unsafe.Privileged {
		// setpriv replaces itself by the executable, so the process keeps the ID that we write down.
		capabilities := "-all"
		for _, c := range p.Capabilities {
			capabilities += ",+" + strings.ToLower(strings.TrimPrefix(c, "CAP_"))
		}
		cmd = exec.Command("setpriv", append([]string{
			"--reuid", strconv.Itoa(vcap), "--regid", strconv.Itoa(vcap), "--clear-groups", "--no-new-privs",
			"--bounding-set", capabilities, "--inh-caps", capabilities, "--ambient-caps", capabilities, "--", p.Executable,
		}, p.Args...)...)
	}
	cmd.Env = []string{
		"TMPDIR=" + b.at("/var/vcap/data", job, "tmp"), "HOME=" + b.at("/var/vcap/data", job), "LANG=en_US.UTF-8", "PATH=" + path,
	}
	for key, value := range p.Env {
		cmd.Env = append(cmd.Env, key+"="+value)
	}
	cmd.Dir = p.Workdir
	if cmd.Dir == "" {
		cmd.Dir = b.at("/var/vcap/jobs", job)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var err error
	if cmd.Stdout, err = b.log(job, p.Name, "stdout"); err != nil {
		return nil, err
	}
	if cmd.Stderr, err = b.log(job, p.Name, "stderr"); err != nil {
		return nil, err
	}
	if n := p.Limits.OpenFiles; n != 0 {
		if err := syscall.Setrlimit(unix.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			return nil, fmt.Errorf("limiting the open files of %s: %w", p.Name, err)
		}
	}
	return cmd, nil
}

func (b BPM) log(job, process, stream string) (*os.File, error) {
	file, err := os.OpenFile(b.at("/var/vcap/sys/log", job, process+"."+stream+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening a log of %s: %w", process, err)
	}
	return file, nil
}
