package compile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sandbox is where one packaging script runs: a network namespace without any link, and a mount
// namespace whose /var holds nothing but what a compilation VM has.
type sandbox struct {
	name           string
	source, target string
	dependencies   map[string]string // compiled packages by name
}

// run executes the packaging script; what it prints goes to the log, and its end into the error.
func (s sandbox) run(ctx context.Context, log string) error {
	out, err := os.Create(log)
	if err != nil {
		return fmt.Errorf("making the log: %w", err)
	}
	defer out.Close()
	done := make(chan error)
	go func() {
		// The thread is in other namespaces from here on. It is never unlocked, so Go ends it with
		// the goroutine and no other code runs in them.
		runtime.LockOSThread()
		if err := s.enter(); err != nil {
			done <- fmt.Errorf("entering the sandbox (it needs root): %w", err)
			return
		}
		done <- s.script(ctx, out).Run()
	}()
	if err := <-done; err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			return err
		}
		return fmt.Errorf("its packaging script: %w; the end of %s:\n%s", err, log, tail(log))
	}
	return nil
}

// script is the command that BOSH's agent runs, in an environment as bare as the agent's.
func (s sandbox) script(ctx context.Context, out *os.File) *exec.Cmd {
	command := exec.CommandContext(ctx, "/bin/bash", "-x", "packaging")
	command.Dir = s.compileDir()
	command.Stdout, command.Stderr = out, out
	command.Env = []string{
		"PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
		"BOSH_COMPILE_TARGET=" + s.compileDir(),
		"BOSH_INSTALL_TARGET=" + packageDir(s.name),
		"BOSH_PACKAGE_NAME=" + s.name,
	}
	// It ends with us, and the compilers that it started end with it.
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	command.WaitDelay = 5 * time.Second
	return command
}

func (s sandbox) compileDir() string { return "/var/vcap/data/compile/" + s.name }
func packageDir(name string) string  { return "/var/vcap/packages/" + name }

// binds maps each place in the sandbox to the directory that is seen there.
func (s sandbox) binds() map[string]string {
	out := map[string]string{s.compileDir(): s.source, packageDir(s.name): s.target}
	for name, dir := range s.dependencies {
		out[packageDir(name)] = dir
	}
	return out
}

// enter moves the calling thread into the sandbox. A tmpfs over /var means that no mount point is ever
// made on the machine's own disk; the directories to bind are opened before, as they may lie below it.
func (s sandbox) enter() error {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unsharing namespaces: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("making the mounts private: %w", err)
	}
	opened := map[string]int{}
	for place, dir := range s.binds() {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("opening %s: %w", dir, err)
		}
		defer unix.Close(fd)
		opened[place] = fd
	}
	if err := unix.Mount("tmpfs", "/var", "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mounting a tmpfs on /var: %w", err)
	}
	if err := os.MkdirAll("/var/tmp", 0o1777); err != nil {
		return fmt.Errorf("making /var/tmp: %w", err)
	}
	for place, fd := range opened {
		if err := os.MkdirAll(place, 0o755); err != nil {
			return fmt.Errorf("making %s: %w", place, err)
		}
		if err := unix.Mount(fmt.Sprintf("/proc/self/fd/%d", fd), place, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("binding %s: %w", place, err)
		}
	}
	// One packaging script must not change another's cached result.
	for name := range s.dependencies {
		if err := unix.Mount("", packageDir(name), "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("protecting package %s: %w", name, err)
		}
	}
	return nil
}

// tail returns the last lines of a log, for an error message.
func tail(log string) string {
	data, err := os.ReadFile(log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}
