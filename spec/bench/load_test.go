package bench_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/ipsec"
	"privnet/ipsec/charontest"
	"privnet/ipsec/vici"
)

// orgs is a gateway's configuration with a connection of ten pairs for each of so many orgs.
func orgs(count int) ipsec.Config {
	config := ipsec.Config{DataPath: connection.DataPathKernel, LogLevel: 0, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.4")}}
	for i := range count {
		c := ipsec.Connection{IKE: connection.IKEv1, Policy: ipsec.Compatible}
		c.Org = fmt.Sprintf("org-%04d", i)
		c.Segment = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64 + byte(i/256), byte(i), 0}), 26)}
		for j := range 10 {
			c.PrivateNetworks = append(c.PrivateNetworks, netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(10 + j), byte(i / 256), byte(i), 0}), 24))
		}
		c.Gateway = connection.Gateway{Address: config.Addresses[0], PublicAddress: netip.MustParseAddr("203.0.113.10")}
		address := netip.AddrFrom4([4]byte{198, 18, byte(i / 256), byte(i)})
		c.Endpoints = []connection.Endpoint{{Address: address, Device: "other", ID: address.String()}}
		c.Keys = ipsec.Keys{A: ipsec.NewKey(fmt.Sprintf("%s%04d", charontest.PSK, i)), Active: ipsec.SlotA}
		config.Connections = append(config.Connections, c)
	}
	return config
}

var _ = DescribeTable("Render and load",
	func(ctx SpecContext, count int) {
		strongSwan := charontest.StrongSwan()
		config := orgs(count)
		directory := GinkgoT().TempDir()
		paths := ipsec.Paths{Socket: filepath.Join(directory, "charon.vici")}

		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		rendered, err := ipsec.Render(config, paths)
		Expect(err).NotTo(HaveOccurred())
		text := rendered.Swanctl("secrets.conf")
		rendering := time.Since(began)
		runtime.ReadMemStats(&after)

		write := func(name, text string) {
			Expect(os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600)).To(Succeed())
		}
		write("strongswan.conf", rendered.StrongSwanConf())
		write("swanctl.conf", text)
		write("secrets.conf", rendered.Secrets())

		ours := startCharon(ctx, strongSwan, directory, paths.Socket)
		began = time.Now()
		have, _, err := ours.Load(ctx, rendered, nil)
		Expect(err).NotTo(HaveOccurred())
		loading := time.Since(began)
		Expect(ours.Verify(ctx, rendered)).To(Succeed())
		began = time.Now()
		_, changes, err := ours.Load(ctx, rendered, have)
		Expect(err).NotTo(HaveOccurred())
		Expect(changes.Any()).To(BeFalse())
		again := time.Since(began)

		theirs := startCharon(ctx, strongSwan, directory, paths.Socket)
		began = time.Now()
		swanctl := exec.Command(filepath.Join(strongSwan, "sbin/swanctl"), "--load-all", "--noprompt", "--uri", "unix://"+paths.Socket)
		swanctl.Env = append(os.Environ(), "STRONGSWAN_CONF="+filepath.Join(directory, "strongswan.conf"), "SWANCTL_DIR="+directory)
		output, err := swanctl.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s", output)
		tool := time.Since(began)
		Expect(theirs.Verify(ctx, rendered)).To(Succeed())

		fmt.Printf("%5d connections: render %s (%.1f MiB allocated, %d KiB of text), load %s, load again %s; swanctl --load-all %s\n", count,
			rendering.Round(100*time.Microsecond), float64(after.TotalAlloc-before.TotalAlloc)/(1<<20), len(text)>>10,
			loading.Round(time.Millisecond), again.Round(time.Millisecond), tool.Round(time.Millisecond))
	},
	Entry("10 connections", 10), Entry("100 connections", 100), Entry("1000 connections", 1000),
)

// startCharon starts a charon that has loaded nothing; the one before it on the same socket ends.
func startCharon(ctx context.Context, strongSwan, directory, socket string) *vici.Charon {
	GinkgoHelper()
	Expect(os.RemoveAll(socket)).To(Succeed())
	cmd := charontest.Command(charontest.Namespace("bench"), filepath.Join(strongSwan, "libexec/ipsec/charon"))
	cmd.Env = append(os.Environ(), "STRONGSWAN_CONF="+filepath.Join(directory, "strongswan.conf"))
	charontest.Start(cmd)
	var charon *vici.Charon
	Eventually(func() (err error) {
		charon, err = vici.Connect(ctx, socket)
		return err
	}, "10s", "20ms").Should(Succeed())
	DeferCleanup(func() { charon.Close() })
	return charon
}
