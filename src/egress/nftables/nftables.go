package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"

	nft "github.com/google/nftables"

	"privnet/egress"
)

var bigEndian = binary.BigEndian

// tableName is that of our table in either IP version.
const tableName = "privnet"

// families are those of the tables that hold a policy. In a table for both IP versions, which an earlier version of
// this program had, each packet would first be asked for its own.
var (
	families = []nft.TableFamily{nft.TableFamilyIPv4, nft.TableFamilyIPv6}
	former   = nft.TableFamilyINet
)

// familyOf is the family of an IP version's table.
func familyOf(version egress.Family) nft.TableFamily {
	if version == egress.IPv6 {
		return nft.TableFamilyIPv6
	}
	return nft.TableFamilyIPv4
}

// title is what a table is called in sentences, and by nft.
func title(family nft.TableFamily) string {
	name := map[nft.TableFamily]string{nft.TableFamilyIPv4: "ip", nft.TableFamilyIPv6: "ip6", former: "inet"}[family]
	return "table " + name + " " + tableName
}

// Table is the tables of the network namespace of the thread.
type Table struct {
	// dropped is what was counted before the rules were last replaced, seen since then at the last look.
	dropped, seen uint64
	// policy is the last that was rendered.
	policy   egress.Policy
	rendered map[nft.TableFamily]table
	// verified is the generation in which the kernel was read and was as this policy says, or 0.
	verified uint32
}

// Name is what the layer is called in logs.
func (t *Table) Name() string { return "rules" }

// Backend names what holds the policy.
func (t *Table) Backend(egress.Policy) string { return "nftables" }

// Dropped is the number of packets that our rules dropped since the process started. It is as old as the
// last Check.
func (t *Table) Dropped() uint64 { return t.dropped + t.seen }

// Supported says whether the kernel has nf_tables.
func (t *Table) Supported() bool {
	_, err := read()
	return err == nil
}

// Check says in what the kernel differs from the policy, a sentence each. While the generation is the one in which
// nothing differed, only the counters are read.
func (t *Table) Check(p egress.Policy) ([]string, error) {
	wanted, err := t.render(p)
	if err != nil {
		return nil, err
	}
	// Asked before the rules are read: what changes while they are is of a later generation. Without a number
	// they are always read.
	generation, _ := Generation()
	if generation != 0 && generation == t.verified {
		if dropped, err := dropped(wanted); err == nil {
			t.count(dropped)
			return nil, nil
		}
	}
	f, err := read()
	if err != nil {
		return nil, err
	}
	t.count(f.dropped)
	found := differences(f, wanted)
	if t.verified = 0; len(found) == 0 {
		t.verified = generation
	}
	return found, nil
}

// dropped is what the rules have dropped, if they are as they are wanted.
func dropped(wanted map[nft.TableFamily]table) (sum uint64, err error) {
	for _, version := range []egress.Family{egress.IPv4, egress.IPv6} {
		packets, err := Dropped(version, tableName, wanted[familyOf(version)].dropping)
		if err != nil {
			return 0, err
		}
		sum += packets
	}
	return sum, nil
}

// render renders a policy, unless it is the one of before: looks are many and policies few.
func (t *Table) render(p egress.Policy) (map[nft.TableFamily]table, error) {
	if t.rendered != nil && reflect.DeepEqual(p, t.policy) {
		return t.rendered, nil
	}
	rendered, err := render(p.Rules())
	if err != nil {
		return nil, err
	}
	t.policy, t.rendered, t.verified = p, rendered, 0
	return rendered, nil
}

// count notes what the rules have dropped. Less than before is a count that began anew.
func (t *Table) count(dropped uint64) {
	if dropped < t.seen {
		t.dropped += t.seen
	}
	t.seen = dropped
}

func differences(f found, wanted map[nft.TableFamily]table) []string {
	var out []string
	for _, family := range families {
		for _, sentence := range f.tables[family].differences(wanted[family]) {
			out = append(out, title(family)+" "+sentence)
		}
	}
	if f.former {
		out = append(out, title(former)+" is left over")
	}
	slices.Sort(out)
	return out
}

func (f foundTable) differences(wanted table) []string {
	if len(wanted.chains) == 0 {
		if f.exists {
			return []string{"is left over"}
		}
		return nil
	}
	if !f.exists {
		return []string{"is missing"}
	}
	var out []string
	if f.dormant {
		out = append(out, "is dormant")
	}
	for _, chain := range wanted.chains {
		shape, exists := f.chains[chain.name]
		switch {
		case !exists:
			out = append(out, fmt.Sprintf("lacks chain %s", chain.name))
		case shape != shapeOf(chain.hook):
			out = append(out, fmt.Sprintf("has chain %s at another hook, priority or policy", chain.name))
		case !slices.EqualFunc(f.marks[chain.name], chain.rules, func(mark string, rule rendered) bool { return mark == rule.mark }):
			out = append(out, fmt.Sprintf("has chain %s not as it was written: %d rules, %d expected", chain.name, len(f.marks[chain.name]), len(chain.rules)))
		}
	}
	for name := range f.chains {
		if _, known := wanted.hooks[name]; !known {
			out = append(out, fmt.Sprintf("has chain %s left over", name))
		}
	}
	return out
}

// Apply brings the kernel to the policy: all that changes, in one transaction.
func (t *Table) Apply(p egress.Policy) error {
	f, err := read()
	if err != nil {
		return err
	}
	wanted, err := t.render(p)
	if err != nil {
		return err
	}
	if len(differences(f, wanted)) == 0 {
		return nil
	}
	var b batch
	for _, family := range families {
		if len(f.tables[family].differences(wanted[family])) > 0 {
			if err := replace(&b, family, f.tables[family], wanted[family]); err != nil {
				return err
			}
		}
	}
	if f.former {
		old := work{batch: &b, family: former}
		if old.deleteTable(); old.err != nil {
			return old.err
		}
	}
	if err := b.send(); err != nil {
		return fmt.Errorf("writing the rules: %w", err)
	}
	return nil
}

// Remove takes away everything that is ours.
func (t *Table) Remove(egress.Policy) error {
	err := t.Apply(egress.Policy{})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// replace writes every chain of a table anew and takes away what is not wanted any more. The base chains stay where
// they are, so that no packet finds none.
func replace(b *batch, family nft.TableFamily, f foundTable, wanted table) error {
	w := work{batch: b, family: family}
	if len(wanted.chains) == 0 {
		w.deleteTable()
		return w.err
	}
	w.addTable()
	if f.exists {
		w.deleteRules()
	}
	for name, shape := range f.chains {
		if hook, known := wanted.hooks[name]; !known || shape != shapeOf(hook) {
			w.deleteChain(name)
		}
	}
	for _, chain := range wanted.chains {
		w.addChain(chain)
	}
	for _, chain := range wanted.chains {
		for _, rule := range chain.rules {
			w.addRule(chain.name, rule)
		}
	}
	for _, name := range f.sets {
		w.deleteSet(name)
	}
	return w.err
}
