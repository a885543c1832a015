package vici_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/ipsec/vici"
)

// serve makes a socket that does with each connection what is said, and hangs up.
func serve(do func(net.Conn)) string {
	GinkgoHelper()
	socket := filepath.Join(GinkgoT().TempDir(), "charon.vici")
	listener, err := net.Listen("unix", socket)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(listener.Close)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				do(conn)
			}()
		}
	}()
	return socket
}

// answers gives one answer after the other, and then hangs up.
func answers(all ...string) func(net.Conn) {
	return func(conn net.Conn) {
		for _, answer := range all {
			var length [4]byte
			if _, err := io.ReadFull(conn, length[:]); err != nil {
				return
			}
			if _, err := io.CopyN(io.Discard, conn, int64(binary.BigEndian.Uint32(length[:]))); err != nil {
				return
			}
			if _, err := io.WriteString(conn, answer); err != nil {
				return
			}
		}
	}
}

// confirmed is what charon answers to who wants to hear of an event.
const confirmed = "\x00\x00\x00\x01\x05"

var _ = Describe("A charon that is broken", func() {
	DescribeTable("is reported as often as it is tried",
		func(do func(net.Conn), reason ...string) {
			seen := watch(serve(do), never)
			Eventually(func() int { seen.Lock(); defer seen.Unlock(); return seen.errors }, soon).Should(BeNumerically(">", 1))
			Expect(seen.now().SAs).To(BeEmpty())
			for _, r := range reason {
				Expect(seen.now().Err).To(MatchError(ContainSubstring(r)))
			}
		},
		Entry("because it hangs up at once", func(net.Conn) {}),
		Entry("because it ends before anything has happened", answers(confirmed)),
		Entry("because it ends in the middle of an event", answers(confirmed+"\x00\x00\x01\x00\x07\x0aike-updown\x00")),
		Entry("because it tells of an event without its name", answers(confirmed+"\x00\x00\x00\x02\x07\xff")),
		Entry("because it refuses what it is asked", answers("\x00\x00\x00\x01\x06"), "unknown event type"),
		Entry("because it answers with nothing", answers("\x00\x00\x00\x00")),
		Entry("because something else is there, whose first word would be a message of a gigabyte", answers("HTTP/1.1 400 Bad Request\r\n"), "a message of 1213486160 bytes, which it never sends"),
	)

	// silent gives its answers, and from then on none.
	silent := func(all ...string) func(net.Conn) {
		return func(conn net.Conn) {
			answers(all...)(conn)
			_, _ = io.Copy(io.Discard, conn)
		}
	}

	It("is reported when it never answers, after a while: it may be busy", func() {
		Eventually(watch(serve(silent()), never).now, "20s").Should(HaveField("Err", HaveOccurred()))
	})

	DescribeTable("does not keep those who wait for it from ending",
		func(do func(net.Conn)) {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			asked := make(chan net.Conn, 16)
			socket := serve(func(conn net.Conn) { asked <- conn; do(conn) })
			watched, followed := make(chan struct{}), make(chan struct{})
			go func() { defer close(watched); vici.Watch(ctx, socket, never, func(vici.Update) {}) }()
			go func() { defer close(followed); vici.FollowLog(ctx, socket, func(vici.LogLine) {}) }()
			for range 3 {
				Eventually(asked).Should(Receive())
			}
			cancel()
			Eventually(watched, "2s").Should(BeClosed())
			Eventually(followed, "2s").Should(BeClosed())
		},
		Entry("when it never answers", silent()),
		Entry("when it confirms, and never tells", silent(confirmed)),
	)
})
