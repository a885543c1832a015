package nftables

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	nft "github.com/google/nftables"
	"github.com/google/nftables/expr"
	"go4.org/netipx"
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

// rendered is a rule as the kernel takes it.
type rendered struct {
	chain string
	exprs []expr.Any
	// mark is what the rule is known by: a hash of itself and of all before it in its chain.
	mark string
}

// set is a list of networks with a name that its contents decide.
type set struct {
	name     string
	networks []netipx.IPRange
}

// newSet gives the set of a list's addresses.
func newSet(networks []netip.Prefix) set {
	var builder netipx.IPSetBuilder
	for _, network := range networks {
		builder.AddPrefix(network)
	}
	addresses, _ := builder.IPSet()
	ranges := addresses.Ranges()
	return set{fmt.Sprintf("networks-%s", digest(fmt.Sprint(ranges))), ranges}
}

// elements are the set's in the kernel's order: the start of each range, and the first address after it.
func (s set) elements() []nft.SetElement {
	var out []nft.SetElement
	for _, r := range s.networks {
		out = append(out, nft.SetElement{Key: r.From().AsSlice()})
		if after := r.To().Next(); after.IsValid() {
			out = append(out, nft.SetElement{Key: after.AsSlice(), IntervalEnd: true})
		}
	}
	return out
}

// chainName is a chain's name in a table that holds both IP versions.
func chainName(family egress.Family, name string) string { return fmt.Sprintf("%s-v%d", name, family) }

// renderRules renders a chain's rules and the sets that they ask.
func renderRules(chain egress.Chain) ([]rendered, []set) {
	var out []rendered
	var sets []set
	sum := sha256.New()
	for _, rule := range chain.Rules {
		exprs, used := match(rule.Match)
		sets = append(sets, used...)
		exprs = append(exprs, act(chain.Family, rule)...)
		for _, e := range exprs {
			fmt.Fprintf(sum, "%T %+v\n", e, e)
		}
		out = append(out, rendered{chainName(chain.Family, chain.Name), exprs, hex.EncodeToString(sum.Sum(nil)[:8])})
	}
	return out, sets
}

func digest(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}

// match are the expressions that end a rule for a packet that does not fit.
func match(m egress.Match) (exprs []expr.Any, sets []set) {
	add := func(more ...expr.Any) { exprs = append(exprs, more...) }
	if len(m.Sources)+len(m.Destinations) > 0 {
		// The chain sees nothing else; with this, nft lists the rule in a form that it also reads.
		add(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register}, equal([]byte{unix.NFPROTO_IPV4}))
	}
	for _, side := range []struct {
		networks []netip.Prefix
		at       uint32
	}{{m.Sources, sourceAt}, {m.Destinations, destinationAt}} {
		switch len(side.networks) {
		case 0:
		case 1:
			add(within(side.networks[0], side.at)...)
		default:
			s := newSet(side.networks)
			sets = append(sets, s)
			add(address(side.at), &expr.Lookup{SourceRegister: register, SetName: s.name})
		}
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
	return exprs, sets
}

var protocols = map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP, "icmp": unix.IPPROTO_ICMP, "esp": unix.IPPROTO_ESP}

func address(at uint32) expr.Any {
	return &expr.Payload{DestRegister: register, Base: expr.PayloadBaseNetworkHeader, Offset: at, Len: 4}
}

func within(network netip.Prefix, at uint32) []expr.Any {
	mask := binary.BigEndian.AppendUint32(nil, ^uint32(0)<<(32-network.Bits()))
	return []expr.Any{address(at), masked(mask), equal(network.Masked().Addr().AsSlice())}
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
func act(family egress.Family, r egress.Rule) []expr.Any {
	verdict := func(kind expr.VerdictKind, chain string) []expr.Any {
		if chain != "" {
			chain = chainName(family, chain)
		}
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

// entry is the rule of a base chain that leads an IP version to its own chain.
func entry(base string, family egress.Family, chain string) rendered {
	number := byte(unix.NFPROTO_IPV4)
	if family == egress.IPv6 {
		number = unix.NFPROTO_IPV6
	}
	return rendered{base, []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register}, equal([]byte{number}),
		&expr.Verdict{Kind: expr.VerdictJump, Chain: chainName(family, chain)},
	}, digest(fmt.Sprintf("%s %d %s", base, family, chain))}
}

// base is the name of a hook's base chain.
func base(hook egress.Hook) string { return strings.ToLower(string(hook)) }

// table is everything that a policy wants in the kernel.
type table struct {
	// chains are the base chains, with their hook, and the others, without.
	chains map[string]egress.Hook
	rules  map[string][]rendered
	sets   map[string]set
}

func render(chains []egress.Chain) table {
	t := table{map[string]egress.Hook{}, map[string][]rendered{}, map[string]set{}}
	for _, chain := range chains {
		name := chainName(chain.Family, chain.Name)
		t.chains[name] = ""
		rules, sets := renderRules(chain)
		t.rules[name] = rules
		for _, s := range sets {
			t.sets[s.name] = s
		}
		if chain.Hook != "" {
			b := base(chain.Hook)
			t.chains[b] = chain.Hook
			t.rules[b] = append(t.rules[b], entry(b, chain.Family, chain.Name))
		}
	}
	return t
}

// names are the chains, each once, in a fixed order.
func (t table) names() []string {
	var out []string
	for name := range t.chains {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
