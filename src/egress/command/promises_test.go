package command_test

import (
	"net"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("With real packets", func() {
	for _, backend := range []string{"iptables", "nftables"} {
		policy := func(role, address string) map[string]any {
			policy := config(role, address, "", nil)
			policy["backend"] = backend
			return policy
		}

		It("no IPv6 is forwarded, and the VM's own passes: "+backend, func() {
			t := newTopology()
			const far = "fd00:20::1"
			for host, address := range map[string]string{"internet": far, "cell": "fd00:20::10"} {
				t.in(host, "ip", "address", "add", address+"/64", "dev", "eth0", "nodad")
			}
			t.in("cell", "ip", "address", "add", "fd00:10::1/64", "dev", "app", "nodad")
			t.in("app", "ip", "address", "add", "fd00:10::2/64", "dev", "eth0", "nodad")
			t.in("app", "ip", "route", "add", "default", "via", "fd00:10::1")
			t.in("internet", "ip", "route", "add", "fd00:10::/64", "via", "fd00:20::10")
			t.in("cell", "sysctl", "-q", "-w", "net.ipv6.conf.all.forwarding=1")
			t.inside("internet", func() {
				listener, err := net.Listen("tcp6", "["+far+"]:443")
				Expect(err).NotTo(HaveOccurred())
				DeferCleanup(listener.Close)
			})
			reaches := func(host string) (reached bool) {
				t.inside(host, func() {
					connection, err := net.DialTimeout("tcp6", "["+far+"]:443", time.Second)
					if reached = err == nil; reached {
						connection.Close()
					}
				})
				return reached
			}
			Eventually(reaches).WithArguments("app").WithTimeout(10 * time.Second).Should(BeTrue())
			t.apply("cell", policy("cell", cellAddress))
			Expect(reaches("app")).To(BeFalse())
			Expect(reaches("cell")).To(BeTrue())
		})

		It("no segment of TCP is larger than the tunnel's worst case, either way: "+backend, func() {
			t := newTopology()
			t.apply("cell", policy("cell", cellAddress))
			t.apply("gateway", policy("gateway", gatewayAddress))
			var sizes []int
			size := func(connection net.Conn) {
				raw, err := connection.(*net.TCPConn).SyscallConn()
				Expect(err).NotTo(HaveOccurred())
				Expect(raw.Control(func(fd uintptr) {
					n, err := syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG)
					Expect(err).NotTo(HaveOccurred())
					sizes = append(sizes, n)
				})).To(Succeed())
			}
			var listener net.Listener
			t.inside("private", func() {
				var err error
				listener, err = net.Listen("tcp4", service+":7000")
				Expect(err).NotTo(HaveOccurred())
			})
			defer listener.Close()
			t.inside("app", func() {
				connection, err := net.DialTimeout("tcp4", service+":7000", 5*time.Second)
				Expect(err).NotTo(HaveOccurred())
				defer connection.Close()
				size(connection)
			})
			served, err := listener.Accept()
			Expect(err).NotTo(HaveOccurred())
			defer served.Close()
			size(served)
			// Less the option of timestamps; without the clamp 1448.
			Expect(sizes).To(HaveEach(BeNumerically("<=", 1366)))
			Expect(sizes).To(HaveEach(BeNumerically(">", 1300)))
		})

		It("no neighbour talks a VM into another route, also by an interface that comes later: "+backend, func() {
			t := newTopology()
			for host, policy := range map[string]map[string]any{"cell": policy("cell", cellAddress), "gateway": policy("gateway", gatewayAddress)} {
				t.apply(host, policy)
				t.in(host, "ip", "link", "add", "later", "type", "veth")
				settings := t.in(host, "sh", "-c", "grep -H . /proc/sys/net/ipv4/conf/*/accept_redirects")
				Expect(settings).To(ContainSubstring("/later/"))
				for setting := range strings.Lines(settings) {
					Expect(setting).To(HaveSuffix(":0\n"))
				}
			}
		})
	}
})
