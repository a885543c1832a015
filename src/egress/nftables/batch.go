package nftables

import (
	"fmt"
	"slices"

	nft "github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// batch is one transaction. The library's has the kernel confirm each of thousands of rules, until the confirmations
// do not fit into a socket any more; here only the last message is confirmed.
type batch struct{ messages []netlink.Message }

// add appends a message with its attributes.
func (b *batch) add(family nft.TableFamily, kind int, flags netlink.HeaderFlags, attributes func(*netlink.AttributeEncoder)) error {
	encoder := netlink.NewAttributeEncoder()
	encoder.ByteOrder = bigEndian
	attributes(encoder)
	data, err := encoder.Encode()
	if err != nil {
		return fmt.Errorf("encoding a message of kind %d: %w", kind, err)
	}
	b.messages = append(b.messages, netlink.Message{
		Header: netlink.Header{Type: messageType(kind), Flags: netlink.Request | flags},
		Data:   append(header(byte(family), 0), data...),
	})
	return nil
}

// send has the kernel do all or nothing. Of a batch that failed the first answer is the reason, of one that was
// done the only answer is the last message's confirmation.
func (b *batch) send() error {
	if len(b.messages) == 0 {
		return nil
	}
	s, err := open()
	if err != nil {
		return err
	}
	defer s.close()
	b.messages[len(b.messages)-1].Header.Flags |= netlink.Acknowledge
	frame := func(kind netlink.HeaderType) netlink.Message {
		return netlink.Message{Header: netlink.Header{Type: kind, Flags: netlink.Request}, Data: header(unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES)}
	}
	all := slices.Concat([]netlink.Message{frame(unix.NFNL_MSG_BATCH_BEGIN)}, b.messages, []netlink.Message{frame(unix.NFNL_MSG_BATCH_END)})
	if err := s.send(all...); err != nil {
		return err
	}
	_, err = s.receive(func(netlink.HeaderFlags, []byte) {})
	return err
}

// work is a batch's part on one table; the first error is kept.
type work struct {
	*batch
	family nft.TableFamily
	err    error
}

func (w *work) do(kind int, flags netlink.HeaderFlags, attributes func(*netlink.AttributeEncoder)) {
	if w.err == nil {
		w.err = w.add(w.family, kind, flags, attributes)
	}
}

func (w *work) deleteTable() {
	w.do(unix.NFT_MSG_DELTABLE, 0, func(e *netlink.AttributeEncoder) { e.String(unix.NFTA_TABLE_NAME, tableName) })
}

// addTable makes the table, or wakes it.
func (w *work) addTable() {
	w.do(unix.NFT_MSG_NEWTABLE, netlink.Create, func(e *netlink.AttributeEncoder) {
		e.String(unix.NFTA_TABLE_NAME, tableName)
		e.Uint32(unix.NFTA_TABLE_FLAGS, 0)
	})
}

// deleteRules empties all chains of the table.
func (w *work) deleteRules() {
	w.do(unix.NFT_MSG_DELRULE, 0, func(e *netlink.AttributeEncoder) { e.String(unix.NFTA_RULE_TABLE, tableName) })
}

func (w *work) deleteChain(name string) {
	w.do(unix.NFT_MSG_DELCHAIN, 0, func(e *netlink.AttributeEncoder) {
		e.String(unix.NFTA_CHAIN_TABLE, tableName)
		e.String(unix.NFTA_CHAIN_NAME, name)
	})
}

func (w *work) deleteSet(name string) {
	w.do(unix.NFT_MSG_DELSET, 0, func(e *netlink.AttributeEncoder) {
		e.String(unix.NFTA_SET_TABLE, tableName)
		e.String(unix.NFTA_SET_NAME, name)
	})
}

func (w *work) addChain(chain renderedChain) {
	w.do(unix.NFT_MSG_NEWCHAIN, netlink.Create, func(e *netlink.AttributeEncoder) {
		e.String(unix.NFTA_CHAIN_TABLE, tableName)
		e.String(unix.NFTA_CHAIN_NAME, chain.name)
		s := shapeOf(chain.hook)
		if s == plain {
			return
		}
		e.Nested(unix.NFTA_CHAIN_HOOK, func(e *netlink.AttributeEncoder) error {
			e.ByteOrder = bigEndian
			e.Uint32(unix.NFTA_HOOK_HOOKNUM, uint32(s.hook))
			e.Int32(unix.NFTA_HOOK_PRIORITY, int32(s.priority))
			return nil
		})
		e.Uint32(unix.NFTA_CHAIN_POLICY, uint32(nft.ChainPolicyAccept))
		e.String(unix.NFTA_CHAIN_TYPE, s.kind)
	})
}

func (w *work) addRule(chain string, rule rendered) {
	w.do(unix.NFT_MSG_NEWRULE, netlink.Create|netlink.Append, func(e *netlink.AttributeEncoder) {
		e.String(unix.NFTA_RULE_TABLE, tableName)
		e.String(unix.NFTA_RULE_CHAIN, chain)
		e.Nested(unix.NFTA_RULE_EXPRESSIONS, func(e *netlink.AttributeEncoder) error {
			for _, one := range rule.exprs {
				e.Bytes(unix.NLA_F_NESTED|unix.NFTA_LIST_ELEM, one)
			}
			return nil
		})
		e.Bytes(unix.NFTA_RULE_USERDATA, []byte(rule.mark))
	})
}
