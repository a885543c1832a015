package leaks

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// processFaults are those of our own processes.
func processFaults(s Settings) []Fault {
	restart := func(w *World) error { return all(enforced, w.restartEnforcer) }
	signal := func(s syscall.Signal) func(*World) error {
		return func(w *World) error {
			return all(enforced, func(host string) error { w.kill("enforcer-"+host, s); return nil })
		}
	}
	faults := []Fault{
		{Name: "kill -9 of the enforcers", Inject: signal(syscall.SIGKILL), Heal: restart},
		{Name: "the enforcers stop", Inject: signal(syscall.SIGTERM), Heal: restart},
		{Name: "SIGSTOP of the enforcers", Inject: signal(syscall.SIGSTOP), Heal: restart},
		{Name: "the policy is swapped, to and fro", Inject: swap, Heal: restart},
		{Name: "a new version finds rules of an old one", Inject: plantOldRules, Heal: func(w *World) error {
			return all(enforced, func(host string) error { w.kill("enforcer-"+host, syscall.SIGTERM); return w.startEnforcer(host) })
		}},
		{Name: "an invalid configuration", Inject: func(w *World) error {
			return all(enforced, func(host string) error {
				w.kill("enforcer-"+host, syscall.SIGTERM)
				policy := w.policy(host)
				policy["addresses"] = []string{"nonsense"}
				if err := w.configure(host, policy); err != nil {
					return err
				}
				return w.startEnforcer(host)
			})
		}, Heal: func(w *World) error {
			return all(enforced, func(host string) error {
				w.kill("enforcer-"+host, syscall.SIGTERM)
				if err := w.configure(host, w.policy(host)); err != nil {
					return err
				}
				return w.startEnforcer(host)
			})
		}},
	}
	if s.Former == "" {
		return faults
	}
	return append(faults, Fault{Name: "an upgrade from another version", Inject: func(w *World) error {
		return all(enforced, func(host string) error { return w.replaceEnforcer(host, s.Former) })
	}, Heal: func(w *World) error {
		return all(enforced, func(host string) error { return w.replaceEnforcer(host, w.Enforcer) })
	}})
}

// replaceEnforcer does what a deployment of another version does.
func (w *World) replaceEnforcer(host, program string) error {
	w.kill("enforcer-"+host, syscall.SIGCONT)
	w.kill("enforcer-"+host, syscall.SIGTERM)
	// Where iptables is broken by another fault, it fails and what stood must stand.
	_ = finish(w.version(program, host, "apply"))
	return w.start("enforcer-"+host, w.version(program, host, "run", "--interval", w.Interval.String()))
}

// swap does what deployments do: stop, pre-start with another policy, start, and back.
func swap(w *World) error {
	return all([]string{cell, gateway}, func(host string) error {
		for i := range w.Swaps {
			w.kill("enforcer-"+host, syscall.SIGTERM)
			policy := w.policy(host)
			if i%2 == 0 {
				policy = w.widened(host)
			}
			if err := w.configure(host, policy); err != nil {
				return err
			}
			// Where iptables is broken by another fault, the swap fails and what stood must stand.
			_ = w.apply(host)
		}
		if err := w.configure(host, w.policy(host)); err != nil {
			return err
		}
		return w.restartEnforcer(host)
	})
}

// plantOldRules leaves a chain of ours that this version does not know, in front of those it knows.
func plantOldRules(w *World) error {
	return all(enforced, func(host string) error {
		return w.feedIn(host, "*mangle\n:privnet-old - [0:0]\n-A privnet-old -d 192.0.2.7 -j DROP\n-I FORWARD 1 -j privnet-old\nCOMMIT\n",
			w.tool("iptables-restore"), "--noflush")
	})
}

// machineFaults are those of what the enforcer works with.
func machineFaults(s Settings) []Fault {
	faults := []Fault{{Name: "the disk is full", Inject: func(w *World) error {
		return all(enforced, func(host string) error {
			// It fails with the disk full, as it should.
			_ = os.WriteFile(w.place(host, "state", "ballast"), make([]byte, 1<<20), 0o640)
			return nil
		})
	}, Heal: func(w *World) error {
		return all(enforced, func(host string) error { return os.RemoveAll(w.place(host, "state", "ballast")) })
	}}}
	if s.Backend == "nftables" {
		return faults
	}
	install := func(w *World) error { return all(enforced, w.installPrograms) }
	replaced := func(name string, put func(path string) error) Fault {
		return Fault{Name: name, Heal: install, Inject: func(w *World) error {
			return all(enforced, func(host string) error { return w.replacePrograms(host, put) })
		}}
	}
	script := func(text string) func(string) error {
		return func(path string) error { return os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o755) }
	}
	return append(faults,
		replaced("iptables fails", script("exit 4")),
		replaced("iptables is slow", script(fmt.Sprintf("sleep 0.7; exec xtables-%s-multi $(basename $0) \"$@\"", variantOf(s)))),
		replaced("iptables hangs", script("exec sleep 60")),
		replaced("iptables is missing", func(path string) error { return os.Symlink("/nowhere", path) }),
		Fault{Name: "the xtables lock is held", Inject: func(w *World) error {
			return all(enforced, func(host string) error { return w.hold(host) })
		}, Heal: func(w *World) error {
			return all(enforced, func(host string) error { w.kill("lock-"+host, syscall.SIGKILL); return nil })
		}},
	)
}

func variantOf(s Settings) string {
	if s.Backend == "legacy" {
		return "legacy"
	}
	return "nft"
}

// hold takes the lock of a host's iptables.
func (w *World) hold(host string) error {
	if w.processes["lock-"+host] != nil {
		return nil
	}
	if err := w.start("lock-"+host, w.command(host, "flock", "--close", w.lockFile(host), "sleep", "60")); err != nil {
		return err
	}
	time.Sleep(20 * time.Millisecond)
	return nil
}
