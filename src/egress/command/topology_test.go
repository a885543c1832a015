package command_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/netnstest"
)

const (
	appAddress      = "10.255.1.2"
	cellAddress     = "10.20.0.10"
	gatewayAddress  = "10.20.0.4"
	otherAddress    = "10.30.0.9"
	service         = "10.150.0.10"
	publicService   = "93.184.216.34"
	endpointAddress = "199.9.14.201"
)

// topology is a small world:
//
//	app ── cell ──┐         ┌── gateway ─ipsec0─ private
//	              ├── lan ──┤
//	other ────────┘         └── internet
//
// The app is masqueraded to its cell as silk does it. The gateway's tunnel is a plain link named ipsec0,
// which is all that the userland data path shows to the rules. The internet has the private service's
// address too: what arrives there has leaked.
type topology struct {
	prefix, dir string
}

var topologies atomic.Int32

func newTopology() *topology {
	GinkgoHelper()
	if os.Geteuid() != 0 {
		Skip("needs root, for network namespaces")
	}
	t := &topology{prefix: fmt.Sprintf("eg-%d-%d-", os.Getpid(), topologies.Add(1)), dir: GinkgoT().TempDir()}
	executable, err := os.Executable()
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Symlink(executable, filepath.Join(t.dir, programName))).To(Succeed())

	for _, host := range []string{"app", "cell", "lan", "gateway", "private", "internet", "other"} {
		t.ip("netns", "add", t.prefix+host)
		DeferCleanup(func() { t.ip("netns", "delete", t.prefix+host) })
		t.in(host, "ip", "link", "set", "lo", "up")
	}
	t.in("lan", "ip", "link", "add", "br0", "type", "bridge")
	t.in("lan", "ip", "link", "set", "br0", "up")
	for host, address := range map[string]string{"cell": cellAddress + "/24", "gateway": gatewayAddress + "/24", "internet": "10.20.0.1/24", "other": otherAddress + "/24"} {
		t.link("lan", host, host, "eth0")
		t.in("lan", "ip", "link", "set", host, "master", "br0")
		t.address(host, "eth0", address)
	}
	t.in("cell", "ip", "route", "add", "default", "via", "10.20.0.1")
	t.in("gateway", "ip", "route", "add", "default", "via", "10.20.0.1")
	t.in("gateway", "ip", "route", "add", "10.30.0.0/24", "dev", "eth0")
	t.in("other", "ip", "route", "add", "10.20.0.0/24", "dev", "eth0")
	t.in("other", "ip", "route", "add", "default", "via", gatewayAddress)
	t.address("internet", "lo", service+"/32")
	t.address("internet", "lo", publicService+"/32")

	t.link("cell", "app", "app", "eth0")
	t.address("app", "eth0", appAddress+"/30")
	t.address("cell", "app", "10.255.1.1/30")
	t.in("app", "ip", "route", "add", "default", "via", "10.255.1.1")
	t.in("cell", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
	t.masquerade()

	t.address("private", "lo", service+"/32")
	t.tunnelUp()

	t.serve("private", service+":8080", "private")
	t.serve("private", service+":9090", "private")
	t.serve("internet", service+":8080", "leaked")
	t.serve("internet", publicService+":443", "public")
	t.serve("cell", cellAddress+":61001", "cell")
	t.serve("cell", cellAddress+":61002", "cell")
	return t
}

// masquerade is what silk does on a cell.
func (t *topology) masquerade() {
	t.in("cell", "iptables", "-t", "nat", "-A", "POSTROUTING", "-s", appAddress, "!", "-o", "silk-vtep", "-j", "MASQUERADE")
}

// tunnelUp makes the gateway's ipsec0, as charon does when it starts.
func (t *topology) tunnelUp() {
	t.link("gateway", "ipsec0", "private", "eth0")
	t.address("gateway", "ipsec0", "192.0.2.1/30")
	t.address("private", "eth0", "192.0.2.2/30")
	t.in("gateway", "ip", "route", "add", "10.150.0.0/16", "via", "192.0.2.2")
	t.in("private", "ip", "route", "add", "default", "via", "192.0.2.1", "src", service)
}

func (t *topology) link(host, device, peer, peerDevice string) {
	t.in(host, "ip", "link", "add", device, "type", "veth", "peer", "name", peerDevice, "netns", t.prefix+peer)
	t.in(host, "ip", "link", "set", device, "up")
	t.in(peer, "ip", "link", "set", peerDevice, "up")
}

func (t *topology) address(host, device, address string) {
	t.in(host, "ip", "address", "add", address, "dev", device)
}

func (t *topology) ip(args ...string) {
	GinkgoHelper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
}

// in runs a program on a host.
func (t *topology) in(host, program string, args ...string) string {
	GinkgoHelper()
	out, err := t.command(host, program, args...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), program+" "+strings.Join(args, " ")+": "+string(out))
	return string(out)
}

func (t *topology) command(host, program string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", t.prefix + host, program}, args...)...)
}

// inside runs the function on a thread that is in the host's namespace.
func (t *topology) inside(host string, work func()) {
	GinkgoHelper()
	netnstest.In(t.prefix+host, work)
}

// serve answers each TCP connection with a word.
func (t *topology) serve(host, address, word string) {
	GinkgoHelper()
	t.inside(host, func() {
		listener, err := net.Listen("tcp4", address)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(listener.Close)
		go func() {
			for {
				connection, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = connection.Write([]byte(word))
				connection.Close()
			}
		}()
	})
}

// ask is the word that a host gets from an address, or "refused".
func (t *topology) ask(host, address string) (word string) {
	GinkgoHelper()
	t.inside(host, func() {
		word = "refused"
		connection, err := net.DialTimeout("tcp4", address, 400*time.Millisecond)
		if err != nil {
			return
		}
		defer connection.Close()
		_ = connection.SetReadDeadline(time.Now().Add(400 * time.Millisecond))
		buffer := make([]byte, 16)
		if n, err := connection.Read(buffer); err == nil {
			word = string(buffer[:n])
		}
	})
	return word
}

// echo sends each datagram back.
func (t *topology) echo(host, address string) {
	GinkgoHelper()
	t.inside(host, func() {
		socket, err := net.ListenPacket("udp4", address)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(socket.Close)
		go func() {
			buffer := make([]byte, 64)
			for {
				n, from, err := socket.ReadFrom(buffer)
				if err != nil {
					return
				}
				_, _ = socket.WriteTo(buffer[:n], from)
			}
		}()
	})
}

// exchange says whether a datagram from one address to another comes back.
func (t *topology) exchange(host, from, to string) (answered bool) {
	GinkgoHelper()
	t.inside(host, func() {
		socket, err := net.ListenPacket("udp4", from)
		Expect(err).NotTo(HaveOccurred())
		defer socket.Close()
		address, err := net.ResolveUDPAddr("udp4", to)
		Expect(err).NotTo(HaveOccurred())
		_ = socket.SetDeadline(time.Now().Add(400 * time.Millisecond))
		if _, err := socket.WriteTo([]byte("ping"), address); err != nil {
			return
		}
		_, _, err = socket.ReadFrom(make([]byte, 64))
		answered = err == nil
	})
	return answered
}
