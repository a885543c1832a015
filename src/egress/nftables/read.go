package nftables

import (
	"errors"
	"fmt"

	nft "github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"privnet/egress"
)

// found is what the kernel has of ours.
type found struct {
	tables map[nft.TableFamily]foundTable
	// former says that the table of an earlier version stands.
	former bool
	// dropped sums the counters, which only rules that drop have.
	dropped uint64
}

// foundTable is a table as the kernel has it.
type foundTable struct {
	exists bool
	// dormant is a table that somebody has switched off.
	dormant bool
	chains  map[string]shape
	// marks are those of each chain's rules, in their order; a rule of somebody else has another one or none.
	marks map[string][]string
	// sets are what others made in our table: we need none.
	sets []string
	// dropped sums the counters of this table.
	dropped uint64
}

// shape is what makes a base chain: another one of the same name would not be asked, or at another time.
type shape struct {
	hook     int
	priority int
	kind     string
	accepts  bool
}

// plain is the shape of a chain without a hook.
var plain = shape{hook: -1}

// shapeOf is the shape that a chain must have.
func shapeOf(hook egress.Hook) shape {
	place, based := hooks[hook]
	if !based {
		return plain
	}
	return shape{int(*place.number), int(*place.priority), string(nft.ChainTypeFilter), true}
}

// place is where a base chain sits.
type place struct {
	number   *nft.ChainHook
	priority *nft.ChainPriority
}

// hooks are the base chains' places. All come where mangle's do, but for the last: behind address translation,
// where a packet's source and its IPsec policy are final, so that a MASQUERADE cannot take it out of the
// tunnel unseen.
var hooks = map[egress.Hook]place{
	egress.Input:       {nft.ChainHookInput, nft.ChainPriorityMangle},
	egress.Forward:     {nft.ChainHookForward, nft.ChainPriorityMangle},
	egress.Output:      {nft.ChainHookOutput, nft.ChainPriorityMangle},
	egress.Postrouting: {nft.ChainHookPostrouting, nft.ChainPriorityRef(*nft.ChainPriorityNATSource + 50)},
}

// attempts is how often a list is read that somebody changes meanwhile.
const attempts = 5

// read looks at our tables.
func read() (f found, err error) {
	s, err := open()
	if err != nil {
		return f, err
	}
	defer s.close()
	for range attempts {
		if f, err = s.read(); !errors.Is(err, errChanged) {
			break
		}
	}
	return f, err
}

func (s socket) read() (found, error) {
	f := found{tables: map[nft.TableFamily]foundTable{}}
	for _, family := range append(families, former) {
		t := foundTable{chains: map[string]shape{}, marks: map[string][]string{}}
		err := s.list(unix.NFT_MSG_GETTABLE, header(byte(family), 0), t.readTable)
		if err == nil && t.exists && family != former {
			err = t.readContents(s, family)
		}
		if err != nil {
			return f, fmt.Errorf("reading %s: %w", title(family), err)
		}
		if family == former {
			f.former = t.exists
		} else {
			f.tables[family], f.dropped = t, f.dropped+t.dropped
		}
	}
	return f, nil
}

func (t *foundTable) readTable(table []byte) {
	name, flags := "", uint32(0)
	attributes(table, func(kind uint16, value []byte) {
		switch kind {
		case unix.NFTA_TABLE_NAME:
			name = text(value)
		case unix.NFTA_TABLE_FLAGS:
			flags = bigEndian.Uint32(value)
		}
	})
	if name == tableName {
		// We set no flag; of those that others can set without the table being theirs there is one.
		t.exists, t.dormant = true, flags != 0
	}
}

func (t *foundTable) readContents(s socket, family nft.TableFamily) error {
	if err := s.list(unix.NFT_MSG_GETCHAIN, header(byte(family), 0), t.readChain); err != nil {
		return fmt.Errorf("chains: %w", err)
	}
	if err := s.list(unix.NFT_MSG_GETSET, header(byte(family), 0), t.readSet); err != nil {
		return fmt.Errorf("sets: %w", err)
	}
	return s.listRules(family, tableName, "", func(r rule) {
		t.marks[r.chain] = append(t.marks[r.chain], r.mark)
		t.dropped += r.dropped
	})
}

func (t *foundTable) readChain(chain []byte) {
	table, name, kind, seen := "", "", "", plain
	policy := uint32(nft.ChainPolicyAccept)
	attributes(chain, func(attribute uint16, value []byte) {
		switch attribute {
		case unix.NFTA_CHAIN_TABLE:
			table = text(value)
		case unix.NFTA_CHAIN_NAME:
			name = text(value)
		case unix.NFTA_CHAIN_TYPE:
			kind = text(value)
		case unix.NFTA_CHAIN_POLICY:
			policy = bigEndian.Uint32(value)
		case unix.NFTA_CHAIN_HOOK:
			attributes(value, func(attribute uint16, value []byte) {
				switch attribute {
				case unix.NFTA_HOOK_HOOKNUM:
					seen.hook = int(bigEndian.Uint32(value))
				case unix.NFTA_HOOK_PRIORITY:
					seen.priority = int(int32(bigEndian.Uint32(value)))
				}
			})
		}
	})
	if table != tableName {
		return
	}
	if seen != plain {
		seen.kind, seen.accepts = kind, policy == uint32(nft.ChainPolicyAccept)
	}
	t.chains[name] = seen
}

func (t *foundTable) readSet(set []byte) {
	table, name := "", ""
	attributes(set, func(attribute uint16, value []byte) {
		switch attribute {
		case unix.NFTA_SET_TABLE:
			table = text(value)
		case unix.NFTA_SET_NAME:
			name = text(value)
		}
	})
	if table == tableName {
		t.sets = append(t.sets, name)
	}
}

// rule is what is read of a rule.
type rule struct {
	chain, mark string
	// dropped is what the rule counted, if it counts and drops.
	dropped uint64
}

// listRules gives the rules of a table, or of one of its chains, to take.
func (s socket) listRules(family nft.TableFamily, table, chain string, take func(rule)) error {
	encoder := netlink.NewAttributeEncoder()
	encoder.String(unix.NFTA_RULE_TABLE, table)
	if chain != "" {
		encoder.String(unix.NFTA_RULE_CHAIN, chain)
	}
	filter, err := encoder.Encode()
	if err != nil {
		return fmt.Errorf("asking for the rules: %w", err)
	}
	err = s.list(unix.NFT_MSG_GETRULE, append(header(byte(family), 0), filter...), func(one []byte) {
		if r, in := readRule(one); in == table {
			take(r)
		}
	})
	if err != nil {
		return fmt.Errorf("rules: %w", err)
	}
	return nil
}

func readRule(data []byte) (r rule, table string) {
	attributes(data, func(kind uint16, value []byte) {
		switch kind {
		case unix.NFTA_RULE_TABLE:
			table = text(value)
		case unix.NFTA_RULE_CHAIN:
			r.chain = text(value)
		case unix.NFTA_RULE_USERDATA:
			r.mark = string(value)
		case unix.NFTA_RULE_EXPRESSIONS:
			var counted uint64
			attributes(value, func(_ uint16, expression []byte) {
				packets, drops := readExpression(expression)
				counted += packets
				if drops {
					r.dropped = counted
				}
			})
		}
	})
	return r, table
}

// readExpression is what an expression has counted, if it counts, and whether it drops.
func readExpression(expression []byte) (packets uint64, drops bool) {
	name := ""
	attributes(expression, func(kind uint16, value []byte) {
		switch {
		case kind == unix.NFTA_EXPR_NAME:
			name = text(value)
		case kind == unix.NFTA_EXPR_DATA && name == "counter":
			attributes(value, func(kind uint16, value []byte) {
				if kind == unix.NFTA_COUNTER_PACKETS {
					packets = bigEndian.Uint64(value)
				}
			})
		case kind == unix.NFTA_EXPR_DATA && name == "immediate":
			inside(value, unix.NFTA_IMMEDIATE_DATA, func(value []byte) {
				inside(value, unix.NFTA_DATA_VERDICT, func(value []byte) {
					inside(value, unix.NFTA_VERDICT_CODE, func(value []byte) { drops = bigEndian.Uint32(value) == verdictDrop })
				})
			})
		}
	})
	return packets, drops
}

// verdictDrop is NF_DROP of linux/netfilter.h.
const verdictDrop = 0

// inside gives the attributes of one kind to take.
func inside(data []byte, wanted uint16, take func(value []byte)) {
	attributes(data, func(kind uint16, value []byte) {
		if kind == wanted {
			take(value)
		}
	})
}
