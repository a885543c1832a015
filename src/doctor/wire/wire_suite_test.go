package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/doctor/wire"
	"privnet/netnstest"
)

func TestWire(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "doctor/wire")
}

func send(port int, data []byte) {
	GinkgoHelper()
	conn, err := net.DialUDP("udp4", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	Expect(err).NotTo(HaveOccurred())
	defer conn.Close()
	_, err = conn.Write(data)
	Expect(err).NotTo(HaveOccurred())
}

var _ = Describe("Listening on the wire", func() {
	It("hears IKE and neither ESP nor anything else", func() {
		var packets []wire.Packet
		netnstest.Alone(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			// It sends itself, on the thread that is in the namespace.
			err := wire.Listen(ctx, func() {
				send(500, []byte("an IKE packet"))
				send(4500, append([]byte{0, 0, 0, 0}, "IKE behind NAT"...))
				send(4500, []byte{0xff})
				send(4500, append([]byte{1, 2, 3, 4}, "ESP in UDP, somebody's data"...))
				send(53, []byte("a question"))
			}, func(p wire.Packet) { packets = append(packets, p) })
			Expect(err).NotTo(HaveOccurred())
		})
		heard := map[string]bool{}
		for _, p := range packets {
			heard[string(p.Data[28:])] = true
		}
		Expect(heard).To(HaveLen(2))
		Expect(heard).To(And(HaveKey("an IKE packet"), HaveKey("\x00\x00\x00\x00IKE behind NAT")))
		Expect(packets[0].To.Port()).To(BeEquivalentTo(500))
	})

	It("tells whose ESP is, and takes none of it", func() {
		var heard []string
		netnstest.Alone(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			err := wire.ListenESP(ctx, func() {
				send(500, []byte("an IKE packet that is long enough"))
				send(4500, append([]byte{0, 0, 0, 0}, "IKE behind NAT"...))
				send(4500, []byte{0xff})
				send(4500, append([]byte{1, 2, 3, 4}, "ESP in UDP, somebody's data"...))
				protocol50, err := net.Dial("ip4:50", "127.0.0.1")
				Expect(err).NotTo(HaveOccurred())
				defer protocol50.Close()
				_, err = protocol50.Write(append([]byte{5, 6, 7, 8}, "ESP, somebody's data"...))
				Expect(err).NotTo(HaveOccurred())
			}, func(p wire.ESP) {
				Expect(p.From).To(Equal(netip.MustParseAddr("127.0.0.1")))
				if !p.Outgoing {
					heard = append(heard, fmt.Sprint(p.SPI, " ", p.Length))
				}
			})
			Expect(err).NotTo(HaveOccurred())
		})
		Expect(heard).To(Equal([]string{"01020304 31", "05060708 24"}))
	})

	It("knows the first packet of an exchange by the responder's SPI", func() {
		ip := append([]byte{0x45}, make([]byte, 27)...)
		first := append([]byte("iSPIiSPI"), make([]byte, 12)...)
		later := []byte("iSPIiSPIrSPIrSPI....")
		marked := func(port uint16, ike []byte) wire.Packet {
			if port != 500 {
				ike = append(make([]byte, 4), ike...)
			}
			return wire.Packet{To: netip.AddrPortFrom(netip.IPv4Unspecified(), port), Data: append(ip[:len(ip):len(ip)], ike...)}
		}
		for _, port := range []uint16{500, 4500} {
			Expect(marked(port, first).Begins()).To(BeTrue())
			Expect(marked(port, later).Begins()).To(BeFalse())
			Expect(marked(port, nil).Begins()).To(BeFalse())
		}
	})

	It("writes what any analyser reads as pcap", func() {
		var out bytes.Buffer
		w, err := wire.NewWriter(&out)
		Expect(err).NotTo(HaveOccurred())
		Expect(w.Write(wire.Packet{Time: time.Unix(1, 2000), Data: []byte("packet")})).To(Succeed())
		Expect(out.Len()).To(Equal(24 + 16 + 6))
		Expect(binary.BigEndian.Uint32(out.Bytes())).To(BeEquivalentTo(0xa1b2c3d4))
		Expect(binary.BigEndian.Uint32(out.Bytes()[20:])).To(BeEquivalentTo(101))
		Expect(binary.BigEndian.Uint32(out.Bytes()[28:])).To(BeEquivalentTo(2))
	})
})
