// Package charontest gives specs real charons in network namespaces of their own: strongSwan as this
// release builds it for the gateway, and Debian's, of another version, for the customer. It needs root.
package charontest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	"github.com/vishvananda/netlink"

	"privnet/netnstest"
)

// The addresses of every topology. The gateway's public address is its own, or a 1:1 NAT's.
const (
	GatewayPublic   = "203.0.113.10"
	GatewaySegment  = "10.20.0.4"
	Endpoint        = "198.51.100.10"
	EndpointPrivate = "192.168.77.2"
)

// Services are addresses in the private networks 10.150.0.0/16 and 172.30.8.0/22, owned by the customer.
var Services = []string{"10.150.0.1", "172.30.8.1"}

// StrongSwan is the directory of the release's strongSwan, from STRONGSWAN_DIR or where BOSH installs it.
// Without one, or without root, the spec is skipped.
func StrongSwan() string {
	GinkgoHelper()
	if os.Getuid() != 0 {
		Skip("needs root: network namespaces")
	}
	directory := os.Getenv("STRONGSWAN_DIR")
	if directory == "" {
		directory = "/var/vcap/packages/strongswan"
	}
	if _, err := os.Stat(filepath.Join(directory, "libexec/ipsec/charon")); err != nil {
		Skip("needs the release's strongSwan: build package strongswan and set STRONGSWAN_DIR")
	}
	return directory
}

var count atomic.Int64

// Namespace makes a network namespace with its loopback up, and removes it after the spec.
func Namespace(suffix string) string {
	GinkgoHelper()
	name := fmt.Sprintf("ips%d-%d-%s", os.Getpid(), count.Add(1), suffix)
	run("ip", "netns", "add", name)
	DeferCleanup(func() { run("ip", "netns", "del", name) })
	run("ip", "-n", name, "link", "set", "lo", "up")
	return name
}

// Network is a gateway and a customer with the internet between them.
type Network struct {
	Gateway, Internet, Customer string
}

// NAT says who is behind a NAT.
type NAT struct {
	// Gateway puts a 1:1 NAT before the gateway, as clouds do: it owns no public address.
	Gateway bool
	// Customer puts a masquerading router before the endpoint.
	Customer bool
}

// NewNetwork makes the three namespaces.
func NewNetwork(nat NAT) Network {
	GinkgoHelper()
	n := Network{Gateway: Namespace("gw"), Internet: Namespace("net"), Customer: Namespace("cust")}
	run("ip", "link", "add", "net0", "netns", n.Gateway, "type", "veth", "peer", "name", "gw0", "netns", n.Internet)
	run("ip", "link", "add", "net0", "netns", n.Customer, "type", "veth", "peer", "name", "cust0", "netns", n.Internet)
	ip := func(namespace, arguments string) {
		run("ip", append([]string{"-n", namespace}, strings.Fields(arguments)...)...)
	}
	ip(n.Gateway, "addr add "+GatewaySegment+"/26 dev net0")
	ip(n.Internet, "addr add 10.20.0.1/26 dev gw0")
	ip(n.Internet, "link set gw0 up")
	ip(n.Gateway, "link set net0 up")
	if nat.Gateway {
		ip(n.Gateway, "route add default via 10.20.0.1")
		n.iptables("-A PREROUTING -d " + GatewayPublic + " -j DNAT --to " + GatewaySegment)
		n.iptables("-A POSTROUTING -s " + GatewaySegment + " -o cust0 -j SNAT --to " + GatewayPublic)
	} else {
		ip(n.Gateway, "addr add "+GatewayPublic+"/24 dev net0")
		ip(n.Internet, "addr add 203.0.113.1/24 dev gw0")
		ip(n.Gateway, "route add default via 203.0.113.1 src "+GatewayPublic)
	}
	endpoint, router := Endpoint, "198.51.100.1"
	if nat.Customer {
		endpoint, router = EndpointPrivate, "192.168.77.1"
		ip(n.Internet, "addr add "+Endpoint+"/32 dev lo")
		n.iptables("-A POSTROUTING -s " + EndpointPrivate + " -o gw0 -j SNAT --to " + Endpoint)
	}
	ip(n.Customer, "addr add "+endpoint+"/24 dev net0")
	ip(n.Internet, "addr add "+router+"/24 dev cust0")
	ip(n.Internet, "link set cust0 up")
	ip(n.Customer, "link set net0 up")
	ip(n.Customer, "route add default via "+router)
	for _, service := range Services {
		ip(n.Customer, "addr add "+service+"/32 dev lo")
	}
	n.Exec(n.Internet, "sysctl", "-qw", "net.ipv4.ip_forward=1")
	return n
}

func (n Network) iptables(rule string) {
	GinkgoHelper()
	n.Exec(n.Internet, append([]string{"iptables", "-w", "-t", "nat"}, strings.Fields(rule)...)...)
}

// MoveNAT makes the NAT before the endpoint forget its connections, and take this port for those to come.
func (n Network) MoveNAT(port int) {
	GinkgoHelper()
	n.iptables(fmt.Sprintf("-I POSTROUTING -p udp -s %s -o gw0 -j SNAT --to %s:%d", EndpointPrivate, Endpoint, port))
	netnstest.In(n.Internet, func() { Expect(netlink.ConntrackTableFlush(netlink.ConntrackTable)).To(Succeed()) })
}

// Exec runs a command in a namespace and returns its output.
func (n Network) Exec(namespace string, command ...string) string {
	GinkgoHelper()
	return run("ip", append([]string{"netns", "exec", namespace}, command...)...)
}

// Reaches says whether the gateway reaches a service's address, and its answer the gateway: the kernel
// there refuses the connection. The route that charon makes selects the source in the segment, so a connection that
// began before the route keeps a wrong one. With IKEv1 the gateway may install it after the customer: hence two tries.
func (n Network) Reaches(address string) bool {
	for range 2 {
		output, _ := exec.Command("ip", "netns", "exec", n.Gateway,
			"timeout", "1.2", "bash", "-c", "</dev/tcp/"+address+"/9").CombinedOutput()
		if strings.Contains(string(output), "Connection refused") {
			return true
		}
	}
	return false
}

func run(name string, arguments ...string) string {
	GinkgoHelper()
	output, err := exec.Command(name, arguments...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s %s: %s", name, strings.Join(arguments, " "), output)
	return string(output)
}

// Command runs a program in a namespace, with a /var of its own where the release's charon finds the
// directory for its pid file, which is compiled in.
func Command(namespace string, command ...string) *exec.Cmd {
	const script = `if [ -d /var/vcap/sys ]; then mount -t tmpfs tmpfs /var/vcap/sys; else mount -t tmpfs tmpfs /var; fi
mkdir -p /var/vcap/sys/run/ipsec-gateway; exec "$@"`
	return exec.Command("ip", append([]string{"netns", "exec", namespace, "bash", "-euc", script, "bash"}, command...)...)
}

// Start starts a program and kills it after the spec, if it still runs.
func Start(command *exec.Cmd) *gexec.Session {
	GinkgoHelper()
	session, err := gexec.Start(command, GinkgoWriter, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { session.Kill().Wait(5 * time.Second) })
	return session
}

// Customer is a charon in the customer's namespace, and the swanctl that goes with it.
type Customer struct {
	network         Network
	directory       string
	charon, swanctl string
	// crypto are the plugins that do the cryptography, data is the one that does ESP, before the kernel's.
	crypto, data string
}

const (
	allCrypto = "random nonce openssl ml kdf hmac"
	userland  = "kernel-libipsec "
)

// File is a file below the customer's directory swanctl, such as x509ca/ca.pem.
type File struct{ Name, Text string }

// StartCustomer starts Debian's strongSwan with the connections and secrets of a swanctl.conf.
func StartCustomer(network Network, configuration string, files ...File) Customer {
	GinkgoHelper()
	for _, file := range []string{"/usr/sbin/charon-systemd", "/usr/sbin/swanctl", "/dev/net/tun", "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so"} {
		if _, err := os.Stat(file); err != nil {
			Skip("needs " + file + ": Debian's charon-systemd, strongswan-swanctl and libcharon-extra-plugins")
		}
	}
	c := Customer{network, GinkgoT().TempDir(), "/usr/sbin/charon-systemd", "/usr/sbin/swanctl", allCrypto, userland}
	c.start("charon-systemd", configuration, files...)
	return c
}

// StartKernelCustomer is StartCustomer with the kernel's ESP. Where the kernel has none, the spec is skipped.
func StartKernelCustomer(network Network, configuration string) Customer {
	GinkgoHelper()
	output, err := exec.Command("ip", "-n", network.Customer, "xfrm", "state", "add", "src", "192.0.2.1", "dst", "192.0.2.2",
		"proto", "esp", "spi", "0x100", "mode", "tunnel", "enc", "cbc(aes)", "0x00112233445566778899aabbccddeeff").CombinedOutput()
	if err != nil {
		Skip("this kernel has no ESP; spec/kernel runs this in one that has: " + strings.TrimSpace(string(output)))
	}
	c := Customer{network, GinkgoT().TempDir(), "/usr/sbin/charon-systemd", "/usr/sbin/swanctl", allCrypto, ""}
	c.start("charon-systemd", configuration)
	return c
}

// StartReleaseCustomer is StartCustomer with the release's own strongSwan.
func StartReleaseCustomer(network Network, configuration string, files ...File) Customer {
	GinkgoHelper()
	return startRelease(network, allCrypto, configuration, files...)
}

// StartOpenSSLCustomer is StartReleaseCustomer with no cryptography but OpenSSL's.
func StartOpenSSLCustomer(network Network, configuration string) Customer {
	GinkgoHelper()
	return startRelease(network, "random nonce openssl", configuration)
}

func startRelease(network Network, crypto, configuration string, files ...File) Customer {
	GinkgoHelper()
	c := Customer{network, GinkgoT().TempDir(),
		filepath.Join(StrongSwan(), "libexec/ipsec/charon"), filepath.Join(StrongSwan(), "sbin/swanctl"), crypto, userland}
	c.start("charon", configuration, files...)
	return c
}

func (c Customer) start(section, configuration string, files ...File) {
	GinkgoHelper()
	plugins := ""
	if len(files) > 0 {
		plugins = "pem pkcs1 x509 pubkey revocation constraints "
	}
	Expect(os.MkdirAll(filepath.Join(c.directory, "swanctl"), 0o700)).To(Succeed())
	write := func(name, text string) {
		Expect(os.WriteFile(filepath.Join(c.directory, name), []byte(text), 0o600)).To(Succeed())
	}
	socket := "unix://" + filepath.Join(c.directory, "charon.vici")
	write("strongswan.conf", section+` {
  load = `+c.crypto+` `+plugins+c.data+`kernel-netlink socket-default vici
  retransmit_timeout = 1.0
  retransmit_base = 1.2
  retransmit_tries = 3
  plugins { vici { socket = `+socket+` } }
  filelog { stderr { default = 1 } }
}
swanctl {
  load = random nonce openssl `+plugins+`
  socket = `+socket+`
}
`)
	write("swanctl/swanctl.conf", configuration)
	for _, file := range files {
		Expect(os.MkdirAll(filepath.Join(c.directory, "swanctl", filepath.Dir(file.Name)), 0o700)).To(Succeed())
		write("swanctl/"+file.Name, file.Text)
	}
	Start(c.command(c.charon))
	Eventually(func() error { return c.command(c.swanctl, "--load-all").Run() }, "10s", "50ms").Should(Succeed())
}

// Configure replaces connections and secrets, and leaves the SAs.
func (c Customer) Configure(configuration string) {
	GinkgoHelper()
	Expect(os.WriteFile(filepath.Join(c.directory, "swanctl/swanctl.conf"), []byte(configuration), 0o600)).To(Succeed())
	c.Swanctl("--load-all", "--clear")
}

// Set changes a setting of charon's in strongswan.conf.
func (c Customer) Set(setting string) {
	GinkgoHelper()
	path := filepath.Join(c.directory, "strongswan.conf")
	text, err := os.ReadFile(path)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(path, []byte(strings.Replace(string(text), "{", "{\n  "+setting, 1)), 0o600)).To(Succeed())
	c.Swanctl("--reload-settings")
}

// Swanctl runs swanctl and returns what it prints.
func (c Customer) Swanctl(arguments ...string) string {
	GinkgoHelper()
	output, err := c.command(append([]string{c.swanctl}, arguments...)...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "swanctl %v: %s", arguments, output)
	return string(output)
}

// Try runs swanctl and returns its error.
func (c Customer) Try(arguments ...string) error {
	return c.command(append([]string{c.swanctl}, arguments...)...).Run()
}

func (c Customer) command(command ...string) *exec.Cmd {
	cmd := Command(c.network.Customer, command...)
	cmd.Env = append(os.Environ(),
		"STRONGSWAN_CONF="+filepath.Join(c.directory, "strongswan.conf"),
		"SWANCTL_DIR="+filepath.Join(c.directory, "swanctl"))
	return cmd
}
