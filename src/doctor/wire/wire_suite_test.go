package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
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
