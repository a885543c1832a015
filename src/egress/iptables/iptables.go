// Package iptables keeps the rules of an egress policy in the mangle table, by the iptables programs of
// the VM.
//
// mangle, because silk flushes filter and nat and leaves mangle alone. Of that table it owns the chains
// whose names begin with egress.ChainPrefix and one jump to each of them, as the first rule of a built-in
// chain; it touches nothing else there. A change is one iptables-restore --noflush, which the kernel
// applies as a whole: at no moment is a packet judged by half of it.
//
// A VM can hold legacy and nf_tables rules at once; the kernel asks both, and each program sees only its
// own. The policy lives in the variant of the program that is configured; chains of ours that another
// version left in the other one are found and removed.
package iptables

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"time"

	"github.com/cloudfoundry/bosh-utils/system"

	"privnet/egress"
)

// lockSeconds is how long a program waits for the lock of the xtables, which others hold while they work.
const lockSeconds = "5"

var (
	hooks    = []egress.Hook{egress.Input, egress.Forward, egress.Output, egress.Postrouting}
	families = []egress.Family{egress.IPv4, egress.IPv6}
)

// Table is the mangle table of both IP versions.
type Table struct {
	runner system.CmdRunner
	files  system.FileSystem
	// dropped is what was counted before the counters were last reset, and at the last look.
	dropped, seen uint64
	// versions are the words of programs about themselves, as long as these stay the same files.
	versions map[program]string
	glance   Glancer
	// policy is the last that was unfolded, and looks what was last found for it in each table, by its program.
	policy   egress.Policy
	unfolded []egress.Chain
	looks    map[string]look
}

// look is what was found in a table.
type look struct {
	// state is the table's, empty if there is no telling.
	state string
	// differences says in what the table differs from what is wanted. If it does, dump is the table.
	differences []string
	dump        dump
	dropped     uint64
}

// program is a file with the time of its last change.
type program struct {
	path    string
	changed time.Time
}

// New gives the table of the network namespace in which the runner's commands run. files reads /proc; glance is
// Glance in that namespace, or nil.
func New(runner system.CmdRunner, files system.FileSystem, glance Glancer) *Table {
	return &Table{runner: runner, files: files, glance: glance, versions: map[program]string{}, looks: map[string]look{}}
}

// Name is what the layer is called in logs.
func (t *Table) Name() string { return "rules" }

// Check says in what the kernel differs from the policy, a sentence each.
func (t *Table) Check(p egress.Policy) ([]string, error) {
	var out []string
	var dropped uint64
	for _, family := range t.families() {
		own, other, err := t.variants(p, family)
		if err != nil {
			return nil, err
		}
		l, err := t.look(own, family, t.chains(p, family))
		if err != nil {
			return nil, err
		}
		dropped += l.dropped
		out = append(out, prefixed(family, "", l.differences)...)
		if other != nil {
			stale, err := t.look(*other, family, nil)
			if err != nil {
				return nil, err
			}
			out = append(out, prefixed(family, other.kind+" ", stale.differences)...)
		}
	}
	if dropped < t.seen {
		t.dropped += t.seen
	}
	t.seen = dropped
	sort.Strings(out)
	return out, nil
}

// look compares a table with the wanted chains. One whose state is that of the last look is not read again.
func (t *Table) look(v variant, family egress.Family, wanted []egress.Chain) (look, error) {
	state := ""
	if t.glance != nil {
		// Before the table is read: what changes while it is makes another state.
		seen, dropped, err := t.glance(v.kind, family, egress.Dropping(wanted, family))
		last, known := t.looks[v.save]
		if known && seen != "" && seen == last.state && (err == nil || len(last.differences) > 0) {
			if err == nil {
				last.dropped = dropped
			}
			return last, nil
		}
		state = seen
	}
	d, err := t.read(v)
	if err != nil {
		return look{}, err
	}
	l := look{state: state, differences: d.differences(wanted), dropped: d.dropped()}
	if len(l.differences) > 0 {
		l.dump = d
	}
	t.looks[v.save] = l
	return l, nil
}

// chains are the wanted ones of an IP version. Looks are many and policies few.
func (t *Table) chains(p egress.Policy, family egress.Family) []egress.Chain {
	if t.unfolded == nil || !reflect.DeepEqual(p, t.policy) {
		t.policy, t.unfolded, t.looks = p, egress.Unfold(p.Rules()), map[string]look{}
	}
	return of(t.unfolded, family)
}

// Apply brings the kernel to the policy: first the wanted variant, then, with that in place, it empties
// the other.
func (t *Table) Apply(p egress.Policy) error {
	for _, c := range t.changes(p) {
		if c.err != nil {
			return c.err
		}
		if err := t.write(c); err != nil {
			return err
		}
	}
	return nil
}

// change is what a table is to become, and what it was.
type change struct {
	variant
	wanted []egress.Chain
	look
	// err is why the table cannot be told.
	err error
}

// changes looks at all tables before the first is written: nf_tables knows but one state of all of them, so that
// each would have to be read again. What cannot be looked at keeps nothing before it from being written.
func (t *Table) changes(p egress.Policy) (out []change) {
	add := func(v variant, family egress.Family, wanted []egress.Chain) {
		l, err := t.look(v, family, wanted)
		out = append(out, change{v, wanted, l, err})
	}
	for _, family := range t.families() {
		own, other, err := t.variants(p, family)
		if err != nil {
			return append(out, change{err: err})
		}
		add(own, family, t.chains(p, family))
		if other != nil {
			add(*other, family, nil)
		}
	}
	return out
}

// Remove takes away everything that is ours.
func (t *Table) Remove(p egress.Policy) error {
	return t.Apply(egress.Policy{IPTablesBinDir: p.IPTablesBinDir})
}

// Dropped is the number of packets that our rules dropped since the process started. It is as old as the
// last Check.
func (t *Table) Dropped() uint64 { return t.dropped + t.seen }

// Backend names the variant that holds the policy.
func (t *Table) Backend(p egress.Policy) string {
	own, _, err := t.variants(p, egress.IPv4)
	if err != nil {
		return "iptables"
	}
	return "iptables (" + own.kind + ")"
}

func (t *Table) read(v variant) (dump, error) {
	stdout, stderr, _, err := t.runner.RunComplexCommand(system.Command{Name: v.save, Args: []string{"-c", "-t", "mangle"}, Quiet: true})
	if err != nil {
		return nil, fmt.Errorf("reading the mangle table by %s: %w", v.save, failure(err, stderr))
	}
	d, err := parse(stdout)
	if err != nil {
		return nil, fmt.Errorf("reading the mangle table by %s: %w", v.save, err)
	}
	return d, nil
}

func (t *Table) write(c change) error {
	if len(c.differences) == 0 {
		return nil
	}
	delete(t.looks, c.save)
	stdin := strings.NewReader(transaction(c.dump, c.wanted))
	_, stderr, _, err := t.runner.RunComplexCommand(system.Command{
		Name: c.restore, Args: []string{"--noflush", "-w", lockSeconds}, Stdin: stdin, Quiet: true,
	})
	if err != nil {
		return fmt.Errorf("writing the mangle table by %s: %w", c.restore, failure(err, stderr))
	}
	return nil
}

// transaction is the one change that leads from the dump to the wanted chains. Naming a chain of ours
// creates it or empties it; jumps that are wrong go by their own words.
func transaction(d dump, chains []egress.Chain) string {
	var head, body, stale strings.Builder
	wanted, hooked := map[string]bool{}, map[egress.Hook]string{}
	for _, chain := range chains {
		wanted[chain.Name] = true
		if chain.Hook != "" {
			hooked[chain.Hook] = chain.Name
		}
		fmt.Fprintf(&head, ":%s - [0:0]\n", chain.Name)
		for _, rule := range render(chain) {
			fmt.Fprintln(&body, rule.text)
		}
	}
	for chain := range d {
		if ours(chain) && !wanted[chain] {
			fmt.Fprintf(&head, ":%s - [0:0]\n", chain)
			fmt.Fprintf(&stale, "-X %s\n", chain)
		}
	}
	for _, hook := range hooks {
		found, first := d.jumps(hook, hooked[hook])
		if first && len(found) == 1 {
			continue
		}
		for _, rule := range found {
			fmt.Fprintf(&body, "-D %s %s\n", hook, rule.args)
		}
		if hooked[hook] != "" {
			fmt.Fprintf(&body, "-I %s 1 -j %s\n", hook, hooked[hook])
		}
	}
	return "*mangle\n" + head.String() + body.String() + stale.String() + "COMMIT\n"
}

func of(chains []egress.Chain, family egress.Family) []egress.Chain {
	var out []egress.Chain
	for _, chain := range chains {
		if chain.Family == family {
			out = append(out, chain)
		}
	}
	return out
}

func prefixed(family egress.Family, kind string, sentences []string) []string {
	var out []string
	for _, sentence := range sentences {
		out = append(out, fmt.Sprintf("IPv%d %smangle: %s", family, kind, sentence))
	}
	return out
}

// families leaves out IPv6 where the kernel has none: then there is nothing to deny either.
func (t *Table) families() []egress.Family {
	if !t.files.FileExists("/proc/sys/net/ipv6") {
		return families[:1]
	}
	return families
}

func failure(err error, stderr string) error {
	if text := strings.TrimSpace(stderr); text != "" {
		return errors.New(text)
	}
	return err
}

// locate is the path of a program in the configured directory, or its bare name, to be found on the PATH,
// where the directory lacks it: garden's has none for IPv6.
func (t *Table) locate(dir, name string) string {
	if path := filepath.Join(dir, name); dir != "" && t.files.FileExists(path) {
		return path
	}
	return name
}
