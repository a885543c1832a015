package netfilter_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"privnet/netnstest"
	"privnet/verify/space"
)

// bench is a router in a network namespace, and beside it a namespace in which the other ends of its links
// are, without addresses: what is sent and received there is bytes on the wire.
//
//	wire:left ── left:router:right   ── wire:right     10.9.0.0/24 has our realm
//	                  router:ipsec0  ── wire:ipsec0    the way to and from 10.9.1.0/24, 10.7.0.0/16
type bench struct {
	router, wire string
	sockets      map[string]int
	hardware     map[string]net.HardwareAddr
	marker       uint16
	flow         uint32
	// protects says that what passes between 10.8.0.0/16 and 10.9.2.0/24 is in the kernel's ESP.
	protects bool
	// asks says that the marker is an echo request to the router, and not a packet through it.
	asks bool
}

// The link-layer addresses of the wire's ends; the router has them as its neighbours'.
var wireAddress = net.HardwareAddr{2, 0, 0, 0, 0, 1}

// benches counts, because one spec may make several.
var benches atomic.Int32

func newBench() *bench {
	GinkgoHelper()
	if os.Geteuid() != 0 {
		Skip("needs root, for network namespaces")
	}
	name := fmt.Sprintf("vf-%d-%d", os.Getpid(), benches.Add(1))
	b := &bench{router: name + "-router", wire: name + "-wire", sockets: map[string]int{}, hardware: map[string]net.HardwareAddr{}}
	for _, host := range []string{b.router, b.wire} {
		do("ip", "netns", "add", host)
		DeferCleanup(func() { do("ip", "netns", "delete", host) })
	}
	do("ip", "netns", "exec", b.router, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
		"net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.default.send_redirects=0")
	for i, link := range []string{"left", "right", "ipsec0"} {
		do("ip", "-n", b.router, "link", "add", link, "type", "veth", "peer", "name", link, "netns", b.wire)
		do("ip", "-n", b.wire, "link", "set", link, "address", wireAddress.String(), "arp", "off", "up")
		do("ip", "-n", b.router, "link", "set", link, "up")
		do("ip", "-n", b.router, "address", "add", fmt.Sprintf("10.99.%d.1/30", i), "dev", link)
		do("ip", "-n", b.router, "neighbour", "add", fmt.Sprintf("10.99.%d.2", i), "lladdr", wireAddress.String(), "dev", link, "nud", "permanent")
	}
	for _, route := range []string{
		"10.8.0.0/16 via 10.99.0.2", "10.6.0.0/16 via 10.99.0.2", "10.9.0.0/16 via 10.99.1.2",
		"10.9.0.0/24 via 10.99.1.2 realm 0x706e", "10.9.1.0/24 via 10.99.2.2", "10.7.0.0/16 via 10.99.2.2",
	} {
		do("ip", append([]string{"-n", b.router, "route", "add"}, strings.Fields(route)...)...)
	}
	b.openSockets()
	return b
}

func do(program string, args ...string) {
	GinkgoHelper()
	out, err := exec.Command(program, args...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s %v: %s", program, args, out)
}

func (b *bench) openSockets() {
	GinkgoHelper()
	netnstest.In(b.router, func() {
		for link := range map[string]bool{"left": true, "right": true, "ipsec0": true} {
			device, err := net.InterfaceByName(link)
			Expect(err).NotTo(HaveOccurred())
			b.hardware[link] = device.HardwareAddr
		}
	})
	netnstest.In(b.wire, func() {
		for link := range b.hardware {
			device, err := net.InterfaceByName(link)
			Expect(err).NotTo(HaveOccurred())
			const everyIPv4 = uint16(unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8)
			socket, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(everyIPv4))
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(func() { _ = unix.Close(socket) })
			Expect(unix.Bind(socket, &unix.SockaddrLinklayer{Protocol: everyIPv4, Ifindex: device.Index})).To(Succeed())
			Expect(unix.SetNonblock(socket, true)).To(Succeed())
			b.sockets[link] = socket
		}
	})
}

// load makes the rules the router's only ones. The first of each built-in chain lets the marker pass.
func (b *bench) load(restore, text string) {
	GinkgoHelper()
	cmd := exec.Command("ip", "netns", "exec", b.router, restore)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s: %s", out, text)
}

// sent is a packet on the wire and what the evaluator is to be told of it.
type sent struct {
	link   string
	bytes  []byte
	as     space.Packet
	passed bool
}

// send sends the packets and notes which came out. The kernel handles packets in their order, as long as they
// come from one processor: when a marker is out, everything before it has passed or never will.
func (b *bench) send(packets []*sent) {
	GinkgoHelper()
	byID := map[uint16]*sent{}
	for i, p := range packets {
		id := uint16(i + 1)
		binary.BigEndian.PutUint16(p.bytes[14+4:], id)
		checksum(p.bytes[14:34])
		byID[id] = p
		bytes := p.bytes
		if p.as[space.Arrived] == space.Yes {
			bytes = encapsulated(bytes)
		}
		_, err := unix.Write(b.sockets[p.link], b.addressed(p.link, bytes))
		Expect(err).NotTo(HaveOccurred())
	}
	b.marker++
	id := 0x8000 | b.marker
	marker := frame(space.Packet{space.Source: 10<<24 | 8<<16 | 250, space.Destination: 10<<24 | 9<<16 | 250<<8 | 1, space.Protocol: 17, space.SourcePort: 9, space.Port: 9}, nil)
	if b.asks {
		marker = frame(space.Packet{space.Source: 10<<24 | 8<<16 | 250, space.Destination: 10<<24 | 99<<16 | 1, space.Protocol: 1, space.SourcePort: uint32(id)}, nil)
	}
	binary.BigEndian.PutUint16(marker[14+4:], id)
	checksum(marker[14:34])
	_, err := unix.Write(b.sockets["left"], b.addressed("left", marker))
	Expect(err).NotTo(HaveOccurred())
	buffer := make([]byte, 2048)
	deadline := time.Now().Add(10 * time.Second)
	// Once the marker was seen, another look at every link finds what came just before it.
	for found, looks := false, 0; looks < 2; {
		if found {
			looks++
		}
		Expect(time.Now()).To(BeTemporally("<", deadline), "the marker never came")
		for _, link := range []string{"ipsec0", "left", "right"} {
			for {
				n, _, err := unix.Recvfrom(b.sockets[link], buffer, 0)
				if err != nil || n < 34 {
					break
				}
				header, protected := decapsulated(buffer[14:n])
				got := binary.BigEndian.Uint16(header[4:])
				answers := b.asks && header[9] == 1 && binary.BigEndian.Uint16(header[24:]) == id
				found = found || got == id || answers
				if p := byID[got]; p != nil && slices.Equal(header[12:20], p.bytes[26:34]) {
					Expect(protected).To(Equal(p.as[space.Leaves] == space.Yes))
					p.passed = true
				}
			}
		}
	}
}

func (b *bench) addressed(link string, bytes []byte) []byte {
	copy(bytes, b.hardware[link])
	copy(bytes[6:], wireAddress)
	return bytes
}

// checksum writes the IPv4 header's (RFC 791).
func checksum(header []byte) {
	header[10], header[11] = 0, 0
	sum := uint32(0)
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(header[10:], ^uint16(sum))
}

// frame is a packet on the wire. quoted is the packet that an ICMP error is about.
func frame(p space.Packet, quoted []byte) []byte {
	GinkgoHelper()
	ip := &layers.IPv4{Version: 4, TTL: 64, SrcIP: space.Address(p[space.Source]).AsSlice(), DstIP: space.Address(p[space.Destination]).AsSlice(), Protocol: layers.IPProtocol(p[space.Protocol])}
	parts := []gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: wireAddress, DstMAC: wireAddress, EthernetType: layers.EthernetTypeIPv4}, ip}
	switch {
	case quoted != nil:
		parts = append(parts, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 1)}, gopacket.Payload(quoted[14:min(len(quoted), 14+28)]))
	case p[space.Protocol] == 6:
		header := &layers.TCP{SrcPort: layers.TCPPort(p[space.SourcePort]), DstPort: layers.TCPPort(p[space.Port]), Window: 1000}
		header.Seq, header.Ack = 1000, 5001
		switch p[space.Flow] {
		case space.New:
			header.SYN, header.Ack = true, 0
		case space.Reply:
			header.SYN, header.ACK, header.Seq, header.Ack = true, true, 5000, 1001
		case space.Established:
			header.ACK, header.Seq = true, 1001
		}
		Expect(header.SetNetworkLayerForChecksum(ip)).To(Succeed())
		parts = append(parts, header)
	case p[space.Protocol] == 17:
		header := &layers.UDP{SrcPort: layers.UDPPort(p[space.SourcePort]), DstPort: layers.UDPPort(p[space.Port])}
		Expect(header.SetNetworkLayerForChecksum(ip)).To(Succeed())
		parts = append(parts, header, gopacket.Payload("payload"))
	case p[space.Protocol] == 1:
		kind := uint8(layers.ICMPv4TypeEchoRequest)
		if p[space.Flow] == space.Reply {
			kind = layers.ICMPv4TypeEchoReply
		}
		parts = append(parts, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(kind, 0), Id: uint16(p[space.SourcePort])})
	default:
		parts = append(parts, gopacket.Payload("no header that anybody reads"))
	}
	buffer := gopacket.NewSerializeBuffer()
	Expect(gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...)).To(Succeed())
	return buffer.Bytes()
}

// arrive fills in what follows from the packet's addresses: by which links it goes, and its route's realm.
func (b *bench) arrive(p space.Packet) *sent {
	second := func(d space.Dimension) byte { return byte(p[d] >> 16) }
	link := map[byte]string{7: "ipsec0", 9: "right"}[second(space.Source)]
	if p[space.Source]>>8 == 10<<16|9<<8|1 {
		link = "ipsec0"
	}
	if link == "" {
		link = "left"
	}
	p[space.ArrivedBy], p[space.LeavesBy], p[space.Realm] = space.No, space.No, 0
	if link == "ipsec0" {
		p[space.ArrivedBy] = space.Yes
	}
	if second(space.Destination) == 7 || p[space.Destination]>>8 == 10<<16|9<<8|1 {
		p[space.LeavesBy] = space.Yes
	}
	if p[space.Destination]>>8 == 10<<16|9<<8 {
		p[space.Realm] = 0x706e
	}
	p[space.Arrived], p[space.Leaves] = space.No, space.No
	if b.protects && isBehindESP(p[space.Source]) && second(space.Destination) == 8 {
		p[space.Arrived] = space.Yes
	}
	if b.protects && isBehindESP(p[space.Destination]) && second(space.Source) == 8 {
		p[space.Leaves] = space.Yes
	}
	return &sent{link: link, as: p}
}

// reversed is the answer to a packet.
func reversed(p space.Packet) space.Packet {
	p[space.Source], p[space.Destination] = p[space.Destination], p[space.Source]
	p[space.SourcePort], p[space.Port] = p[space.Port], p[space.SourcePort]
	return p
}
