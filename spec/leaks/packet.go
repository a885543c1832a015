package leaks

import (
	"encoding/binary"
	"net/netip"
)

// protocol is one by its number in IPv4.
type protocol byte

const (
	icmp protocol = 1
	tcp  protocol = 6
	udp  protocol = 17
)

// every is what most flows send.
var every = []protocol{udp, tcp, icmp}

// headerLength is that of an IPv4 header without options.
const headerLength = 20

// packet is an IPv4 packet from one address to another: a UDP datagram, a TCP SYN or an ICMP echo request. id is
// the source port or the echo's identifier: packets with the same one belong to one tracked flow.
func packet(p protocol, from, to netip.Addr, id, port uint16) []byte {
	var payload []byte
	at := 0 // of the checksum
	switch p {
	case udp:
		payload, at = make([]byte, 16), 6
		binary.BigEndian.PutUint16(payload[4:], uint16(len(payload)))
	case tcp:
		payload, at = make([]byte, 20), 16
		payload[12], payload[13] = 5<<4, 2 // header length in words, SYN
		binary.BigEndian.PutUint16(payload[14:], 1024)
	default:
		payload, at = make([]byte, 16), 2
		payload[0] = 8 // echo request
		binary.BigEndian.PutUint16(payload[4:], id)
	}
	source, destination := from.As4(), to.As4()
	pseudo := []byte{}
	if p != icmp {
		binary.BigEndian.PutUint16(payload, id)
		binary.BigEndian.PutUint16(payload[2:], port)
		pseudo = append(append(pseudo, source[:]...), destination[:]...)
		pseudo = append(pseudo, 0, byte(p), 0, byte(len(payload)))
	}
	binary.BigEndian.PutUint16(payload[at:], checksum(append(pseudo, payload...)))

	header := make([]byte, headerLength, headerLength+len(payload))
	header[0], header[8], header[9] = 0x45, 64, byte(p)
	binary.BigEndian.PutUint16(header[2:], uint16(headerLength+len(payload)))
	copy(header[12:], source[:])
	copy(header[16:], destination[:])
	return append(header, payload...)
}

// checksum is the internet's, RFC 1071. The data has an even length.
func checksum(data []byte) uint16 {
	var sum uint32
	for i := 0; i < len(data); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
