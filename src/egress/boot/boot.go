// Package boot puts up a systemd unit that enforces before the network is up.
//
// After a reboot BOSH runs no pre-start, and the job's process only once the agent has mounted the disks and
// started monit. Until then the unit's rules stand: they let nothing pass to or from a private network, because
// the routes of the enforcer are not there yet, and forwarding on a gateway is off. The enforcer's first look
// replaces them as a whole.
//
// The unit, the program and the configuration lie on the root disk, for /var/vcap/jobs and /var/vcap/packages
// may not be mounted yet. They hold no secret. Whatever becomes of the unit, nothing waits for it longer than
// its timeout, and nothing requires it.
package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"privnet/atomicfile"
)

const (
	directory = "var/lib/egress-enforcer"
	unit      = "etc/systemd/system/egress-enforcer-boot.service"
	wanted    = "etc/systemd/system/sysinit.target.wants/egress-enforcer-boot.service"
)

// signs are what a BOSH VM that boots by systemd has, and neither a container nor the lab.
var signs = []string{"run/systemd/system", "var/vcap/bosh/agent.json"}

const text = `# Written by the pre-start of the BOSH job egress-enforcer; egress-enforcer decommission removes it.
[Unit]
Description=Deny an org's private networks until egress-enforcer runs
DefaultDependencies=no
After=systemd-remount-fs.service systemd-modules-load.service
# If they are there: what loads somebody's rules may begin by flushing all.
After=nftables.service netfilter-persistent.service ufw.service
Before=network-pre.target
Wants=network-pre.target
Conflicts=shutdown.target
Before=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/var/lib/egress-enforcer/egress-enforcer boot --config /var/lib/egress-enforcer/enforcer.json --state-dir /run/egress-enforcer
TimeoutStartSec=20

[Install]
WantedBy=sysinit.target
`

// Unit is the boot unit of a VM.
type Unit struct {
	// Root is the VM's root directory.
	Root string
}

// Possible says whether this is a VM that the unit is for.
func (u Unit) Possible() bool {
	for _, sign := range signs {
		if _, err := os.Stat(u.path(sign)); err != nil {
			return false
		}
	}
	return true
}

// Install writes what the unit needs and then the unit, each file as a whole. What is there already stays.
func (u Unit) Install(program, config string) error {
	// What runs the unit must be there before it is.
	for _, file := range []struct {
		from, to string
		mode     fs.FileMode
	}{
		{program, filepath.Join(directory, "egress-enforcer"), 0o755},
		{config, filepath.Join(directory, "enforcer.json"), 0o640},
	} {
		data, err := os.ReadFile(file.from)
		if err != nil {
			return fmt.Errorf("installing the boot unit: %w", err)
		}
		if err := u.write(file.to, data, file.mode); err != nil {
			return err
		}
	}
	if err := u.write(unit, []byte(text), 0o644); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(u.path(wanted)), 0o755); err != nil {
		return fmt.Errorf("enabling the boot unit: %w", err)
	}
	if err := os.Symlink("/"+unit, u.path(wanted)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("enabling the boot unit: %w", err)
	}
	return nil
}

// Remove takes all of it away, the link that enables the unit first.
func (u Unit) Remove() error {
	for _, name := range []string{wanted, unit, directory} {
		if err := os.RemoveAll(u.path(name)); err != nil {
			return fmt.Errorf("removing the boot unit: %w", err)
		}
	}
	return nil
}

func (u Unit) path(name string) string { return filepath.Join(u.Root, name) }

func (u Unit) write(name string, data []byte, mode fs.FileMode) error {
	path := u.path(name)
	if present, err := os.ReadFile(path); err == nil && bytes.Equal(present, data) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("installing the boot unit: %w", err)
	}
	return atomicfile.Write(path, data, mode)
}
