package check_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/probe/check"
)

var (
	loopback = netip.MustParseAddr("127.0.0.1")
	source   = netip.MustParseAddr("127.0.0.2")
)

func ask(target connection.Target, from netip.Addr) check.Result {
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	return check.Ask(ctx, target, from)
}

func at(listener net.Listener, kind connection.Check) connection.Target {
	address := listener.Addr().(*net.TCPAddr).AddrPort()
	target := connection.Target{Address: address.Addr().Unmap(), Port: address.Port(), Check: kind}
	if kind == connection.CheckHTTP {
		target.Path = "/health"
	}
	return target
}

func listen() net.Listener {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = listener.Close() })
	return listener
}

// deaf is a port whose backlog, of one, is full: a further connection to it gets no answer.
func deaf() connection.Target {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = syscall.Close(fd) })
	Expect(syscall.Bind(fd, &syscall.SockaddrInet4{Addr: loopback.As4()})).To(Succeed())
	Expect(syscall.Listen(fd, 0)).To(Succeed())
	name, err := syscall.Getsockname(fd)
	Expect(err).NotTo(HaveOccurred())
	port := name.(*syscall.SockaddrInet4).Port
	conn, err := net.Dial("tcp4", netip.AddrPortFrom(loopback, uint16(port)).String())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(conn.Close)
	return connection.Target{Address: loopback, Port: uint16(port), Check: connection.CheckTCP}
}

var _ = Describe("A TCP check", func() {
	It("is served by a port that accepts, and comes from the source address", func() {
		listener := listen()
		from := make(chan string, 1)
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				from <- conn.RemoteAddr().(*net.TCPAddr).IP.String()
				conn.Close()
			}
		}()
		result := ask(at(listener, connection.CheckTCP), source)
		Expect(result).To(And(HaveField("Asked", true), HaveField("Reached", true), HaveField("Served", true)))
		Expect(result.Took).To(BeNumerically(">", 0))
		Eventually(from).Should(Receive(Equal(source.String())))
	})

	It("reaches, but is not served by, a port that refuses", func() {
		listener := listen()
		target := at(listener, connection.CheckTCP)
		listener.Close()
		result := ask(target, source)
		Expect(result).To(And(HaveField("Reached", true), HaveField("Served", false)))
		Expect(result.Detail).To(ContainSubstring("the path works"))
	})

	It("does not reach a port that is silent", func() {
		result := ask(deaf(), source)
		Expect(result).To(And(HaveField("Asked", true), HaveField("Reached", false)))
		Expect(result.Detail).To(ContainSubstring("no answer within"))
	})

	It("says that it could not ask from an address that this VM does not have", func() {
		result := ask(connection.Target{Address: loopback, Port: 1, Check: connection.CheckTCP}, netip.MustParseAddr("192.0.2.77"))
		Expect(result).To(And(HaveField("Asked", false), HaveField("Reached", false)))
		Expect(result.Detail).NotTo(BeEmpty())
	})
})

var _ = Describe("An HTTP check", func() {
	DescribeTable("is served by any status, and follows no redirect", func(status int) {
		var requests atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer GinkgoRecover()
			requests.Add(1)
			Expect(r.URL.Path).To(Equal("/health"))
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}))
		DeferCleanup(server.Close)
		result := ask(at(server.Listener, connection.CheckHTTP), source)
		Expect(result).To(And(HaveField("Reached", true), HaveField("Served", true)))
		Expect(requests.Load()).To(Equal(int32(1)))
	}, Entry("success", 200), Entry("redirect", 302), Entry("not found", 404), Entry("failure", 500))

	// answered is asked of a server that reads a request, and then does what is said until nobody listens.
	answered := func(do func(net.Conn)) check.Result {
		listener := listen()
		go func() {
			if conn, err := listener.Accept(); err == nil {
				defer conn.Close()
				_, _ = conn.Read(make([]byte, 4096))
				do(conn)
			}
		}()
		return ask(at(listener, connection.CheckHTTP), source)
	}
	say := func(text string) func(net.Conn) {
		return func(conn net.Conn) { _, _ = io.WriteString(conn, text) }
	}
	// again says it for ever, in pauses.
	again := func(text string, pause time.Duration) func(net.Conn) {
		return func(conn net.Conn) {
			for _, err := io.WriteString(conn, text); err == nil; _, err = io.WriteString(conn, text) {
				time.Sleep(pause)
			}
		}
	}

	DescribeTable("reaches, but is not served by,",
		func(do func(net.Conn), detail string) {
			begun := time.Now()
			Expect(answered(do)).To(And(HaveField("Asked", true), HaveField("Reached", true), HaveField("Served", false), HaveField("Detail", ContainSubstring(detail))))
			Expect(time.Since(begun)).To(BeNumerically("<", 5*time.Second))
		},
		Entry("what speaks no HTTP", say("220 mail.example ESMTP\r\n"), "no HTTP"),
		Entry("what hangs up", func(net.Conn) {}, "no HTTP"),
		Entry("what begins an answer that is too long", again("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 4096), 0), "no HTTP"),
		Entry("what opens the connection and stays silent", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, "the connection opens, but no answer within"),
		Entry("what never comes to the end of its first line", again("H", 20*time.Millisecond), "the connection opens, but no answer within"),
	)

	DescribeTable("is served, and reads no more than it needs,",
		func(do func(net.Conn)) {
			result := answered(do)
			Expect(result).To(HaveField("Served", true))
			Expect(result.Took).To(BeNumerically("<", 300*time.Millisecond), "it did not wait for the end")
		},
		Entry("by a body without end", func(conn net.Conn) { say("HTTP/1.1 200 OK\r\n\r\n")(conn); again(strings.Repeat("x", 4096), 0)(conn) }),
		Entry("by a body that never comes", func(conn net.Conn) {
			say("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n")(conn)
			_, _ = io.Copy(io.Discard, conn)
		}),
	)
})

var _ = Describe("An ICMP check", func() {
	BeforeEach(func() {
		if os.Getuid() != 0 {
			Skip("needs root: a raw socket")
		}
	})

	It("is served by a host that answers", func() {
		result := ask(connection.Target{Address: loopback, Check: connection.CheckICMP}, source)
		Expect(result.Detail).To(BeEmpty())
		Expect(result).To(And(HaveField("Reached", true), HaveField("Served", true)))
	})

	It("says that it could not ask from an address that this VM does not have", func() {
		result := ask(connection.Target{Address: loopback, Check: connection.CheckICMP}, netip.MustParseAddr("192.0.2.77"))
		Expect(result).To(HaveField("Asked", false))
	})
})

var _ = Describe("A repeated check", func() {
	It("never overlaps, however long an answer takes, and ends with its context", func() {
		ctx, cancel := context.WithCancel(context.Background())
		var running, most, asked atomic.Int32
		done := make(chan struct{})
		go func() {
			defer close(done)
			check.Repeat(ctx, 5*time.Millisecond, 0, func(limited context.Context) check.Result {
				most.Store(max(most.Load(), running.Add(1)))
				defer running.Add(-1)
				asked.Add(1)
				<-limited.Done()
				time.Sleep(7 * time.Millisecond)
				return check.Result{}
			}, func(check.Result) {})
		}()
		Eventually(asked.Load).Should(BeNumerically(">", 3))
		cancel()
		Eventually(done).Should(BeClosed())
		Expect(most.Load()).To(Equal(int32(1)))
	})

	It("is spread over the interval", func() {
		Expect(check.Splay(10*time.Second, 0, 4)).To(BeZero())
		Expect(check.Splay(10*time.Second, 3, 4)).To(Equal(7500 * time.Millisecond))
		Expect(check.Splay(500*time.Millisecond, 1, 2)).To(Equal(250 * time.Millisecond))
	})

	It("is asked together with few others where there are many, so that the prober sleeps between", func() {
		at := map[time.Duration]int{}
		for i := range 100 {
			at[check.Splay(time.Second, i, 100)]++
		}
		Expect(at).To(HaveLen(20))
		Expect(at).To(HaveEach(5))
	})
})

var _ = DescribeTable("A target has a name",
	func(target connection.Target, name string) { Expect(check.Name(target)).To(Equal(name)) },
	Entry(nil, connection.Target{Address: loopback, Check: connection.CheckICMP}, "icmp://127.0.0.1"),
	Entry(nil, connection.Target{Address: loopback, Check: connection.CheckTCP, Port: 443}, "tcp://127.0.0.1:443"),
	Entry(nil, connection.Target{Address: loopback, Check: connection.CheckHTTP, Port: 80, Path: "/up"}, "http://127.0.0.1:80/up"),
)
