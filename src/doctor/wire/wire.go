// Package wire listens to the IKE packets on a VM's interfaces, before any rule has seen them: what comes
// here and not to charon was dropped on the VM. It takes IKE only and nobody's data: of ESP it tells whose it
// is. It only listens. It needs CAP_NET_RAW.
package wire

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Packet is one IPv4 packet that holds IKE.
type Packet struct {
	Time     time.Time
	From, To netip.AddrPort
	// Outgoing says that this VM sent it.
	Outgoing bool
	// Data is the packet from its IP header on.
	Data []byte
}

// Begins says whether the packet is the first of an exchange: the responder's SPI is not known yet (RFC 7296
// section 3.1, the same in RFC 2408).
func (p Packet) Begins() bool {
	ike := p.Data[int(p.Data[0]&0xf)*4+8:]
	if p.From.Port() != ikePort && p.To.Port() != ikePort {
		ike = ike[min(len(ike), 4):] // the non-ESP marker
	}
	return len(ike) >= 16 && binary.BigEndian.Uint64(ike[8:]) == 0
}

const (
	ikePort  = 500
	nattPort = 4500
	snapLen  = 65535
)

// filter passes UDP over IPv4 from or to port 500, and from or to 4500 if it starts with the non-ESP
// marker of four zeros (RFC 3948). Fragments but the first have no ports and do not pass.
var filter = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 0, Size: 1},
	bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x40, SkipTrue: 16},
	bpf.LoadAbsolute{Off: 9, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 14},
	bpf.LoadAbsolute{Off: 6, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 12},
	bpf.LoadMemShift{Off: 0},
	bpf.LoadIndirect{Off: 0, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: ikePort, SkipTrue: 8},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: nattPort, SkipTrue: 3},
	bpf.LoadIndirect{Off: 2, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: ikePort, SkipTrue: 5},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nattPort, SkipTrue: 5},
	bpf.LoadIndirect{Off: 4, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpLessThan, Val: 12, SkipTrue: 3},
	bpf.LoadIndirect{Off: 8, Size: 4},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0, SkipTrue: 1},
	bpf.RetConstant{Val: snapLen},
	bpf.RetConstant{Val: 0},
}

// espHeader is what is taken of a packet with ESP: its IP header, and enough behind it to be parsed.
const espHeader = 60 + 8

// espFilter passes the beginning of ESP over IPv4, as IP protocol 50 or in UDP (RFC 3948).
var espFilter = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 0, Size: 1},
	bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x40, SkipTrue: 15},
	bpf.LoadAbsolute{Off: 6, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 13},
	bpf.LoadAbsolute{Off: 9, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ESP, SkipTrue: 10},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_UDP, SkipTrue: 10},
	bpf.LoadMemShift{Off: 0},
	bpf.LoadIndirect{Off: 0, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: nattPort, SkipTrue: 2},
	bpf.LoadIndirect{Off: 2, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: nattPort, SkipTrue: 5},
	bpf.LoadIndirect{Off: 4, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpLessThan, Val: 16, SkipTrue: 3},
	bpf.LoadIndirect{Off: 8, Size: 4},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
	bpf.RetConstant{Val: espHeader},
	bpf.RetConstant{Val: 0},
}

// Listen delivers IKE packets until the context ends. ready is called once none can be missed.
func Listen(ctx context.Context, ready func(), deliver func(Packet)) error {
	return listen(ctx, filter, ready, deliver)
}

// ESP is what is told of a packet with ESP.
type ESP struct {
	From netip.Addr
	// Outgoing says that this VM sent it.
	Outgoing bool
	// SPI names the tunnel, in charon's eight hexadecimal digits.
	SPI string
	// Length is the packet's in bytes, from the SPI on.
	Length int
}

// ListenESP tells of ESP until the context ends. ready is called once none can be missed.
func ListenESP(ctx context.Context, ready func(), deliver func(ESP)) error {
	return listen(ctx, espFilter, ready, func(p Packet) {
		header := int(p.Data[0]&0xf) * 4
		if p.Data[9] == unix.IPPROTO_UDP {
			header += 8
		}
		if len(p.Data) >= header+4 {
			deliver(ESP{p.From.Addr(), p.Outgoing, hex.EncodeToString(p.Data[header : header+4]), int(binary.BigEndian.Uint16(p.Data[2:])) - header})
		}
	})
}

func listen(ctx context.Context, filter []bpf.Instruction, ready func(), deliver func(Packet)) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a packet socket: %w", err)
	}
	defer unix.Close(fd)
	if err := attach(fd, filter); err != nil {
		return fmt.Errorf("filtering packets: %w", err)
	}
	// Bound only now, so that nothing comes in unfiltered.
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all}); err != nil {
		return fmt.Errorf("listening on all interfaces: %w", err)
	}
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}); err != nil {
		return fmt.Errorf("listening on all interfaces: %w", err)
	}
	ready()
	buffer := make([]byte, snapLen)
	for ctx.Err() == nil {
		n, from, err := unix.Recvfrom(fd, buffer, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading a packet: %w", err)
		}
		packet, ok := parse(buffer[:n])
		if !ok {
			continue
		}
		if link, isLink := from.(*unix.SockaddrLinklayer); isLink {
			packet.Outgoing = link.Pkttype == unix.PACKET_OUTGOING
		}
		packet.Time = time.Now()
		deliver(packet)
	}
	return nil
}

func attach(fd int, filter []bpf.Instruction) error {
	raw, err := bpf.Assemble(filter)
	if err != nil {
		return err
	}
	instructions := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		instructions[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(instructions)), Filter: &instructions[0]})
}

func parse(data []byte) (Packet, bool) {
	if len(data) < 20 || data[0]>>4 != 4 {
		return Packet{}, false
	}
	header := int(data[0]&0xf) * 4
	if header < 20 || len(data) < header+8 {
		return Packet{}, false
	}
	port := func(offset int) uint16 { return binary.BigEndian.Uint16(data[header+offset:]) }
	return Packet{
		From: netip.AddrPortFrom(netip.AddrFrom4([4]byte(data[12:16])), port(0)),
		To:   netip.AddrPortFrom(netip.AddrFrom4([4]byte(data[16:20])), port(2)),
		Data: append([]byte(nil), data...),
	}, true
}

// Writer writes packets as a pcap file (draft-ietf-opsawg-pcap) of raw IPv4 packets.
type Writer struct{ out io.Writer }

const (
	pcapMagic   = 0xa1b2c3d4
	linkTypeRaw = 101
)

// NewWriter writes the file's header.
func NewWriter(out io.Writer) (Writer, error) {
	header := binary.BigEndian.AppendUint32(nil, pcapMagic)
	header = binary.BigEndian.AppendUint16(header, 2)
	header = binary.BigEndian.AppendUint16(header, 4)
	header = append(header, make([]byte, 8)...)
	header = binary.BigEndian.AppendUint32(header, snapLen)
	header = binary.BigEndian.AppendUint32(header, linkTypeRaw)
	_, err := out.Write(header)
	return Writer{out}, err
}

// Write writes one packet.
func (w Writer) Write(p Packet) error {
	record := binary.BigEndian.AppendUint32(nil, uint32(p.Time.Unix()))
	record = binary.BigEndian.AppendUint32(record, uint32(p.Time.Nanosecond()/1000))
	record = binary.BigEndian.AppendUint32(record, uint32(len(p.Data)))
	record = binary.BigEndian.AppendUint32(record, uint32(len(p.Data)))
	_, err := w.out.Write(append(record, p.Data...))
	return err
}
