package view_test

import (
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/ipsec/vici/view"
)

// packet is one packet of the vici protocol.
func packet(kind byte, name, message string) []byte {
	body := append([]byte{kind, byte(len(name))}, name+message...)
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
}

var _ = Describe("The read-only view", func() {
	var (
		window view.View
		charon net.Listener
	)

	BeforeEach(func() {
		if os.Getuid() != 0 {
			Skip("needs root: the socket is given to another group")
		}
		directory := GinkgoT().TempDir()
		window = view.View{
			Charon: filepath.Join(directory, "charon.vici"), Socket: filepath.Join(directory, "view", "vici.sock"),
			Group: 1000, Log: slog.New(slog.DiscardHandler),
		}
		var err error
		charon, err = net.Listen("unix", window.Charon)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(charon.Close)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- window.Serve(ctx) }()
		DeferCleanup(func() { cancel(); Eventually(done).Should(Receive(BeNil())) })
		Eventually(window.Socket).Should(BeAnExistingFile())
	})

	connect := func() (client, server net.Conn) {
		// The file is there a moment before the socket listens.
		Eventually(func() (err error) {
			client, err = net.Dial("unix", window.Socket)
			return err
		}).Should(Succeed())
		DeferCleanup(client.Close)
		server, err := charon.Accept()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(server.Close)
		for _, c := range []net.Conn{client, server} {
			Expect(c.SetDeadline(time.Now().Add(5 * time.Second))).To(Succeed())
		}
		return client, server
	}

	DescribeTable("passes on a question that only looks, and whatever is answered", func(question []byte) {
		client, server := connect()
		_, err := client.Write(question)
		Expect(err).NotTo(HaveOccurred())
		received := make([]byte, len(question))
		_, err = io.ReadFull(server, received)
		Expect(err).NotTo(HaveOccurred())
		Expect(received).To(Equal(question))

		_, err = server.Write([]byte("anything"))
		Expect(err).NotTo(HaveOccurred())
		answer := make([]byte, len("anything"))
		_, err = io.ReadFull(client, answer)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(answer)).To(Equal("anything"))
	},
		Entry("for the tunnels", packet(0, "list-sas", "arguments")),
		Entry("for what becomes of them", packet(3, "ike-updown", "")),
		Entry("for charon's log as it comes", packet(3, "log", "")),
	)

	DescribeTable("hangs up, and passes nothing on, when it is asked",
		func(request []byte) {
			client, server := connect()
			_, err := client.Write(request)
			Expect(err).NotTo(HaveOccurred())
			Expect(io.ReadAll(server)).To(BeEmpty())
			answer, _ := io.ReadAll(client) // an error if part of the request was not read
			Expect(answer).To(BeEmpty())
		},
		Entry("to close a tunnel", packet(0, "terminate", "")),
		Entry("to load a connection", packet(0, "load-conn", "")),
		Entry("to load a key", packet(0, "load-shared", "")),
		Entry("to list keys", packet(0, "get-shared", "")),
		Entry("for charon's log as a command", packet(0, "log", "")),
		Entry("for charon's alerts", packet(3, "alert", "")),
		Entry("for a command under an event's name", packet(0, "ike-updown", "")),
		Entry("with a packet type of answers", packet(1, "list-sas", "")),
		Entry("with a name that ends elsewhere", []byte{0, 0, 0, 3, 0, 200, 'l'}),
		Entry("with nothing in it", []byte{0, 0, 0, 0}),
		Entry("with far too much", []byte{0x7f, 0xff, 0xff, 0xff, 0, 8}),
	)

	It("belongs to its group and to nobody else", func() {
		for _, path := range []string{window.Socket, filepath.Dir(window.Socket)} {
			info, err := os.Stat(path)
			Expect(err).NotTo(HaveOccurred())
			Expect(info.Mode().Perm() & 0o007).To(BeZero())
			Expect(info.Sys().(*syscall.Stat_t).Gid).To(Equal(uint32(1000)))
		}
	})
})
