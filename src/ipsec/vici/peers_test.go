package vici_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
)

// peer is a real charon (Debian's, with its userland ESP) in a network namespace of its own.
type peer struct {
	namespace string
	directory string
	session   *gexec.Session
}

// network makes two namespaces that are joined by 192.0.2.0/24; the gateway also owns 10.20.0.1, the
// customer an address in each of two private networks.
func network() (gateway, customer *peer) {
	GinkgoHelper()
	if os.Getuid() != 0 {
		Skip("needs root: network namespaces")
	}
	for _, tool := range []string{"/usr/sbin/charon-systemd", "/usr/sbin/swanctl", "/dev/net/tun", "/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so"} {
		if _, err := os.Stat(tool); err != nil {
			Skip("needs " + tool + ": Debian's charon-systemd, strongswan-swanctl and libcharon-extra-plugins")
		}
	}
	prefix := fmt.Sprintf("prb%d-%d", os.Getpid()%100000, GinkgoParallelProcess())
	gateway = &peer{namespace: prefix + "g", directory: GinkgoT().TempDir()}
	customer = &peer{namespace: prefix + "c", directory: GinkgoT().TempDir()}
	for _, p := range []*peer{gateway, customer} {
		ip("netns", "add", p.namespace)
		DeferCleanup(func() { ip("netns", "del", p.namespace) })
		ip("-n", p.namespace, "link", "set", "lo", "up")
	}
	ip("link", "add", "net0", "netns", gateway.namespace, "type", "veth", "peer", "name", "net0", "netns", customer.namespace)
	gateway.addresses("192.0.2.1/24", "10.20.0.1/26")
	customer.addresses("192.0.2.2/24", "10.150.0.1/16", "172.30.8.1/22")
	for _, p := range []*peer{gateway, customer} {
		ip("-n", p.namespace, "link", "set", "net0", "up")
	}
	return gateway, customer
}

func ip(arguments ...string) {
	GinkgoHelper()
	output, err := exec.Command("ip", arguments...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "ip %s: %s", strings.Join(arguments, " "), output)
}

func (p *peer) addresses(addresses ...string) {
	for _, address := range addresses {
		ip("-n", p.namespace, "address", "add", address, "dev", "net0")
	}
}

func (p *peer) socket() string { return filepath.Join(p.directory, "charon.vici") }

// start runs charon, with more settings if there are any, and gives it the swanctl configuration.
func (p *peer) start(configuration string, settings ...string) {
	GinkgoHelper()
	p.write("strongswan.conf", fmt.Sprintf(`
charon-systemd {
  load_modular = no
  load = random nonce openssl kdf hmac kernel-libipsec kernel-netlink socket-default vici
  %[2]s
  plugins { vici { socket = unix://%[1]s/charon.vici } }
  filelog { stderr { path = stderr
    default = 1 } }
}
swanctl {
  load = random nonce openssl
  socket = unix://%[1]s/charon.vici
}
`, p.directory, strings.Join(settings, "\n")))
	Expect(os.MkdirAll(filepath.Join(p.directory, "swanctl"), 0o700)).To(Succeed())
	p.write("swanctl/swanctl.conf", configuration)
	p.run()
}

func (p *peer) run() {
	GinkgoHelper()
	var err error
	p.session, err = gexec.Start(p.command("/usr/sbin/charon-systemd"), GinkgoWriter, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	session := p.session
	DeferCleanup(func() { session.Kill().Wait(5 * time.Second) })
	Eventually(func() error {
		return p.command("/usr/sbin/swanctl", "--load-all").Run()
	}, 10*time.Second, 50*time.Millisecond).Should(Succeed())
}

func (p *peer) write(name, content string) {
	GinkgoHelper()
	Expect(os.WriteFile(filepath.Join(p.directory, name), []byte(content), 0o600)).To(Succeed())
}

func (p *peer) command(name string, arguments ...string) *exec.Cmd {
	command := exec.Command("ip", append([]string{"netns", "exec", p.namespace, name}, arguments...)...)
	command.Env = append(os.Environ(),
		"STRONGSWAN_CONF="+filepath.Join(p.directory, "strongswan.conf"),
		"SWANCTL_DIR="+filepath.Join(p.directory, "swanctl"))
	return command
}

func (p *peer) swanctl(arguments ...string) {
	GinkgoHelper()
	output, err := p.command("/usr/sbin/swanctl", arguments...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "swanctl %s: %s", strings.Join(arguments, " "), output)
}

// send sends one datagram, to which the kernel of the other side answers that the port is closed.
func (p *peer) send(destination string) {
	GinkgoHelper()
	Expect(p.command("bash", "-c", "echo >/dev/udp/"+destination+"/9").Run()).To(Succeed())
}

// tunnel is a connection with a child for each of the two pairs, in IKEv1's manner; mirrored for the
// customer.
func tunnel(version int, local, remote string, segment, first, second string, mirrored bool) string {
	child := func(name, private string) string {
		a, b := segment, private
		if mirrored {
			a, b = b, a
		}
		return fmt.Sprintf("    %s { local_ts = %s\n remote_ts = %s\n esp_proposals = aes256-sha256-ecp256 }\n", name, a, b)
	}
	return fmt.Sprintf(`
connections {
  agency-a {
    version = %[1]d
    local_addrs = %[2]s
    remote_addrs = %[3]s
    proposals = aes256-sha256-ecp256
    local { auth = psk
 id = %[2]s }
    remote { auth = psk
 id = %[3]s }
    children {
%[4]s%[5]s    }
  }
}
secrets { ike-a { id = %[3]s
 secret = %[6]s } }
`, version, local, remote, child("first", first), child("second", second), strings.Repeat("spec", 10))
}

// many are so many connections of the customer, each of which makes an IKE_SA without children, and the one
// with which the gateway takes them all.
func many(count int) (gateway, customer string) {
	const frame = "connections { %s }\nsecrets { ike-all { secret = %s } }\n"
	const connection = `agency-%d {
  version = 2
  unique = never
  childless = %s
  proposals = aes256-sha256-ecp256
  %s
  local { auth = psk }
  remote { auth = psk }
}
`
	key := strings.Repeat("spec", 10)
	var all strings.Builder
	for i := range count {
		fmt.Fprintf(&all, connection, i, "force", "remote_addrs = 192.0.2.1")
	}
	return fmt.Sprintf(frame, fmt.Sprintf(connection, 0, "allow", ""), key), fmt.Sprintf(frame, all.String(), key)
}
