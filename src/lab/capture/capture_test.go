package capture_test

import (
	"context"
	"net"
	"os"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/lab/capture"
	"privnet/lab/host"
)

// frame is an Ethernet frame with an IPv4 packet.
func frame(protocol layers.IPProtocol, above ...gopacket.SerializableLayer) []byte {
	ip := &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: protocol, SrcIP: net.IP{203, 0, 113, 10}, DstIP: net.IP{198, 51, 100, 10}}
	stack := []gopacket.SerializableLayer{
		&layers.Ethernet{SrcMAC: make(net.HardwareAddr, 6), DstMAC: make(net.HardwareAddr, 6), EthernetType: layers.EthernetTypeIPv4}, ip,
	}
	buffer := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true}, append(stack, above...)...); err != nil {
		panic(err) // the table below is made while the specs are collected
	}
	return buffer.Bytes()
}

func udp(source, destination layers.UDPPort, payload ...byte) []byte {
	return frame(layers.IPProtocolUDP, &layers.UDP{SrcPort: source, DstPort: destination}, gopacket.Payload(payload))
}

var (
	spi      = []byte{1, 2, 3, 4, 5, 6, 7, 8}
	zero     = make([]byte, 8)
	opening  = append(append([]byte{}, spi...), zero...)
	answered = append(append([]byte{}, spi...), spi...)
	marker   = []byte{0, 0, 0, 0}
)

var _ = DescribeTable("telling packets apart",
	func(data []byte, kind capture.Kind, opens, initiates bool) {
		p, ok := capture.Decode(data, layers.LinkTypeEthernet, time.Unix(1, 0))
		Expect(ok).To(BeTrue())
		Expect(p.Src.String()).To(Equal("203.0.113.10"))
		Expect(p.Dst.String()).To(Equal("198.51.100.10"))
		Expect(p.Kind).To(Equal(kind))
		Expect(p.InUDP).To(Equal(kind == capture.ESP && opens), "what is in UDP opens something")
		Expect(p.Opens).To(Equal(opens))
		Expect(p.Initiates).To(Equal(initiates))
	},
	Entry("IKE that opens an SA", udp(500, 500, opening...), capture.IKE, true, true),
	Entry("IKE within an SA", udp(500, 500, answered...), capture.IKE, true, false),
	Entry("IKE that opens an SA, on 4500", udp(4500, 4500, append(marker, opening...)...), capture.IKE, true, true),
	Entry("IKE from behind a NAT", udp(4500, 1027, append(marker, answered...)...), capture.IKE, true, false),
	Entry("ESP in UDP", udp(4500, 4500, append([]byte{9, 9, 9, 9}, opening...)...), capture.ESP, true, false),
	Entry("a NAT keepalive", udp(4500, 4500, 0xff), capture.ESP, true, false),
	Entry("ESP", frame(layers.IPProtocolESP, gopacket.Payload(answered)), capture.ESP, false, false),
	Entry("other UDP", udp(53, 53, opening...), capture.Other, true, false),
	Entry("a SYN", frame(layers.IPProtocolTCP, &layers.TCP{SYN: true}), capture.Other, true, false),
	Entry("an answer to a SYN", frame(layers.IPProtocolTCP, &layers.TCP{SYN: true, ACK: true}), capture.Other, false, false),
	Entry("an echo request", frame(layers.IPProtocolICMPv4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(8, 0)}), capture.Other, true, false),
	Entry("an echo reply", frame(layers.IPProtocolICMPv4, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(0, 0)}), capture.Other, false, false),
)

var _ = Describe("capturing", Serial, func() {
	It("sees every packet of a host's interface", func(ctx SpecContext) {
		if os.Geteuid() != 0 {
			Skip("making namespaces needs root")
		}
		dir := GinkgoT().TempDir()
		DeferCleanup(func() { Expect(host.EndAll(context.Background(), dir)).To(Succeed()) })
		h, err := host.Start(ctx, dir, "spec-capture")
		Expect(err).NotTo(HaveOccurred())

		watch, err := capture.Start(dir, h, "lo")
		Expect(err).NotTo(HaveOccurred())
		conn, err := h.Dial(ctx, "udp", "127.0.0.1:9")
		Expect(err).NotTo(HaveOccurred())
		defer conn.Close()
		for range 100 {
			// The refusal of one is told to the next.
			_, _ = conn.Write([]byte("x"))
		}
		packets, err := watch.Stop()
		Expect(err).NotTo(HaveOccurred())
		Expect(len(packets)).To(BeNumerically(">=", 50))
		Expect(packets[0].Opens).To(BeTrue())

		_, err = capture.Start(dir, h, "eth7")
		Expect(err).To(MatchError(ContainSubstring("eth7")))
	})
})
