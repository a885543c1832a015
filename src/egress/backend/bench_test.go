package backend_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	boshlog "github.com/cloudfoundry/bosh-utils/logger"
	"github.com/cloudfoundry/bosh-utils/system"
	nft "github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"privnet/connection"
	"privnet/egress"
	"privnet/egress/enforcer"
	"privnet/egress/iptables"
	"privnet/egress/nftables"
	"privnet/egress/routes"
)

// networks is a cell's policy with n private networks, so many rules with iptables.
func networks(n int) egress.Policy {
	c := connection.Connection{Routing: connection.RoutingIaaS, Gateways: []connection.Gateway{{Address: netip.MustParseAddr("10.20.0.4")}}}
	for i := range n {
		c.PrivateNetworks = append(c.PrivateNetworks, netip.MustParsePrefix(fmt.Sprintf("172.%d.%d.0/25", 16+i/250, i%250)))
	}
	return egress.Policy{Role: egress.RoleCell, Connection: c}
}

// alone moves the benchmark to a network namespace of its own; its goroutine's thread ends with it.
func alone(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("needs root, for network namespaces")
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		b.Fatal(err)
	}
}

// backends are both, with what writes the same rules by the program of the packet filter: a dump of them, and
// how to load it.
func backends() map[string]struct {
	rules enforcer.Rules
	dump  string
	load  []string
} {
	logger := boshlog.NewLogger(boshlog.LevelNone)
	return map[string]struct {
		rules enforcer.Rules
		dump  string
		load  []string
	}{
		"iptables": {iptables.New(system.NewExecCmdRunner(logger), system.NewOsFileSystem(logger)), "iptables-save -t mangle", []string{"iptables-restore", "--noflush"}},
		"nftables": {&nftables.Table{}, "echo 'add table inet privnet; delete table inet privnet'; nft list table inet privnet", []string{"nft", "-f", "-"}},
	}
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkApply is a first application, beside the program that loads the same rules from a file, in turns.
func BenchmarkApply(b *testing.B) {
	for name, backend := range backends() {
		for _, n := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				alone(b)
				policy := networks(n)
				must(b, backend.rules.Apply(policy))
				dump, err := exec.Command("sh", "-c", backend.dump).Output()
				must(b, err)
				var ours, theirs time.Duration
				for b.Loop() {
					must(b, backend.rules.Remove(policy))
					began := time.Now()
					must(b, backend.rules.Apply(policy))
					ours += time.Since(began)

					must(b, backend.rules.Remove(policy))
					load := exec.Command(backend.load[0], backend.load[1:]...)
					load.Stdin = strings.NewReader(string(dump))
					began = time.Now()
					out, err := load.CombinedOutput()
					theirs += time.Since(began)
					if err != nil {
						b.Fatal(err, string(out))
					}
				}
				b.ReportMetric(float64(ours.Microseconds())/1000/float64(b.N), "ms/apply")
				b.ReportMetric(float64(theirs.Microseconds())/1000/float64(b.N), "ms/program")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// BenchmarkCheck is a look that finds nothing to repair.
func BenchmarkCheck(b *testing.B) {
	for name, backend := range backends() {
		for _, n := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				alone(b)
				policy := networks(n)
				must(b, backend.rules.Apply(policy))
				for b.Loop() {
					found, err := backend.rules.Check(policy)
					must(b, err)
					if len(found) > 0 {
						b.Fatal(found)
					}
				}
			})
		}
	}
}

// BenchmarkRepair is the time from a flush of the whole ruleset until the rules are there again.
func BenchmarkRepair(b *testing.B) {
	alone(b)
	policy := networks(100)
	file, err := os.Open(filepath.Join("/proc/self/task", fmt.Sprint(unix.Gettid()), "ns/net"))
	must(b, err)
	defer file.Close()
	ctx, cancel := context.WithCancel(context.Background())
	ready, ended := make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread()
		if unix.Setns(int(file.Fd()), unix.CLONE_NEWNET) != nil {
			return
		}
		changes, err := routes.Watch(ctx.Done())
		if err != nil {
			return
		}
		subject := &enforcer.Enforcer{
			Loaded: enforcer.Loaded{Policy: policy}, Rules: &nftables.Table{}, Opening: routes.Blocks{},
			Through: routes.Through, Now: time.Now, Log: slog.New(slog.NewJSONHandler(io.Discard, nil)),
		}
		subject.Run(ctx, nil, changes, func(enforcer.Status) error {
			select {
			case ready <- struct{}{}:
			default:
			}
			return nil
		})
	}()
	<-ready
	look := &nftables.Table{}
	var times []time.Duration
	for b.Loop() {
		flusher, err := nft.New()
		must(b, err)
		began := time.Now()
		flusher.FlushRuleset()
		must(b, flusher.Flush())
		for {
			found, err := look.Check(policy)
			if err == nil && len(found) == 0 {
				break
			}
		}
		times = append(times, time.Since(began))
	}
	cancel()
	<-ended
	slices.Sort(times)
	at := func(q float64) float64 {
		return float64(times[int(q*float64(len(times)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(at(0.5), "ms-p50")
	b.ReportMetric(at(0.99), "ms-p99")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkPacket is what a packet to a public address costs on its way out of a cell, without rules and with
// them, in turns of a thousand packets.
func BenchmarkPacket(b *testing.B) {
	for name, backend := range backends() {
		for _, n := range []int{10, 1000} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				alone(b)
				socket := sender(b)
				defer socket.Close()
				const turn = 1000
				send := func() (took time.Duration) {
					// The kernel still frees the former rules, and its caches are cold: the first round is not counted.
					time.Sleep(20 * time.Millisecond)
					for range 2 {
						began := time.Now()
						for range turn {
							_, _ = socket.Write([]byte("0123456789abcdef"))
						}
						took = time.Since(began)
					}
					return took
				}
				var with, without []time.Duration
				for b.Loop() {
					must(b, backend.rules.Apply(networks(n)))
					with = append(with, send())
					must(b, backend.rules.Remove(egress.Policy{}))
					without = append(without, send())
				}
				// The median, as other work on the machine makes some turns much longer.
				slices.Sort(with)
				slices.Sort(without)
				a, c := with[len(with)/2], without[len(without)/2]
				b.ReportMetric(float64(a.Nanoseconds())/turn, "ns/packet")
				b.ReportMetric(float64(c.Nanoseconds())/turn, "ns/packet-without")
				b.ReportMetric(float64(c)/float64(a), "throughput-ratio")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// sender is a socket whose packets leave by an interface that swallows them.
func sender(b *testing.B) net.Conn {
	device := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}}
	must(b, netlink.LinkAdd(device))
	must(b, netlink.AddrAdd(device, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 20, 0, 10).To4(), Mask: net.CIDRMask(24, 32)}}))
	must(b, netlink.LinkSetUp(device))
	router := net.IPv4(10, 20, 0, 1).To4()
	must(b, netlink.RouteAdd(&netlink.Route{Gw: router, LinkIndex: device.Attrs().Index}))
	must(b, netlink.NeighAdd(&netlink.Neigh{LinkIndex: device.Attrs().Index, IP: router, State: netlink.NUD_PERMANENT,
		HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 1}}))
	// A cell tracks its flows whether our rules ask for them or not.
	must(b, exec.Command("iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.255.1.2", "-j", "MASQUERADE").Run())
	socket, err := net.Dial("udp4", "93.184.216.34:443")
	must(b, err)
	return socket
}
