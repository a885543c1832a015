package nftables

import (
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"privnet/egress"
)

// Generation is the number of the present state of nf_tables in the network namespace of the thread. Every
// change, of whatever table and by whatever program, gives another; so while it stays, all rules are as they were.
func Generation() (uint32, error) {
	s, err := open()
	if err != nil {
		return 0, err
	}
	defer s.close()
	if err := s.send(netlink.Message{
		Header: netlink.Header{Type: messageType(unix.NFT_MSG_GETGEN), Flags: netlink.Request}, Data: header(unix.AF_UNSPEC, 0),
	}); err != nil {
		return 0, err
	}
	var generation uint32
	if _, err := s.receive(func(_ netlink.HeaderFlags, data []byte) {
		inside(data, unix.NFTA_GEN_ID, func(value []byte) { generation = bigEndian.Uint32(value) })
	}); err != nil {
		return 0, fmt.Errorf("asking for the generation: %w", err)
	}
	if generation == 0 {
		return 0, errors.New("asking for the generation: the kernel tells none")
	}
	return generation, nil
}

// Dropped sums what the rules of some chains of a table have dropped. A chain without rules is an error.
func Dropped(version egress.Family, table string, chains []string) (packets uint64, err error) {
	s, err := open()
	if err != nil {
		return 0, err
	}
	defer s.close()
	for _, chain := range chains {
		rules := 0
		err := s.listRules(familyOf(version), table, chain, func(r rule) { rules, packets = rules+1, packets+r.dropped })
		if err == nil && rules == 0 {
			err = errors.New("there is no rule")
		}
		if err != nil {
			return 0, fmt.Errorf("reading the counters of chain %s: %w", chain, err)
		}
	}
	return packets, nil
}
