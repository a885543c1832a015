package leaks

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// tunnelFaults are those of charon, its SAs and its peer.
func tunnelFaults(s Settings) []Fault {
	signal := func(host string, signals ...syscall.Signal) func(*World) error {
		return func(w *World) error {
			for _, s := range signals {
				w.kill("charon-"+host, s)
			}
			return nil
		}
	}
	back := func(host string) func(*World) error {
		return func(w *World) error { return w.restartCharon(host) }
	}
	faults := []Fault{
		{Name: "kill -9 of charon", Inject: signal(gateway, syscall.SIGKILL), Heal: back(gateway)},
		{Name: "charon stops", Inject: signal(gateway, syscall.SIGCONT, syscall.SIGTERM), Heal: back(gateway)},
		{Name: "SIGSTOP of charon", Inject: signal(gateway, syscall.SIGSTOP), Heal: back(gateway)},
		{Name: "the peer is gone", Inject: signal(customer, syscall.SIGKILL), Heal: back(customer)},
		{Name: "the tunnel is terminated", Inject: attempt("--terminate", "--ike", "tunnel", "--timeout", "2")},
		{Name: "the SAs are deleted by force", Inject: attempt("--terminate", "--ike", "tunnel", "--force", "--timeout", "-1")},
		{Name: "the tunnel rekeys", Inject: func(w *World) error {
			for range 3 {
				_ = w.swanctl(gateway, "--rekey", "--child", "pairs")
				_ = w.swanctl(gateway, "--rekey", "--ike", "tunnel")
			}
			return nil
		}},
		{Name: "the SAs expire", Inject: expire},
		{Name: "ip xfrm policy flush", Removes: Layers{GatewayBlocks}, Inject: func(w *World) error {
			return w.run(gateway, "ip", "xfrm", "policy", "flush")
		}, Heal: func(w *World) error { return w.run(gateway, "ip", "xfrm", "policy", "list") }},
	}
	if s.DataPath == "kernel" {
		return append(faults, Fault{Name: "ip xfrm state flush, as if the SAs had expired", Inject: func(w *World) error {
			return w.run(gateway, "ip", "xfrm", "state", "flush")
		}})
	}
	return append(faults, Fault{Name: "the tunnel's device is deleted", Inject: func(w *World) error {
		_ = w.run(gateway, "ip", "link", "delete", "ipsec0")
		return nil
	}, Heal: func(w *World) error {
		w.kill("charon-"+gateway, syscall.SIGKILL)
		return w.startCharon(gateway)
	}})
}

// expire brings the tunnel up with SAs that soon end, and waits for that.
func expire(w *World) error {
	path := w.place(gateway, "swanctl", "swanctl.conf")
	whole, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("reading charon's configuration: %w", err)
	}
	short := strings.Replace(string(whole), "policies_fwd_out", "life_time = 1s\n        rekey_time = 0s\n        policies_fwd_out", 1)
	if err := os.WriteFile(path, []byte(short), 0o600); err != nil {
		return fmt.Errorf("shortening the SAs' lives: %w", err)
	}
	_ = w.swanctl(gateway, "--load-conns")
	_ = w.swanctl(customer, "--terminate", "--ike", "tunnel", "--force")
	_ = w.swanctl(customer, "--initiate", "--child", "pairs", "--timeout", "2")
	time.Sleep(1500 * time.Millisecond)
	if err := os.WriteFile(path, whole, 0o600); err != nil {
		return fmt.Errorf("restoring the SAs' lives: %w", err)
	}
	_ = w.swanctl(gateway, "--load-conns")
	return nil
}

// attempt asks charon for something. Where another fault has ended charon or the tunnel, there is nothing to
// ask for.
func attempt(args ...string) func(*World) error {
	return func(w *World) error {
		_ = w.swanctl(gateway, args...)
		return nil
	}
}

// routeFaults are those of routes and interfaces.
func routeFaults() []Fault {
	onCell := func(commands ...string) func(*World) error {
		return func(w *World) error {
			for _, command := range commands {
				_ = w.feed("ip", command+"\n", "-netns", w.prefix+cell, "-force", "-batch", "-")
			}
			return nil
		}
	}
	var deleted, flushed, replaced, taken []string
	for _, network := range privateNetworks {
		deleted = append(deleted, "route delete "+network+" via "+gatewayAddress)
		flushed = append(flushed, "route flush "+network)
		replaced = append(replaced, "route replace "+network+" via 10.20.0.1 metric 70")
		taken = append(taken, "route replace "+network+" via 10.20.0.1")
	}
	var withdrawn []string
	for _, network := range privateNetworks {
		withdrawn = append(withdrawn, "route delete "+network+" via 10.20.0.1")
	}
	faults := []Fault{
		{Name: "the route to the gateway is deleted", Inject: onCell(deleted...)},
		{Name: "all routes to the private networks are flushed", Removes: Layers{CellRoutes}, Inject: onCell(flushed...)},
		{Name: "the route to the gateway is replaced by one to the internet", Removes: Layers{CellRoutes},
			Inject: onCell(replaced...), Heal: onCell(withdrawn...)},
		{Name: "a better route leads to the internet", Removes: Layers{CellRoutes},
			Inject: onCell(taken...), Heal: onCell(withdrawn...)},
	}
	restore := func(host string) func(*World) error {
		return func(w *World) error {
			return w.feed("ip", defaultRoute[host], "-netns", w.prefix+host, "-batch", "-")
		}
	}
	for _, at := range []struct{ host, device string }{{cell, "eth0"}, {sharedCell, "eth0"}, {gateway, "eth0"}, {gateway, "inet0"}} {
		faults = append(faults, Fault{Name: at.device + " of the " + at.host + " goes down and up", Heal: restore(at.host),
			Inject: func(w *World) error {
				if err := w.run(at.host, "ip", "link", "set", at.device, "down"); err != nil {
					return err
				}
				time.Sleep(20 * time.Millisecond)
				if err := w.run(at.host, "ip", "link", "set", at.device, "up"); err != nil {
					return err
				}
				return restore(at.host)(w)
			}})
	}
	return slices.Clip(faults)
}
