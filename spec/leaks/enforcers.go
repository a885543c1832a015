package leaks

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// enforced are the hosts with an enforcer.
var enforced = []string{cell, sharedCell, gateway}

// iptablesPrograms are all that the enforcer may call.
var iptablesPrograms = []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"}

// stateSize is that of the disk that an enforcer keeps its state on.
const stateSize = "256k"

// StartEnforcers enforces on all hosts and waits until all is well.
func (w *World) StartEnforcers() error {
	for _, host := range enforced {
		state := w.place(host, "state")
		if err := os.MkdirAll(state, 0o750); err != nil {
			return fmt.Errorf("making the state directory: %w", err)
		}
		if err := syscall.Mount("tmpfs", state, "tmpfs", 0, "size="+stateSize); err != nil {
			return fmt.Errorf("mounting the state directory: %w", err)
		}
		w.stop = append(w.stop, func() { _ = syscall.Unmount(state, syscall.MNT_DETACH) })
		if err := w.installPrograms(host); err != nil {
			return err
		}
		if err := w.configure(host, w.policy(host)); err != nil {
			return err
		}
		if err := w.apply(host); err != nil {
			return err
		}
		if err := w.startEnforcer(host); err != nil {
			return err
		}
	}
	return nil
}

// place is the path of a host's file.
func (w *World) place(host string, name ...string) string {
	return filepath.Join(append([]string{w.dir, host}, name...)...)
}

// installPrograms gives a host's enforcer the programs of iptables.
func (w *World) installPrograms(host string) error {
	variant := "nft"
	if w.Backend == "legacy" {
		variant = "legacy"
	}
	multi, err := exec.LookPath("xtables-" + variant + "-multi")
	if err != nil {
		return fmt.Errorf("finding iptables: %w", err)
	}
	return w.replacePrograms(host, func(path string) error { return os.Symlink(multi, path) })
}

// replacePrograms puts something else in the place of each program of a host.
func (w *World) replacePrograms(host string, put func(path string) error) error {
	for _, name := range iptablesPrograms {
		path := w.place(host, "bin", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			return fmt.Errorf("replacing a program: %w", err)
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("replacing a program: %w", err)
		}
		if err := put(path); err != nil {
			return fmt.Errorf("replacing a program: %w", err)
		}
	}
	return nil
}

// policy is a host's configuration.
func (w *World) policy(host string) map[string]any {
	backend := "iptables"
	if w.Backend == "nftables" {
		backend = "nftables"
	}
	config := map[string]any{"backend": backend, "iptables_bin_dir": w.place(host, "bin")}
	connection := map[string]any{
		"org": "agency-a", "segment": []string{"10.20.0.0/24"}, "private_networks": privateNetworks,
		"gateways": []any{map[string]any{"address": gatewayAddress, "public_address": publicAddress}},
		"routing":  "host",
		"allow": []any{
			map[string]any{"protocol": "tcp", "ports": fmt.Sprint(openPort)},
			map[string]any{"protocol": "udp", "ports": fmt.Sprint(openPort)},
			map[string]any{"protocol": "icmp"},
		},
	}
	switch host {
	case sharedCell:
		config["role"], config["addresses"], config["segments_pool"] = "shared-cell", []string{sharedCellAddress}, []string{"10.20.0.0/16"}
		return config
	case cell:
		config["role"], config["addresses"] = "cell", []string{cellAddress}
	case gateway:
		config["role"], config["addresses"] = "gateway", []string{gatewayAddress, publicAddress}
		connection["endpoints"] = []any{map[string]any{"address": endpointAddress, "device": "openswan"}}
		connection["data_path"] = w.DataPath
	}
	config["connection"] = connection
	return config
}

// widened is the policy with more private networks, as after a change of the request: so many that they are asked as
// a tree of chains.
func (w *World) widened(host string) map[string]any {
	policy := w.policy(host)
	if connection, has := policy["connection"].(map[string]any); has {
		connection = maps.Clone(connection)
		networks := append(slices.Clone(privateNetworks), "10.99.0.0/16")
		for i := range 20 {
			networks = append(networks, fmt.Sprintf("10.100.%d.0/25", i))
		}
		connection["private_networks"] = networks
		policy["connection"] = connection
	}
	return policy
}

func (w *World) configure(host string, policy map[string]any) error {
	data, err := json.Marshal(policy)
	if err != nil {
		return fmt.Errorf("configuring the enforcer: %w", err)
	}
	if err := os.WriteFile(w.place(host, "enforcer.json"), data, 0o640); err != nil {
		return fmt.Errorf("configuring the enforcer: %w", err)
	}
	return nil
}

func (w *World) enforcer(host, verb string, args ...string) *exec.Cmd {
	return w.version(w.Enforcer, host, verb, args...)
}

// version is a command of one version of the enforcer.
func (w *World) version(program, host, verb string, args ...string) *exec.Cmd {
	command := w.command(host, program, append([]string{verb, "--config", w.place(host, "enforcer.json"),
		"--state-dir", w.place(host, "state"), "--status-file", w.place(host, "state", "status.json")}, args...)...)
	// The lock of this world, not the machine's.
	command.Env = append(os.Environ(), "XTABLES_LOCKFILE="+w.lockFile(host))
	return command
}

func (w *World) lockFile(host string) string { return w.place(host, "xtables.lock") }

func (w *World) apply(host string) error { return finish(w.enforcer(host, "apply")) }

func (w *World) startEnforcer(host string) error {
	return w.start("enforcer-"+host, w.enforcer(host, "run", "--interval", w.Interval.String()))
}

// restartEnforcer wakes an enforcer that was stopped and starts one that has ended.
func (w *World) restartEnforcer(host string) error {
	name := "enforcer-" + host
	w.kill(name, syscall.SIGCONT)
	if w.processes[name] != nil {
		return nil
	}
	return w.startEnforcer(host)
}

// check is an error if a host's kernel differs from its policy. That the shared cell has routes to the gateway is
// told, too, but is nothing that the enforcer repairs.
func (w *World) check(host string) error {
	out, err := w.enforcer(host, "check").CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if err != nil && !strings.HasSuffix(line, "has its next hop in a segment; forwarded packets to there are dropped\n") {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}

// repaired waits until the kernel of each host is as its policy says.
func (w *World) repaired() error {
	for _, host := range enforced {
		if err := within(patience, func() error { return w.check(host) }); err != nil {
			log, _ := os.ReadFile(filepath.Join(w.dir, "enforcer-"+host+".log"))
			lines := strings.Split(string(log), "\n")
			return fmt.Errorf("waiting for the %s to be repaired: %w\n%s", host, err, strings.Join(lines[max(0, len(lines)-12):], "\n"))
		}
	}
	return nil
}
