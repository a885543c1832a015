package backend_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	boshlog "github.com/cloudfoundry/bosh-utils/logger"
	"github.com/cloudfoundry/bosh-utils/system"
	"golang.org/x/sys/unix"

	"privnet/connection"
	"privnet/egress"
	"privnet/egress/enforcer"
	"privnet/egress/iptables"
	"privnet/egress/nftables"
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

// subject is a backend, with what writes the same rules by the program of the packet filter.
type subject struct {
	name  string
	rules enforcer.Rules
	// iptables is the program of this variant; dir is where a policy finds it.
	iptables, dir string
	// program is what loads rules, and pairs the commands that print them and those that load what was printed.
	program string
	pairs   [][2][]string
}

func (s subject) policy(n int) egress.Policy {
	p := networks(n)
	p.IPTablesBinDir = s.dir
	return p
}

func backends(b *testing.B) []subject {
	logger := boshlog.NewLogger(boshlog.LevelNone)
	out := []subject{{name: "nftables", rules: &nftables.Table{}, iptables: "iptables-nft", program: "nft -f", pairs: [][2][]string{
		{{"sh", "-c", "nft list table ip privnet; nft list table ip6 privnet"}, {"nft", "-f", "-"}},
	}}}
	for _, variant := range []string{"nft", "legacy"} {
		s := subject{name: "iptables-" + variant, dir: programs(b, variant), program: "iptables-restore",
			rules: iptables.New(system.NewExecCmdRunner(logger), system.NewOsFileSystem(logger), iptables.Glance)}
		s.iptables = filepath.Join(s.dir, "iptables")
		for _, name := range []string{"iptables", "ip6tables"} {
			path := filepath.Join(s.dir, name)
			s.pairs = append(s.pairs, [2][]string{{path + "-save", "-t", "mangle"}, {path + "-restore", "--noflush"}})
		}
		out = append(out, s)
	}
	return out
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// BenchmarkApply is a first application, as the enforcer does it after a look, beside the program that loads the same
// rules from a file, in turns; and the look that reads it back.
func BenchmarkApply(b *testing.B) {
	for _, backend := range backends(b) {
		for _, n := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", backend.name, n), func(b *testing.B) {
				alone(b)
				policy := backend.policy(n)
				check := func() {
					_, err := backend.rules.Check(policy)
					must(b, err)
				}
				must(b, backend.rules.Apply(policy))
				var dumps []string
				for _, pair := range backend.pairs {
					dump, err := exec.Command(pair[0][0], pair[0][1:]...).Output()
					must(b, err)
					dumps = append(dumps, string(dump))
				}
				var ours, theirs, back sample
				for b.Loop() {
					must(b, backend.rules.Remove(policy))
					check()
					began := time.Now()
					must(b, backend.rules.Apply(policy))
					ours = append(ours, milliseconds(began))
					began = time.Now()
					check()
					back = append(back, milliseconds(began))

					must(b, backend.rules.Remove(policy))
					began = time.Now()
					for i, pair := range backend.pairs {
						load := exec.Command(pair[1][0], pair[1][1:]...)
						load.Stdin = strings.NewReader(dumps[i])
						if out, err := load.CombinedOutput(); err != nil {
							b.Fatal(err, string(out))
						}
					}
					theirs = append(theirs, milliseconds(began))
				}
				what := fmt.Sprintf("%s, %d networks, ", backend.name, n)
				tell(what+"apply", ours, "ms")
				tell(what+backend.program+" of the same rules", theirs, "ms")
				tell(what+"apply against it", ours.per(theirs), "")
				tell(what+"read back", back, "ms")
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
				tell(fmt.Sprintf("%s, %d networks, look that finds nothing", backend.name, n), times, "ms")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}
