package peers_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	. "privnet/ipsec/charontest"
	"privnet/ipsec/vici"
)

// libreswanShapes are tunnels in libreswan's words.
var libreswanShapes = []shape{
	{version: 1, policy: "compatible", ike: "aes256-sha2_256;dh14", esp: "aes256-sha2_256;dh14", apart: true},
	{version: 2, policy: "modern", ike: "aes_gcm256-sha2_384;dh20", esp: "aes_gcm256;dh20", apart: true},
}

// libreswanCases have many pairs and one, keys and certificates by turns: User-Mode Linux takes its time.
func libreswanCases() []TableEntry {
	var out []TableEntry
	for _, c := range libreswanShapes {
		for i, n := range nats {
			s, selectors := c, []shape{sixPairs, onePair}[i%2]
			s.segment, s.private, s.certificates = selectors.segment, selectors.private, i/2 == s.version%2
			out = append(out, Entry(s.title(n.name), s, n.nat))
		}
	}
	return out
}

// Only the guest sees these: on the host they would be skipped one by one.
var _ = func() bool {
	if os.Getenv(inGuest) == "" {
		return false
	}
	return DescribeTable("In the guest, with libreswan", Label(guest), func(ctx SpecContext, s shape, nat NAT) {
		network, gateway := s.kernel(nat)
		peer := startLibreswan(network, s, nat)
		Expect(ping(network, s.segment[0], s.private[0])).To(BeZero(), "before the customer has initiated")
		for _, name := range peer.names {
			peer.whack("--initiate", "--name", name)
		}
		rekeys := []func(vici.SA){
			func(sa vici.SA) { gateway.Swanctl("--rekey", "--child", sa.Children[0].Name) },
			func(sa vici.SA) { gateway.Swanctl("--rekey", "--ike", sa.Name) },
		}
		if s.version == 2 {
			rekeys = append(rekeys,
				func(vici.SA) { peer.whack("--rekey-ipsec", "--name", peer.names[0]) },
				func(vici.SA) { peer.whack("--rekey-ike", "--name", peer.names[0]) })
		} else { // libreswan "cannot force rekey of IKEv1 connection", but makes another CHILD_SA of a pair.
			rekeys = append(rekeys, func(vici.SA) { peer.whack("--initiate", "--name", peer.names[0]) })
		}
		s.carries(ctx, network, gateway, nat, rekeys)
	}, libreswanCases())
}()

var _ = func() bool {
	if os.Getenv(inGuest) == "" {
		return false
	}
	return It("In the guest, with libreswan that lets phase 1 of IKEv1 end and goes on with phase 2, the tunnel goes on when we have renewed phase 1", Label(guest), func(ctx SpecContext) {
		s := libreswanShapes[0]
		s.segment, s.private = onePair.segment, onePair.private
		network, gateway := s.kernel(NAT{})
		peer := startLibreswan(network, s, NAT{}, "rekey=no", "ikelifetime=12s")
		peer.whack("--initiate", "--name", peer.names[0])
		first := settled(ctx, gateway, s)
		gateway.Swanctl("--rekey", "--ike", first.Name) // what it does by itself with PAN-OS
		Eventually(func() []vici.SA { return gateway.SAs(ctx) }, "30s", "100ms").ShouldNot(Or(BeEmpty(), ContainElement(HaveField("LocalSPI", first.LocalSPI))))
		Expect(ping(network, s.segment[0], s.private[0])).To(Equal(packets))
	})
}()

// libreswan is a pluto in the customer's namespace.
type libreswan struct {
	network   Network
	directory string
	names     []string
}

// startLibreswan starts one, with more settings of its connections if there are any.
func startLibreswan(network Network, s shape, nat NAT, more ...string) libreswan {
	GinkgoHelper()
	l := libreswan{network: network, directory: GinkgoT().TempDir()}
	address, next := Endpoint, "198.51.100.1"
	if nat.Customer {
		address, next = EndpointPrivate, "192.168.77.1"
	}
	var conf strings.Builder
	fmt.Fprintf(&conf, "config setup\n  ikev1-policy=accept\n")
	auth, id := "secret", Endpoint
	if s.certificates {
		auth, id = "rsasig\n  leftcert=own\n  leftsendcert=always\n  rightrsasigkey=%cert", "@"+endpointName
	}
	for name, selectors := range s.children() {
		l.names = append(l.names, name)
		fmt.Fprintf(&conf, `conn %s
  authby=%s
  auto=ignore
  ikev2=%s
  left=%s
  leftnexthop=%s
  leftid=%s
  leftsubnet=%s
  right=%s
  rightid=%s
  rightsubnet=%s
  ike=%s
  esp=%s
  pfs=yes
  %s
`, name, auth, map[int]string{1: "no", 2: "yes"}[s.version], address, next, id, selectors[0][0], GatewayPublic, GatewayPublic, selectors[1][0], s.ike, s.esp, strings.Join(more, "\n  "))
	}
	slices.Sort(l.names)
	l.write("ipsec.conf", conf.String())
	l.write("ipsec.secrets", fmt.Sprintf("%s %s : PSK %q\n", Endpoint, GatewayPublic, PSK))
	network.Exec(network.Customer, "certutil", "-N", "-d", "sql:"+l.directory, "--empty-password")
	if s.certificates {
		l.importCertificates()
	}
	Start(exec.Command("ip", "netns", "exec", network.Customer, "/usr/libexec/ipsec/pluto", "--nofork", "--stderrlog",
		"--config", l.path("ipsec.conf"), "--secretsfile", l.path("ipsec.secrets"), "--nssdir", l.directory, "--rundir", l.directory))
	Eventually(func() error {
		return exec.Command("ip", "netns", "exec", network.Customer, "/usr/libexec/ipsec/whack", "--ctlsocket", l.path("pluto.ctl"), "--listen").Run()
	}, 10*time.Second, 200*time.Millisecond).Should(Succeed())
	for _, name := range l.names {
		network.Exec(network.Customer, "/usr/libexec/ipsec/addconn", "--config", l.path("ipsec.conf"), "--ctlsocket", l.path("pluto.ctl"), name)
	}
	return l
}

// importCertificates puts the customer's certificate and the gateway's CA where libreswan looks for them.
func (l libreswan) importCertificates() {
	GinkgoHelper()
	l.write("own.pem", endpointPair.Certificate+endpointPair.PrivateKey)
	l.write("platform.pem", platform.PEM)
	for _, command := range []string{
		"openssl pkcs12 -export -in own.pem -name own -passout pass:spec -out own.p12",
		"pk12util -i own.p12 -W spec -d sql:.",
		"certutil -A -n platform -t CT,, -i platform.pem -d sql:.",
	} {
		l.network.Exec(l.network.Customer, "bash", "-c", "cd "+l.directory+" && "+command)
	}
}

func (l libreswan) path(name string) string { return filepath.Join(l.directory, name) }

func (l libreswan) write(name, text string) {
	GinkgoHelper()
	Expect(os.WriteFile(l.path(name), []byte(text), 0o600)).To(Succeed())
}

// whack does not wait for what it asks for.
func (l libreswan) whack(arguments ...string) {
	GinkgoHelper()
	l.network.Exec(l.network.Customer, append([]string{"/usr/libexec/ipsec/whack", "--ctlsocket", l.path("pluto.ctl"), "--asynchronous"}, arguments...)...)
}
