package backend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	nft "github.com/google/nftables"
	"golang.org/x/sys/unix"

	"privnet/egress"
	"privnet/egress/enforcer"
	"privnet/egress/nftables"
	"privnet/egress/routes"
)

// BenchmarkRepair is the time from a flush of the whole ruleset until the rules are there again. Of a flush of
// legacy rules nobody tells: they are repaired at the next look, one a second.
func BenchmarkRepair(b *testing.B) {
	for _, backend := range backends(b)[:2] {
		b.Run(backend.name, func(b *testing.B) {
			alone(b)
			policy := backend.policy(100)
			stop := enforce(b, backend.rules, policy)
			// What is written last stands: with iptables that is IPv6.
			table := "privnet"
			if backend.dir != "" {
				table = "mangle"
			}
			var times sample
			for b.Loop() {
				// The enforcer still reads back what it repaired.
				time.Sleep(100 * time.Millisecond)
				flusher, err := nft.New()
				must(b, err)
				began := time.Now()
				flusher.FlushRuleset()
				must(b, flusher.Flush())
				for standing := false; !standing; {
					_, err := nftables.Dropped(egress.IPv6, table, []string{"privnet-forward"})
					standing = err == nil
				}
				times = append(times, milliseconds(began))
			}
			stop()
			tell(backend.name+", 100 networks, flush until repaired", times, "ms")
			fmt.Printf("%-58s %9.3f ms\n", backend.name+", 100 networks, the 99th percentile", times.quantile(0.99))
			b.ReportMetric(0, "ns/op")
		})
	}
}

// enforce runs an enforcer in the namespace of the thread until the returned function is called.
func enforce(b *testing.B, rules enforcer.Rules, policy egress.Policy) (stop func()) {
	file, err := os.Open(filepath.Join("/proc/self/task", fmt.Sprint(unix.Gettid()), "ns/net"))
	must(b, err)
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
			Loaded: enforcer.Loaded{Policy: policy}, Rules: rules, Opening: routes.Blocks{},
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
	return func() {
		cancel()
		<-ended
		file.Close()
	}
}

// BenchmarkRest is what the process takes while nothing happens: it looks once a second.
func BenchmarkRest(b *testing.B) {
	program := filepath.Join(b.TempDir(), "egress-enforcer")
	if out, err := exec.Command("go", "build", "-o", program, "privnet/cmd/egress-enforcer").CombinedOutput(); err != nil {
		b.Fatal(err, string(out))
	}
	for _, backend := range backends(b) {
		for _, n := range []int{100, 1000} {
			b.Run(fmt.Sprintf("%s/%d", backend.name, n), func(b *testing.B) {
				alone(b)
				dir := b.TempDir()
				config := filepath.Join(dir, "enforcer.json")
				must(b, os.WriteFile(config, rest(b, backend, n), 0o640))
				process := exec.Command(program, "run", "--config", config, "--state-dir", dir, "--status-file", filepath.Join(dir, "status.json"))
				must(b, process.Start())
				defer func() {
					_ = process.Process.Kill()
					_ = process.Wait()
				}()
				ready := exec.Command(program, "ready", "--config", config, "--state-dir", dir, "--status-file", filepath.Join(dir, "status.json"), "--timeout", "20s")
				if out, err := ready.CombinedOutput(); err != nil {
					b.Fatal(err, string(out))
				}
				time.Sleep(2 * time.Second)
				var shares sample
				for b.Loop() {
					const while = 5 * time.Second
					before := processorTime(b, process.Process.Pid)
					time.Sleep(while)
					shares = append(shares, 100*(processorTime(b, process.Process.Pid)-before).Seconds()/while.Seconds())
				}
				what := fmt.Sprintf("%s, %d networks, at rest", backend.name, n)
				tell(what, shares, "% of a processor")
				status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", process.Process.Pid))
				must(b, err)
				for line := range strings.Lines(string(status)) {
					if strings.HasPrefix(line, "VmRSS") || strings.HasPrefix(line, "VmHWM") {
						fmt.Printf("%-58s %s", what, line)
					}
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// rest is the configuration of a cell with so many networks.
func rest(b *testing.B, backend subject, n int) []byte {
	var private []string
	for _, network := range networks(n).Connection.PrivateNetworks {
		private = append(private, network.String())
	}
	name := "iptables"
	if backend.dir == "" {
		name = "nftables"
	}
	data, err := json.Marshal(map[string]any{
		"role": "cell", "backend": name, "iptables_bin_dir": backend.dir, "addresses": []string{"10.20.0.10"},
		"connection": map[string]any{
			"org": "agency-a", "segment": []string{"10.20.0.0/24"}, "private_networks": private, "routing": "iaas",
			"gateways": []any{map[string]any{"address": "10.20.0.4", "public_address": "203.0.113.4"}},
		},
	})
	must(b, err)
	return data
}

// processorTime is what a process and the children it has waited for have taken so far.
func processorTime(b *testing.B, pid int) time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	must(b, err)
	// After the name, which is in brackets: utime, stime, cutime and cstime are the 14th to 17th field of proc(5), in
	// hundredths of a second.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var ticks int64
	for _, field := range fields[11:15] {
		n, err := strconv.ParseInt(field, 10, 64)
		must(b, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
