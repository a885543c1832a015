package leaks

import (
	"fmt"
	"syscall"
)

// devices are those by which a host reaches others; a reboot begins without them.
var devices = map[string][]string{cell: {"eth0"}, sharedCell: {"eth0"}, gateway: {"eth0", "inet0"}}

// rebootFaults are reboots as BOSH leaves them: no pre-start runs. The boot unit is all there is until the job's
// process starts, and other jobs' processes may be faster than that.
func rebootFaults() []Fault {
	return onEach("a reboot without pre-start", func(host string) Fault {
		var removes Layers
		if host == cell {
			// The routes come with the process.
			removes = Layers{CellRoutes}
		}
		return Fault{Removes: removes, Inject: func(w *World) error { return w.reboot(host) }, Heal: func(w *World) error {
			if host == gateway {
				w.kill("charon-"+gateway, syscall.SIGCONT)
			}
			return w.restartEnforcer(host)
		}}
	})
}

// reboot takes away what a kernel forgets and does what happens on a VM until the job's process starts.
func (w *World) reboot(host string) error {
	w.kill("enforcer-"+host, syscall.SIGKILL)
	for _, device := range devices[host] {
		if err := w.run(host, "ip", "link", "set", device, "down"); err != nil {
			return err
		}
	}
	if host == gateway {
		w.kill("charon-"+gateway, syscall.SIGKILL)
	}
	if err := w.forget(host); err != nil {
		return err
	}
	// Where iptables is broken by another fault, it fails, as it would on a VM.
	_ = finish(w.enforcer(host, "boot"))
	for _, device := range devices[host] {
		if err := w.run(host, "ip", "link", "set", device, "up"); err != nil {
			return err
		}
	}
	if err := w.feed("ip", defaultRoute[host], "-netns", w.prefix+host, "-batch", "-"); err != nil {
		return err
	}
	if host == gateway {
		return w.startCharon(gateway)
	}
	return w.masquerade(host)
}

// forget empties the kernel of a host, whose devices are down.
func (w *World) forget(host string) error {
	empty := ""
	for _, table := range []string{"mangle", "nat", "filter"} {
		empty += "*" + table + "\nCOMMIT\n"
	}
	for _, program := range []string{"iptables-restore", "ip6tables-restore"} {
		if err := w.feedIn(host, empty, w.tool(program)); err != nil {
			return fmt.Errorf("forgetting the rules: %w", err)
		}
	}
	if w.Backend != "legacy" {
		if err := w.run(host, "nft", "flush", "ruleset"); err != nil {
			return err
		}
	}
	script := "ip route flush proto 112; ip xfrm policy flush; ip xfrm state flush"
	if host == gateway {
		script += "; echo 0 >/proc/sys/net/ipv4/ip_forward"
	}
	return w.run(host, "sh", "-c", script)
}
