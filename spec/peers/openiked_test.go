package peers_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	. "privnet/ipsec/charontest"
	"privnet/ipsec/vici"
)

// openikedShape is a tunnel in OpenIKED's words, in which all pairs are flows of one policy. On Linux it has
// no integrity for ESP but SHA-1 and MD5, and no AES-GCM.
var openikedShape = shape{version: 2, policy: "compatible", waived: "sha1",
	ike: "enc aes-256 auth hmac-sha2-256 prf hmac-sha2-256 group ecp256", esp: "enc aes-256 auth hmac-sha1 group ecp256"}

// openikedCases have many pairs and one, keys and certificates by turns. That the gateway is behind a NAT is
// seen with both behind one.
func openikedCases() []TableEntry {
	var out []TableEntry
	for i, n := range slices.Delete(slices.Clone(nats), 2, 3) {
		s, selectors := openikedShape, []shape{sixPairs, onePair}[i%2]
		s.segment, s.private, s.certificates = selectors.segment, selectors.private, i/2 == 0
		out = append(out, Entry(s.title(n.name), s, n.nat))
	}
	return out
}

// Only the guest sees these.
var _ = func() bool {
	if os.Getenv(inGuest) == "" {
		return false
	}
	return DescribeTable("In the guest, with OpenIKED", Label(guest), func(ctx SpecContext, s shape, nat NAT) {
		network, gateway := s.kernel(nat)
		// It rekeys by the clock only. With many pairs we do, and with one it does.
		lifetimes := ""
		rekeys := []func(vici.SA){
			func(sa vici.SA) { gateway.Swanctl("--rekey", "--child", sa.Children[0].Name) },
			func(sa vici.SA) { gateway.Swanctl("--rekey", "--ike", sa.Name) },
		}
		if len(s.private) == 1 {
			lifetimes = "ikelifetime 6 lifetime 4"
			rekeys = []func(vici.SA){func(before vici.SA) {
				Eventually(func() bool {
					now := current(ctx, gateway, s)
					return now.Name != "" && now.LocalSPI != before.LocalSPI && now.Children[0].SPIIn != before.Children[0].SPIIn
				}, "30s", "50ms").Should(BeTrue(), "new keys for IKE_SA and CHILD_SA")
			}}
		}
		startOpenIKED(network, s, nat, lifetimes)
		s.carries(ctx, network, gateway, nat, rekeys)
		if nat.Customer { // A packet is enough: the kernel sees where it comes from.
			network.MoveNAT(20000)
			Eventually(func() int { return network.PingBack(services[s.private[0]], sources[s.segment[0]], packets) }, "15s").Should(Equal(packets))
		}
	}, openikedCases())
}()

// startOpenIKED starts an iked in the customer's namespace. It initiates after some seconds, and by itself only.
func startOpenIKED(network Network, s shape, nat NAT, lifetimes string) {
	GinkgoHelper()
	write := func(name, text string, mode os.FileMode) {
		Expect(os.MkdirAll(filepath.Dir(name), 0o755)).To(Succeed())
		Expect(os.WriteFile(name, []byte(text), mode)).To(Succeed())
	}
	// Without a private key it does not start.
	write("/etc/iked/private/local.key", endpointPair.PrivateKey, 0o600)
	id, auth := Endpoint, fmt.Sprintf("psk %q", PSK)
	if s.certificates {
		id, auth = endpointName, "rfc7427"
		write("/etc/iked/ca/platform.crt", platform.PEM, 0o644)
		write("/etc/iked/ca/agency.crt", agency.PEM, 0o644)
		write("/etc/iked/certs/own.crt", endpointPair.Certificate, 0o644)
	}
	address := Endpoint
	if nat.Customer {
		address = EndpointPrivate
	}
	var flows strings.Builder
	for _, private := range s.private {
		for _, segment := range s.segment {
			fmt.Fprintf(&flows, "from %s to %s ", private, segment)
		}
	}
	directory := GinkgoT().TempDir()
	conf := filepath.Join(directory, "iked.conf")
	write(conf, fmt.Sprintf("ikev2 platform active esp %slocal %s peer %s ikesa %s childsa %s srcid %s dstid %s %s %s\n",
		flows.String(), address, GatewayPublic, s.ike, s.esp, id, GatewayPublic, lifetimes, auth), 0o600)
	Start(exec.Command("ip", "netns", "exec", network.Customer, "/usr/sbin/iked", "-dv", "-f", conf, "-s", filepath.Join(directory, "iked.sock")))
}
