// Package host runs the lab's machines. A machine is a tree of processes in mount, network, PID, UTS
// and IPC namespaces of its own, with a root directory of its own: /etc, /var, /tmp and /run are
// private, /usr is the machine's that the lab runs on, read-only.
//
// It is no container: it shares the kernel, the users and /dev. Nothing of a host outlives its first
// process, so that ending that one ends all of it, also after a crash of whoever started it.
package host

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// Mark is the environment variable by which every process of a lab is found again; its value is
	// the lab's directory.
	Mark = "PRIVNET_LAB"

	nameMark  = "PRIVNET_LAB_HOST"
	orderMark = "PRIVNET_LAB_ORDER"
)

// Host is a running machine.
type Host struct {
	Name string
	// PID is that of its first process, as the machine that the lab runs on counts.
	PID int
}

// Mount is a directory of the machine that the lab runs on, as a host sees it: read-only.
type Mount struct {
	Source, Target string
}

// Disk is the root directory of a host, seen from outside; it is there also when the host is not.
func Disk(dir, name string) string { return filepath.Join(dir, "hosts", name, "root") }

// Start makes a host, whose disk must not exist yet, and returns when its namespaces are ready. The
// program that calls it must call InitIfAsked first of all.
func Start(ctx context.Context, dir, name string, mounts ...Mount) (Host, error) {
	disk := Disk(dir, name)
	if err := makeDisk(ctx, disk); err != nil {
		return Host{}, fmt.Errorf("making the disk of %s: %w", name, err)
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return Host{}, fmt.Errorf("making a pipe: %w", err)
	}
	defer reader.Close()
	order, err := json.Marshal(order{disk, name, mounts})
	if err != nil {
		return Host{}, fmt.Errorf("starting the host %s: %w", name, err)
	}
	// Not CommandContext: the host outlives the command that starts it.
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = []string{"privnet-lab-host", name}
	cmd.Env = []string{Mark + "=" + dir, nameMark + "=" + name, orderMark + "=" + string(order), "PATH=/usr/sbin:/usr/bin"}
	cmd.ExtraFiles = []*os.File{writer}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
	}
	err = cmd.Start()
	writer.Close()
	if err != nil {
		return Host{}, fmt.Errorf("starting the host %s: %w", name, err)
	}
	h := Host{Name: name, PID: cmd.Process.Pid}
	answer := make([]byte, 1024)
	if n, _ := reader.Read(answer); string(answer[:n]) != ready {
		_ = cmd.Wait()
		return Host{}, fmt.Errorf("starting the host %s: %s", name, answer[:n])
	}
	go func() { _ = cmd.Wait() }()
	return h, nil
}

// network is the host's network namespace. It has no name in /run/netns: that would be the machine's, not the
// lab's, and one that is not removed would be in the next lab's way.
func (h Host) network() string { return fmt.Sprintf("/proc/%d/ns/net", h.PID) }

// Root is the host's root directory as a short path that holds while the host runs.
func (h Host) Root() string { return fmt.Sprintf("/proc/%d/root", h.PID) }

// Command is a command that runs in the host, as root.
func (h Host) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	enter := append([]string{"-t", strconv.Itoa(h.PID), "-m", "-n", "-p", "-u", "-i", "--", name}, args...)
	cmd := exec.CommandContext(ctx, "nsenter", enter...)
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
		"TERM=" + os.Getenv("TERM"),
	}
	// What runs on in the background lets go of the output only once it had its turn.
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// NetworkCommand is a command that runs in the host's network only, and so has this machine's files
// and takes signals directly. It is marked as the lab's.
func (h Host) NetworkCommand(dir, name string, args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--net=" + h.network(), "--", name}, args...)...)
	cmd.Env = append(os.Environ(), Mark+"="+dir)
	return cmd
}

// Run runs a command in the host. An error carries what the command wrote.
func (h Host) Run(ctx context.Context, name string, args ...string) (string, error) {
	out, err := h.Command(ctx, name, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("running %s in %s: %w: %s", name, h.Name, err, bytes.TrimSpace(out))
	}
	return string(out), nil
}

// Spawn leaves a command running in the host; what it writes goes to a file there.
func (h Host) Spawn(ctx context.Context, log, name string, args ...string) error {
	const detach = `log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 &`
	_, err := h.Run(ctx, "sh", append([]string{"-c", detach, "sh", log, name}, args...)...)
	return err
}

// Dial opens a connection from inside the host's network. The address must not need a resolver.
func (h Host) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.within(func() error {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// within calls f on a thread that is in the host's network. A socket stays in the network in which
// it was made.
func (h Host) within(f func() error) error {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return fmt.Errorf("finding the own network: %w", err)
	}
	defer own.Close()
	other, err := os.Open(h.network())
	if err != nil {
		return fmt.Errorf("finding the network of %s: %w", h.Name, err)
	}
	defer other.Close()
	if err := unix.Setns(int(other.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering the network of %s: %w", h.Name, err)
	}
	defer func() {
		// A thread that cannot go back stays locked, and so ends with its goroutine.
		if unix.Setns(int(own.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}

// Wire makes a cable between two hosts, without touching any other network.
func Wire(ctx context.Context, a Host, interfaceA string, b Host, interfaceB string) error {
	out, err := exec.CommandContext(ctx, "ip", "link", "add", interfaceA, "netns", strconv.Itoa(a.PID),
		"type", "veth", "peer", "name", interfaceB, "netns", strconv.Itoa(b.PID)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("wiring %s to %s: %w: %s", a.Name, b.Name, err, bytes.TrimSpace(out))
	}
	return nil
}

// Find lists the running hosts of the lab in dir, by name.
func Find(dir string) ([]Host, error) {
	var out []Host
	err := eachMarked(func(pid int, environment map[string]string) {
		if name := environment[nameMark]; environment[Mark] == dir && name != "" {
			out = append(out, Host{Name: name, PID: pid})
		}
	})
	sort.Slice(out, func(i, j int) bool { return out[i].Name < out[j].Name })
	return out, err
}

// EndAll ends every process of the lab in dir and removes its hosts' disks. It needs no record of what was
// started, and may be repeated.
func EndAll(ctx context.Context, dir string) error {
	for {
		var left []int
		err := eachMarked(func(pid int, environment map[string]string) {
			if environment[Mark] == dir && pid != os.Getpid() {
				left = append(left, pid)
			}
		})
		if err != nil {
			return fmt.Errorf("finding the lab's processes: %w", err)
		}
		if len(left) == 0 {
			break
		}
		for _, pid := range left {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("ending the processes %v: %w", left, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "hosts")); err != nil {
		return fmt.Errorf("removing the hosts' disks: %w", err)
	}
	return nil
}

// End ends one host of the lab in dir, with all that it runs, and removes its disk.
func (h Host) End(ctx context.Context, dir string) error {
	_ = unix.Kill(h.PID, unix.SIGKILL)
	for unix.Kill(h.PID, 0) == nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("ending the host %s: %w", h.Name, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	if err := os.RemoveAll(filepath.Dir(Disk(dir, h.Name))); err != nil {
		return fmt.Errorf("removing the disk of %s: %w", h.Name, err)
	}
	return nil
}

func eachMarked(f func(pid int, environment map[string]string)) error {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return err
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err != nil || !bytes.Contains(data, []byte(Mark+"=")) {
			continue
		}
		environment := map[string]string{}
		for _, line := range strings.Split(string(data), "\x00") {
			if key, value, ok := strings.Cut(line, "="); ok {
				environment[key] = value
			}
		}
		f(pid, environment)
	}
	return nil
}
