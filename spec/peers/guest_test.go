package peers_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	. "privnet/ipsec/charontest"
	"privnet/ipsec/vici"
)

// inGuest tells this package's binary that it runs in User-Mode Linux.
const inGuest = "PEERS_IN_GUEST"

// The guest runs this binary with the specs of this label only.
const guest = "guest"

var _ = Describe("The gateway with libreswan and OpenIKED as the customer's peers and the kernel's own ESP", func() {
	It("carries every pair, also while IKE_SA and CHILD_SAs are rekeyed by either side", func() {
		strongSwan := StrongSwan()
		if _, err := exec.LookPath("linux.uml"); err != nil {
			Skip("needs Debian's package user-mode-linux")
		}
		share := GinkgoT().TempDir()
		unpack := exec.Command("./unpack", filepath.Join(share, "debian"))
		if output, err := unpack.CombinedOutput(); err != nil {
			Skip(fmt.Sprintf("needs Debian's packages libreswan and openiked, which cannot be fetched: %s", output))
		}
		binary, err := os.Executable()
		Expect(err).NotTo(HaveOccurred())
		for from, to := range map[string]string{binary: "peers.test", strongSwan + "/.": "strongswan"} {
			output, err := exec.Command("cp", "-a", from, filepath.Join(share, to)).CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), "%s", output)
		}
		// strongSwan knows its own place; libreswan's scripts do, too. OpenIKED speaks PF_KEY to the kernel, as a user of its own.
		script := fmt.Sprintf(`mkdir -p %[2]q && mount --bind %[1]q/strongswan %[2]q
cp -a %[1]q/debian/usr %[1]q/debian/etc %[1]q/debian/var / && ldconfig
modprobe af_key && useradd --system --home-dir /var/lib/openiked/empty _iked
STRONGSWAN_DIR=%[2]q %[3]s=1 %[1]q/peers.test --ginkgo.label-filter=%[4]s --ginkgo.v`, share, strongSwan, inGuest, guest)
		session, err := gexec.Start(exec.Command("../kernel/uml", share, "bash", "-euc", script), GinkgoWriter, GinkgoWriter)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(func() { session.Terminate().Wait("5s") })
		Eventually(session, "10m").Should(gexec.Exit(0))
		Expect(string(session.Out.Contents())).To(ContainSubstring("0 Failed"))
	})
})

// kernel is a gateway with the kernel's ESP, and its network.
func (s shape) kernel(nat NAT) (Network, VM) {
	GinkgoHelper()
	network := NewNetwork(nat)
	network.Exec(network.Gateway, "ip", "addr", "add", "10.20.1.4/32", "dev", "lo")
	network.Exec(network.Customer, "ip", "addr", "add", "192.168.200.1/32", "dev", "lo")
	gateway := s.gateway(network, "kernel")
	gateway.Run()
	return network, gateway
}

// carries waits for the tunnel and sees that it carries every pair: before, while and after it is rekeyed.
func (s shape) carries(ctx context.Context, network Network, gateway VM, nat NAT, rekeys []func(vici.SA)) {
	GinkgoHelper()
	settled(ctx, gateway, s)
	everyPair := func(when string) {
		for _, segment := range s.segment {
			for _, private := range s.private {
				Expect(ping(network, segment, private)).To(Equal(packets), "%s to %s %s", segment, private, when)
			}
		}
	}
	everyPair("at first")
	for _, child := range settled(ctx, gateway, s).Children {
		Expect(child.PacketsIn).To(BeNumerically(">=", packets))
		Expect(child.Encap).To(Equal(nat.Gateway || nat.Customer), "ESP itself where there is no NAT")
	}
	traffic := network.StartStream(sources[s.segment[0]], services[s.private[0]])
	for _, rekey := range rekeys {
		before := settled(ctx, gateway, s)
		rekey(before)
		Eventually(func() string { return spis(current(ctx, gateway, s)) }, "15s", "50ms").ShouldNot(Or(Equal(spis(before)), BeEmpty()))
	}
	// How many are lost at a rekeying is not asserted here: the guest's clock stands still when its host is busy.
	sent, answered := traffic.Stop()
	AddReportEntry("lost while keys changed", fmt.Sprintf("%d of %d", sent-answered, sent))
	everyPair("with new keys")
}
