package leaks

import "fmt"

// ruleFaults are other software on the same VMs.
func ruleFaults(s Settings) []Fault {
	var faults []Fault
	native := s.Backend == "nftables"
	// With a table of our own, what others do in theirs removes nothing of ours.
	iptablesRemoves := func(host string) Layers {
		if native {
			return nil
		}
		return Layers{rulesOf[host]}
	}
	tables := []string{"filter", "nat", "raw", "mangle"}
	if s.Backend != "legacy" {
		// Of the legacy one some kernels have none.
		tables = append(tables, "security")
	}
	for _, table := range tables {
		faults = append(faults, onEach("iptables -F, -X and -Z of "+table, func(host string) Fault {
			var removes Layers
			if table == "mangle" {
				removes = iptablesRemoves(host)
			}
			return Fault{Removes: removes, Heal: remasquerade, Inject: func(w *World) error {
				if err := w.run(host, w.tool("iptables"), "-w", "-t", table, "-F"); err != nil {
					return err
				}
				// This one fails where the enforcer was faster and the chains have rules again.
				_ = w.run(host, w.tool("iptables"), "-w", "-t", table, "-X")
				return w.run(host, w.tool("iptables"), "-w", "-t", table, "-Z")
			}}
		})...)
	}
	faults = append(faults, onEach("silk's pre-start and its insert at position 1", func(host string) Fault {
		return Fault{Heal: remasquerade, Inject: silk(host)}
	})...)
	faults = append(faults, onEach("an accept above our rules in FORWARD", func(host string) Fault {
		removes := iptablesRemoves(host)
		if host == cell {
			// What a cell sends is judged again where it leaves.
			removes = nil
		}
		return Fault{Removes: removes, Inject: accept(host, "FORWARD"), Heal: withdraw(host, "FORWARD")}
	})...)
	faults = append(faults, onEach("an accept above our rules everywhere", func(host string) Fault {
		hooks := []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}
		return Fault{Removes: iptablesRemoves(host), Inject: accept(host, hooks...), Heal: withdraw(host, hooks...)}
	})...)
	if s.Backend != "legacy" {
		faults = append(faults, onEach("nft flush ruleset", func(host string) Fault {
			return Fault{Removes: Layers{rulesOf[host]}, Heal: remasquerade, Inject: func(w *World) error {
				return w.run(host, "nft", "flush", "ruleset")
			}}
		})...)
	}
	return append(faults, Fault{
		// It changes the source after the rules have looked, so that the tunnel's policy fits no more.
		Name: "MASQUERADE on the gateway's internet interface", Removes: Layers{GatewayRules},
		Inject: func(w *World) error {
			return w.run(gateway, w.tool("iptables"), "-w", "-t", "nat", "-A", "POSTROUTING", "-o", "inet0", "-j", "MASQUERADE")
		},
		Heal: func(w *World) error { return w.run(gateway, w.tool("iptables"), "-w", "-t", "nat", "-F") },
	})
}

// remasquerade does what silk would do in time: its rules are no matter of ours.
func remasquerade(w *World) error {
	return all([]string{cell, sharedCell}, func(host string) error {
		if err := w.run(host, w.tool("iptables"), "-w", "-t", "nat", "-F"); err != nil {
			return err
		}
		return w.masquerade(host)
	})
}

// silk restores filter and nat as a whole, then puts a chain of its own first.
func silk(host string) func(*World) error {
	return func(w *World) error {
		const text = "*filter\n:INPUT ACCEPT\n:FORWARD ACCEPT\n:OUTPUT ACCEPT\nCOMMIT\n*nat\n:PREROUTING ACCEPT\n:INPUT ACCEPT\n:OUTPUT ACCEPT\n:POSTROUTING ACCEPT\nCOMMIT\n"
		if err := w.feedIn(host, text, w.tool("iptables-restore")); err != nil {
			return err
		}
		if host != gateway {
			if err := w.masquerade(host); err != nil {
				return err
			}
		}
		return w.feedIn(host, "*filter\n:vpa--1700000000 - [0:0]\n-A vpa--1700000000 -j ACCEPT\n-I FORWARD 1 -j vpa--1700000000\nCOMMIT\n",
			w.tool("iptables-restore"), "--noflush")
	}
}

func accept(host string, hooks ...string) func(*World) error {
	return func(w *World) error {
		return w.feedIn(host, mangle("-I %s 1 -j ACCEPT\n", hooks), w.tool("iptables-restore"), "--noflush")
	}
}

// withdraw takes the accepts away, as far as they are there.
func withdraw(host string, hooks ...string) func(*World) error {
	return func(w *World) error {
		for _, hook := range hooks {
			_ = w.run(host, w.tool("iptables"), "-w", "-t", "mangle", "-D", hook, "-j", "ACCEPT")
		}
		return nil
	}
}

func mangle(format string, hooks []string) string {
	text := "*mangle\n"
	for _, hook := range hooks {
		text += fmt.Sprintf(format, hook)
	}
	return text + "COMMIT\n"
}
