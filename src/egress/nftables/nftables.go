package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"

	nft "github.com/google/nftables"
	"github.com/mdlayher/netlink"

	"privnet/egress"
)

var bigEndian = binary.BigEndian

// own is our table.
var own = &nft.Table{Family: nft.TableFamilyINet, Name: "privnet"}

// bufferSize is that of the socket which a transaction goes through as a whole, in bytes.
const bufferSize = 8 << 20

// elementsAtOnce is how many elements of a set go into one message, whose attributes are short of 64 KiB.
const elementsAtOnce = 1000

// Table is the table of the network namespace of the thread.
type Table struct {
	// dropped is what was counted before the rules were last replaced, seen since then at the last look.
	dropped, seen uint64
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
	_, err := t.read()
	return err == nil
}

// Check says in what the kernel differs from the policy, a sentence each.
func (t *Table) Check(p egress.Policy) ([]string, error) {
	f, err := t.read()
	if err != nil {
		return nil, err
	}
	if f.dropped < t.seen {
		t.dropped += t.seen
	}
	t.seen = f.dropped
	return differences(f, render(p.Rules())), nil
}

func differences(f found, wanted table) []string {
	if len(wanted.chains) == 0 {
		if f.exists {
			return []string{"table inet privnet is left over"}
		}
		return nil
	}
	if !f.exists {
		return []string{"table inet privnet is missing"}
	}
	var out []string
	if f.dormant {
		out = append(out, "table inet privnet is dormant")
	}
	for _, name := range wanted.names() {
		shape, exists := f.chains[name]
		marks := marksOf(wanted.rules[name])
		switch {
		case !exists:
			out = append(out, fmt.Sprintf("chain %s is missing", name))
		case shape != shapeOf(wanted.chains[name]):
			out = append(out, fmt.Sprintf("chain %s has another hook, priority or policy", name))
		case !slices.Equal(f.marks[name], marks):
			out = append(out, fmt.Sprintf("chain %s is not as it was written: %d rules, %d expected", name, len(f.marks[name]), len(marks)))
		}
	}
	for name := range f.chains {
		if _, known := wanted.chains[name]; !known {
			out = append(out, fmt.Sprintf("chain %s is left over", name))
		}
	}
	for name := range wanted.sets {
		if !f.sets[name] {
			out = append(out, fmt.Sprintf("set %s is missing", name))
		}
	}
	slices.Sort(out)
	return out
}

func marksOf(rules []rendered) []string {
	var out []string
	for _, rule := range rules {
		out = append(out, rule.mark)
	}
	return out
}

// Apply brings the kernel to the policy: first the sets that are new, which nothing asks yet, then, as a
// whole, all chains with their rules.
func (t *Table) Apply(p egress.Policy) error {
	f, err := t.read()
	if err != nil {
		return err
	}
	wanted := render(p.Rules())
	if len(differences(f, wanted)) == 0 {
		return nil
	}
	connection, err := nft.New(nft.AsLasting(), nft.WithSockOptions(func(socket *netlink.Conn) error {
		return errors.Join(socket.SetWriteBuffer(bufferSize), socket.SetReadBuffer(bufferSize))
	}))
	if err != nil {
		return fmt.Errorf("connecting to nf_tables: %w", err)
	}
	defer func() { _ = connection.CloseLasting() }()
	if len(wanted.chains) == 0 {
		connection.DelTable(own)
		return flush(connection, "deleting the table")
	}
	connection.AddTable(own)
	if err := addSets(connection, f, wanted); err != nil {
		return err
	}
	if err := flush(connection, "adding the sets"); err != nil {
		return err
	}
	replace(connection, f, wanted)
	return flush(connection, "writing the rules")
}

// Remove takes away everything that is ours.
func (t *Table) Remove(egress.Policy) error {
	err := t.Apply(egress.Policy{})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func flush(connection *nft.Conn, doing string) error {
	if err := connection.Flush(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}

func addSets(connection *nft.Conn, f found, wanted table) error {
	for name, s := range wanted.sets {
		if f.sets[name] {
			continue
		}
		object := &nft.Set{Table: own, Name: name, KeyType: nft.TypeIPAddr, Interval: true, Constant: true}
		// With elements at once, the set would have room for these only.
		if err := connection.AddSet(object, nil); err != nil {
			return fmt.Errorf("adding the set %s: %w", name, err)
		}
		for elements := range slices.Chunk(s.elements(), elementsAtOnce) {
			if err := connection.SetAddElements(object, elements); err != nil {
				return fmt.Errorf("adding to the set %s: %w", name, err)
			}
		}
	}
	return nil
}

// replace writes every chain anew and takes away what is not wanted any more.
func replace(connection *nft.Conn, f found, wanted table) {
	for name := range f.chains {
		connection.FlushChain(&nft.Chain{Table: own, Name: name})
	}
	for name, shape := range f.chains {
		if hook, known := wanted.chains[name]; !known || shape != shapeOf(hook) {
			connection.DelChain(&nft.Chain{Table: own, Name: name})
		}
	}
	accept := nft.ChainPolicyAccept
	for _, name := range wanted.names() {
		chain := &nft.Chain{Table: own, Name: name}
		if place, based := hooks[wanted.chains[name]]; based {
			chain.Hooknum, chain.Priority, chain.Type, chain.Policy = place.number, place.priority, nft.ChainTypeFilter, &accept
		}
		connection.AddChain(chain)
	}
	for _, name := range wanted.names() {
		for _, rule := range wanted.rules[name] {
			connection.AddRule(&nft.Rule{Table: own, Chain: &nft.Chain{Table: own, Name: name}, Exprs: rule.exprs, UserData: []byte(rule.mark)})
		}
	}
	for name := range f.sets {
		if _, known := wanted.sets[name]; !known {
			connection.DelSet(&nft.Set{Table: own, Name: name})
		}
	}
}
