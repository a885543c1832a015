package host

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const ready = "ready"

// vcap is the user of BOSH's unprivileged processes, with the IDs that a stemcell gives it.
const (
	vcapUser  = "vcap:x:1000:1000:BOSH System User:/home/vcap:/bin/bash"
	vcapGroup = "vcap:x:1000:"
)

// makeDisk makes what a host's root directory holds of its own.
func makeDisk(ctx context.Context, disk string) error {
	for _, d := range []string{
		"dev", "home/vcap", "opt", "proc", "root", "run", "sys", "tmp", "usr", "var/lib", "var/log/lab", "var/tmp",
		"var/vcap/data", "var/vcap/jobs", "var/vcap/packages", "var/vcap/store", "var/vcap/sys/log", "var/vcap/sys/run",
	} {
		if err := os.MkdirAll(filepath.Join(disk, d), 0o755); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{
		"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "var/run": "/run", "var/lock": "/run/lock",
	} {
		if err := os.Symlink(target, filepath.Join(disk, name)); err != nil {
			return err
		}
	}
	if out, err := exec.CommandContext(ctx, "cp", "-a", "/etc", disk).CombinedOutput(); err != nil {
		return fmt.Errorf("copying /etc: %w: %s", err, out)
	}
	for file, line := range map[string]string{"etc/passwd": vcapUser, "etc/group": vcapGroup} {
		if err := replaceID(filepath.Join(disk, file), line); err != nil {
			return err
		}
	}
	return nil
}

// replaceID puts a line into a passwd or group file, in the place of whoever has the same ID.
func replaceID(file, line string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	id := strings.Split(line, ":")[2]
	var lines []string
	for _, known := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		if fields := strings.Split(known, ":"); len(fields) > 2 && fields[2] != id {
			lines = append(lines, known)
		}
	}
	return os.WriteFile(file, []byte(strings.Join(append(lines, line), "\n")+"\n"), 0o644)
}

// order is what Start tells the first process of a host.
type order struct {
	Disk, Hostname string
	Mounts         []Mount
}

// InitIfAsked returns at once, unless Start started this program: then it is the first process of a
// host, and does not return. It makes the disk the root directory, says on file descriptor 3 how that
// went, and then only reaps orphans until it is killed.
func InitIfAsked() {
	text, asked := os.LookupEnv(orderMark)
	if !asked {
		return
	}
	answer := os.NewFile(3, "answer")
	var o order
	err := json.Unmarshal([]byte(text), &o)
	if err == nil {
		err = enterDisk(o.Disk, o.Hostname, o.Mounts)
	}
	if err != nil {
		fmt.Fprint(answer, err)
		os.Exit(1)
	}
	children := make(chan os.Signal, 1)
	signal.Notify(children, unix.SIGCHLD)
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGPIPE)
	fmt.Fprint(answer, ready)
	answer.Close()
	for range children {
		for {
			if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

func enterDisk(disk, hostname string, mounts []Mount) error {
	if err := unix.Sethostname([]byte(hostname)); err != nil {
		return fmt.Errorf("setting the hostname: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("making the mounts private: %w", err)
	}
	if err := bind(disk, disk, 0); err != nil {
		return err
	}
	if err := bind("/usr", filepath.Join(disk, "usr"), unix.MS_RDONLY); err != nil {
		return err
	}
	if err := bind("/dev", filepath.Join(disk, "dev"), 0); err != nil {
		return err
	}
	for _, m := range mounts {
		target := filepath.Join(disk, m.Target)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := bind(m.Source, target, unix.MS_RDONLY); err != nil {
			return err
		}
	}
	for _, m := range []struct{ kind, target, options string }{
		{"proc", "proc", ""}, {"sysfs", "sys", ""}, {"tmpfs", "run", "mode=755"},
	} {
		if err := unix.Mount(m.kind, filepath.Join(disk, m.target), m.kind, unix.MS_NOSUID, m.options); err != nil {
			return fmt.Errorf("mounting /%s: %w", m.target, err)
		}
	}
	if err := os.Chdir(disk); err != nil {
		return err
	}
	// The new root is put over the old one, which is then beneath and can be let go.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("changing the root directory: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("leaving the old root directory: %w", err)
	}
	if err := os.Mkdir("/run/lock", 0o1777); err != nil {
		return err
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("raising lo: %w: %s", err, out)
	}
	return nil
}

func bind(source, target string, flags uintptr) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("mounting %s: %w", source, err)
	}
	if flags != 0 {
		if err := unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|flags, ""); err != nil {
			return fmt.Errorf("remounting %s: %w", target, err)
		}
	}
	return nil
}
