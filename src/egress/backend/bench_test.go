package backend_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
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

// subject is a backend, with what writes the same rules by the program of the packet filter: a dump of them,
// and how to load it.
type subject struct {
	name  string
	rules enforcer.Rules
	// iptables is the program of this variant; dir is where a policy finds it.
	iptables, dir string
	dump          string
	load          []string
}

func (s subject) policy(n int) egress.Policy {
	p := networks(n)
	p.IPTablesBinDir = s.dir
	return p
}

func backends(b *testing.B) []subject {
	logger := boshlog.NewLogger(boshlog.LevelNone)
	out := []subject{{
		name: "nftables", rules: &nftables.Table{}, iptables: "iptables-nft",
		dump: "echo 'add table inet privnet; delete table inet privnet'; nft list table inet privnet", load: []string{"nft", "-f", "-"},
	}}
	for _, variant := range []string{"nft", "legacy"} {
		dir := programs(b, variant)
		out = append(out, subject{
			name: "iptables-" + variant, rules: iptables.New(system.NewExecCmdRunner(logger), system.NewOsFileSystem(logger), iptables.Glance),
			iptables: filepath.Join(dir, "iptables"), dir: dir,
			dump: filepath.Join(dir, "iptables-save") + " -t mangle", load: []string{filepath.Join(dir, "iptables-restore"), "--noflush"},
		})
	}
	return out
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkApply is a first application, beside the program that loads the same rules from a file, in turns.
func BenchmarkApply(b *testing.B) {
	for _, backend := range backends(b) {
		for _, n := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", backend.name, n), func(b *testing.B) {
				alone(b)
				policy := backend.policy(n)
				must(b, backend.rules.Apply(policy))
				dump, err := exec.Command("sh", "-c", backend.dump).Output()
				must(b, err)
				var ours, theirs sample
				for b.Loop() {
					must(b, backend.rules.Remove(policy))
					began := time.Now()
					must(b, backend.rules.Apply(policy))
					ours = append(ours, milliseconds(began))

					must(b, backend.rules.Remove(policy))
					load := exec.Command(backend.load[0], backend.load[1:]...)
					load.Stdin = strings.NewReader(string(dump))
					began = time.Now()
					out, err := load.CombinedOutput()
					theirs = append(theirs, milliseconds(began))
					if err != nil {
						b.Fatal(err, string(out))
					}
				}
				what := fmt.Sprintf("%s, %d networks, ", backend.name, n)
				tell(b, what+"apply", ours, "ms")
				tell(b, what+backend.load[0]+" of the same rules", theirs, "ms")
				tell(b, what+"apply against it", ours.per(theirs), "")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

func milliseconds(began time.Time) float64 { return float64(time.Since(began).Microseconds()) / 1000 }

// BenchmarkCheck is a look that finds nothing to repair.
func BenchmarkCheck(b *testing.B) {
	for _, backend := range backends(b) {
		for _, n := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", backend.name, n), func(b *testing.B) {
				alone(b)
				policy := backend.policy(n)
				must(b, backend.rules.Apply(policy))
				var times sample
				for b.Loop() {
					began := time.Now()
					found, err := backend.rules.Check(policy)
					times = append(times, milliseconds(began))
					must(b, err)
					if len(found) > 0 {
						b.Fatal(found)
					}
				}
				tell(b, fmt.Sprintf("%s, %d networks, look that finds nothing", backend.name, n), times, "ms")
				b.ReportMetric(0, "ns/op")
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
