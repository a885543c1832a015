package command_test

import (
	"io"
	"net"
	"os"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// writing writes to a flow without a pause, until it is stopped.
func writing(flow net.Conn) (stop func()) {
	stopped, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-stopped:
				return
			case <-time.After(200 * time.Microsecond):
				_, _ = flow.Write([]byte("private"))
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(stopped)
		// What is dropped is not acknowledged: in the end the kernel takes no more, and a write waits for ever.
		_ = flow.SetWriteDeadline(time.Now())
		<-ended
	})
}

var _ = Describe("A flow ends on the cell", func() {
	network := map[string]any{"private_networks": []string{"10.160.0.0/16"}}
	port := map[string]any{"allow": []any{map[string]any{"protocol": "tcp", "ports": "8080"}}}

	DescribeTable("with what allowed it, and new ones go where they may",
		func(backend string, change map[string]any, answer string) {
			t := newTopology()
			policy := func(change map[string]any) map[string]any {
				policy := config("cell", cellAddress, "", change)
				policy["backend"] = backend
				return policy
			}
			t.apply("cell", policy(nil))
			t.apply("gateway", config("gateway", gatewayAddress, "", nil))
			opened, accepted := make(chan net.Conn, 1), make(chan net.Conn, 1)
			t.inside("private", func() {
				listener, err := net.Listen("tcp4", service+":7000")
				Expect(err).NotTo(HaveOccurred())
				DeferCleanup(listener.Close)
				go func() {
					if connection, err := listener.Accept(); err == nil {
						accepted <- connection
					}
				}()
			})
			t.inside("app", func() {
				connection, err := net.DialTimeout("tcp4", service+":7000", 5*time.Second)
				Expect(err).NotTo(HaveOccurred())
				opened <- connection
			})
			flow, served := <-opened, <-accepted
			DeferCleanup(func() { flow.Close(); served.Close() })
			arrives := func() bool {
				_ = flow.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
				_, err := flow.Write([]byte("private"))
				Expect(err).To(Or(BeNil(), MatchError(os.ErrDeadlineExceeded)), "nobody but the customer ends the flow")
				_ = served.SetReadDeadline(time.Now().Add(time.Second))
				_, err = served.Read(make([]byte, 16))
				return err == nil
			}
			Expect(arrives()).To(BeTrue())

			t.in("internet", "iptables", "-t", "raw", "-A", "PREROUTING", "-d", "10.150.0.0/16")
			stop := writing(flow)
			for range 2 {
				// Also after the next start, of which this policy is all that the enforcer is told.
				t.apply("cell", policy(change))
				stop()
				_ = served.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				_, _ = io.Copy(io.Discard, served)
				Expect(arrives()).To(BeFalse())
				Expect(t.in("internet", "iptables-save", "-c", "-t", "raw")).To(ContainSubstring("[0:0] -A PREROUTING"), "nothing went astray")
			}
			Expect(t.ask("app", service+":8080")).To(Equal(answer))
		},
		// What is private no more is any other destination, and in this world on the internet, too.
		Entry("the network, with iptables", "iptables", network, "leaked"),
		Entry("the network, with nftables", "nftables", network, "leaked"),
		Entry("the port, with iptables", "iptables", port, "private"),
		Entry("the port, with nftables", "nftables", port, "private"),
	)
})
