package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"privnet/doctor/wire"
)

func TestWire(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "doctor/wire")
}

// alone runs in a network namespace of its own, with only a loopback.
func alone(do func()) {
	GinkgoHelper()
	if os.Getuid() != 0 {
		Skip("needs root: network namespaces")
	}
	done := make(chan struct{})
	go func() {
		defer GinkgoRecover()
		defer close(done)
		// The thread is not unlocked: it ends with the goroutine, and the namespace with it.
		runtime.LockOSThread()
		Expect(unix.Unshare(unix.CLONE_NEWNET)).To(Succeed())
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		Expect(err).NotTo(HaveOccurred())
		defer unix.Close(fd)
		request, err := unix.NewIfreq("lo")
		Expect(err).NotTo(HaveOccurred())
		request.SetUint16(unix.IFF_UP)
		Expect(unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request)).To(Succeed())
		do()
	}()
	Eventually(done, "10s").Should(BeClosed())
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
		alone(func() {
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
