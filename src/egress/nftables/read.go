package nftables

import (
	"errors"
	"fmt"
	"os"

	nft "github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"privnet/egress"
)

// found is the table as the kernel has it.
type found struct {
	exists bool
	// dormant is a table that somebody has switched off.
	dormant bool
	chains  map[string]shape
	// marks are those of each chain's rules, in their order; a rule of somebody else has another one or none.
	marks map[string][]string
	sets  map[string]bool
	// dropped sums the counters, which only rules that drop have.
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

// read looks at the table.
func (t *Table) read() (found, error) {
	f := found{chains: map[string]shape{}, marks: map[string][]string{}, sets: map[string]bool{}}
	connection, err := nft.New()
	if err != nil {
		return f, fmt.Errorf("connecting to nf_tables: %w", err)
	}
	present, err := connection.ListTableOfFamily(own.Name, own.Family)
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, fmt.Errorf("reading the table: %w", err)
	}
	// We set no flag; of those that others can set without the table being theirs there is one.
	f.exists, f.dormant = true, present.Flags != 0
	chains, err := connection.ListChainsOfTableFamily(own.Family)
	if err != nil {
		return f, fmt.Errorf("reading the chains: %w", err)
	}
	for _, c := range chains {
		if c.Table.Name == own.Name {
			f.chains[c.Name] = seen(c)
		}
	}
	sets, err := connection.GetSets(own)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return f, fmt.Errorf("reading the sets: %w", err)
	}
	for _, s := range sets {
		f.sets[s.Name] = true
	}
	return f, f.readRules()
}

func seen(c *nft.Chain) shape {
	if c.Hooknum == nil || c.Priority == nil {
		return plain
	}
	return shape{int(*c.Hooknum), int(*c.Priority), string(c.Type), c.Policy == nil || *c.Policy == nft.ChainPolicyAccept}
}

// readRules reads of each rule what the library does not tell without understanding all of it.
func (f *found) readRules() error {
	socket, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return fmt.Errorf("connecting to nf_tables: %w", err)
	}
	defer socket.Close()
	encoder := netlink.NewAttributeEncoder()
	encoder.String(unix.NFTA_RULE_TABLE, own.Name)
	attributes, err := encoder.Encode()
	if err != nil {
		return fmt.Errorf("asking for the rules: %w", err)
	}
	messages, err := socket.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE, Flags: netlink.Request | netlink.Dump},
		Data:   append([]byte{byte(own.Family), 0, 0, 0}, attributes...),
	})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the rules: %w", err)
	}
	for _, message := range messages {
		if err := f.readRule(message.Data); err != nil {
			return fmt.Errorf("reading a rule: %w", err)
		}
	}
	return nil
}

// headerLength is that of nfgenmsg, before a message's attributes.
const headerLength = 4

func (f *found) readRule(data []byte) error {
	if len(data) < headerLength {
		return errors.New("the message is too short")
	}
	decoder, err := netlink.NewAttributeDecoder(data[headerLength:])
	if err != nil {
		return err
	}
	chain, table, mark := "", "", ""
	var dropped uint64
	for decoder.Next() {
		switch decoder.Type() {
		case unix.NFTA_RULE_TABLE:
			table = decoder.String()
		case unix.NFTA_RULE_CHAIN:
			chain = decoder.String()
		case unix.NFTA_RULE_USERDATA:
			mark = string(decoder.Bytes())
		case unix.NFTA_RULE_EXPRESSIONS:
			decoder.Nested(func(list *netlink.AttributeDecoder) error {
				for list.Next() {
					list.Nested(func(e *netlink.AttributeDecoder) error { return readCounter(e, &dropped) })
				}
				return nil
			})
		}
	}
	if table == own.Name {
		f.marks[chain] = append(f.marks[chain], mark)
		f.dropped += dropped
	}
	return decoder.Err()
}

// readCounter adds the packets that an expression has counted, if it counts.
func readCounter(e *netlink.AttributeDecoder, packets *uint64) error {
	name := ""
	for e.Next() {
		switch {
		case e.Type() == unix.NFTA_EXPR_NAME:
			name = e.String()
		case e.Type() == unix.NFTA_EXPR_DATA && name == "counter":
			e.Nested(func(data *netlink.AttributeDecoder) error {
				data.ByteOrder = bigEndian
				for data.Next() {
					if data.Type() == unix.NFTA_COUNTER_PACKETS {
						*packets += data.Uint64()
					}
				}
				return nil
			})
		}
	}
	return nil
}
