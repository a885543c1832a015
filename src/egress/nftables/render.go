package nftables

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"

	nft "github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"privnet/connection"
	"privnet/egress"
)

// Of linux/netfilter/nf_tables.h and nf_conntrack_common.h, where the libraries lack them.
const (
	metaSecpath = expr.MetaKey(25)
	rtXFRM      = expr.RtKey(4)
	ctOriginal  = 0
	ctReply     = 1
	optionMSS   = 2
	tcpFlags    = 13
	flagFIN     = 0x01
	flagSYN     = 0x02
	flagRST     = 0x04
	flagACK     = 0x10
	// statusTranslated is IPS_SRC_NAT and IPS_DST_NAT.
	statusTranslated = 1<<4 | 1<<5
	sourceAt         = 12
	destinationAt    = 16
)

// register is the one that every expression works with.
const register = 1

// rendered is a rule as the kernel takes it, each expression in the form of netlink.
type rendered struct {
	exprs [][]byte
	// mark is what the rule is known by: a hash of itself and of all before it in its chain.
	mark string
}

// renderRules renders the rules of an unfolded chain.
func renderRules(chain egress.Chain) ([]rendered, error) {
	var out []rendered
	sum := sha256.New()
	for _, rule := range chain.Rules {
		var exprs [][]byte
		for _, e := range append(match(rule.Match), act(rule)...) {
			bytes, err := expr.Marshal(byte(familyOf(chain.Family)), e)
			if err != nil {
				return nil, fmt.Errorf("encoding a rule of chain %s: %w", chain.Name, err)
			}
			exprs = append(exprs, bytes)
			sum.Write(bytes)
		}
		out = append(out, rendered{exprs, hex.EncodeToString(sum.Sum(nil)[:8])})
	}
	return out, nil
}

// match are the expressions that end a rule for a packet that does not fit.
func match(m egress.Match) (exprs []expr.Any) {
	add := func(more ...expr.Any) { exprs = append(exprs, more...) }
	for _, network := range m.Sources {
		add(within(network, sourceAt)...)
	}
	for _, network := range m.Destinations {
		add(within(network, destinationAt)...)
	}
	add(tunnel(m)...)
	if m.Protocol != "" {
		add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register}, equal([]byte{protocols[m.Protocol]}))
	}
	add(ports(m.SourcePorts, 0)...)
	add(ports(m.Ports, 2)...)
	add(flow(m.Flow)...)
	if m.OriginalPorts.First > 0 {
		add(&expr.Ct{Key: expr.CtKeyPROTODST, Direction: ctOriginal, Register: register})
		add(inRange(m.OriginalPorts)...)
	}
	if m.NotRealm != 0 {
		// The upper half of a packet's realm is its source's.
		add(&expr.Rt{Key: expr.RtClassid, Register: register}, masked(native32(0xffff)),
			&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: native32(uint32(m.NotRealm))})
	}
	return exprs
}

var protocols = map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "icmp": unix.IPPROTO_ICMP, "esp": unix.IPPROTO_ESP}

// within asks for an address in the network. Where the kernel loads as many bytes as fast as an address, it needs
// no mask.
func within(network netip.Prefix, at uint32) []expr.Any {
	bytes := network.Masked().Addr().AsSlice()
	switch network.Bits() {
	case 8, 16, 32:
		whole := network.Bits() / 8
		return []expr.Any{load(at, whole), equal(bytes[:whole])}
	}
	mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-network.Bits()))
	return []expr.Any{load(at, len(bytes)), masked(mask), equal(bytes)}
}

// load takes bytes of the IP header.
func load(at uint32, length int) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: at, Len: uint32(length)}
}

func tunnel(m egress.Match) []expr.Any {
	if m.Tunnel == "" {
		return nil
	}
	if m.Interface != "" {
		// Names are compared as the kernel stores them.
		name := append([]byte(m.Interface), make([]byte, unix.IFNAMSIZ-len(m.Interface))...)
		key, op := expr.MetaKeyIIFNAME, expr.CmpOpNeq
		switch m.Tunnel {
		case egress.CameInside:
			op = expr.CmpOpEq
		case egress.GoesOutside:
			key = expr.MetaKeyOIFNAME
		}
		return []expr.Any{&expr.Meta{Key: key, Register: register}, &expr.Cmp{Op: op, Register: register, Data: name}}
	}
	switch m.Tunnel {
	case egress.CameInside:
		return []expr.Any{&expr.Meta{Key: metaSecpath, Register: register}, equal([]byte{1})}
	case egress.CameOutside:
		return []expr.Any{&expr.Meta{Key: metaSecpath, Register: register}, equal([]byte{0})}
	default:
		return []expr.Any{&expr.Rt{Key: rtXFRM, Register: register}, equal([]byte{0})}
	}
}

func flow(f egress.Flow) []expr.Any {
	states := func(bits uint32) []expr.Any {
		return []expr.Any{&expr.Ct{Key: expr.CtKeySTATE, Register: register}, masked(native32(bits)),
			&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: native32(0)}}
	}
	direction := func(d byte) []expr.Any {
		return []expr.Any{&expr.Ct{Key: expr.CtKeyDIRECTION, Register: register}, equal([]byte{d})}
	}
	switch f {
	case egress.FlowReply:
		return append(states(expr.CtStateBitESTABLISHED), direction(ctReply)...)
	case egress.FlowOriginal:
		return append(states(expr.CtStateBitNEW|expr.CtStateBitESTABLISHED), direction(ctOriginal)...)
	case egress.FlowRelated:
		return states(expr.CtStateBitRELATED)
	case egress.FlowTranslated:
		return []expr.Any{&expr.Ct{Key: expr.CtKeySTATUS, Register: register}, masked(native32(statusTranslated)),
			&expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: native32(0)}}
	case egress.FlowStray:
		return append(states(expr.CtStateBitNEW|expr.CtStateBitINVALID),
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register}, equal([]byte{unix.IPPROTO_TCP}),
			&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: tcpFlags, Len: 1},
			masked([]byte{flagSYN | flagACK | flagRST | flagFIN}), &expr.Cmp{Op: expr.CmpOpNeq, Register: register, Data: []byte{flagSYN}})
	default:
		return nil
	}
}

func ports(r connection.PortRange, at uint32) []expr.Any {
	if r.First == 0 {
		return nil
	}
	load := &expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: at, Len: 2}
	return append([]expr.Any{load}, inRange(r)...)
}

func inRange(r connection.PortRange) []expr.Any {
	if r.First == r.Last {
		return []expr.Any{equal(binary.BigEndian.AppendUint16(nil, r.First))}
	}
	return []expr.Any{
		&expr.Cmp{Op: expr.CmpOpGte, Register: register, Data: binary.BigEndian.AppendUint16(nil, r.First)},
		&expr.Cmp{Op: expr.CmpOpLte, Register: register, Data: binary.BigEndian.AppendUint16(nil, r.Last)},
	}
}

// act is what happens to a packet that fits.
func act(r egress.Rule) []expr.Any {
	verdict := func(kind expr.VerdictKind, chain string) []expr.Any {
		return []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}
	}
	switch {
	case r.Jump != "":
		return verdict(expr.VerdictJump, r.Jump)
	case r.Goto != "":
		return verdict(expr.VerdictGoto, r.Goto)
	case r.MSS > 0:
		// The kernel lowers the option and never raises it.
		return []expr.Any{
			&expr.Payload{DestRegister: register, Base: expr.PayloadBaseTransportHeader, Offset: tcpFlags, Len: 1},
			masked([]byte{flagSYN | flagRST}), equal([]byte{flagSYN}),
			&expr.Immediate{Register: register, Data: binary.BigEndian.AppendUint16(nil, uint16(r.MSS))},
			&expr.Exthdr{SourceRegister: register, Type: optionMSS, Offset: 2, Len: 2, Op: expr.ExthdrOpTcpopt},
		}
	case r.Verdict == egress.Drop:
		return append([]expr.Any{&expr.Counter{}}, verdict(expr.VerdictDrop, "")...)
	default:
		return verdict(expr.VerdictReturn, "")
	}
}

func equal(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: data}
}

func masked(mask []byte) expr.Any {
	return &expr.Bitwise{SourceRegister: register, DestRegister: register, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}
}

func native32(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// table is everything that a policy wants of an IP version in the kernel.
type table struct {
	chains []renderedChain
	// hooks is the chains' by their names.
	hooks map[string]egress.Hook
	// dropping are the chains that count what they drop.
	dropping []string
}

// renderedChain is a chain as the kernel takes it. One with a hook is a base chain.
type renderedChain struct {
	name  string
	hook  egress.Hook
	rules []rendered
}

func render(chains []egress.Chain) (map[nft.TableFamily]table, error) {
	out, unfolded := map[nft.TableFamily]table{}, egress.Unfold(chains)
	for _, version := range []egress.Family{egress.IPv4, egress.IPv6} {
		out[familyOf(version)] = table{hooks: map[string]egress.Hook{}, dropping: egress.Dropping(unfolded, version)}
	}
	for _, chain := range unfolded {
		rules, err := renderRules(chain)
		if err != nil {
			return nil, err
		}
		t := out[familyOf(chain.Family)]
		t.chains = append(t.chains, renderedChain{chain.Name, chain.Hook, rules})
		t.hooks[chain.Name] = chain.Hook
		out[familyOf(chain.Family)] = t
	}
	return out, nil
}
