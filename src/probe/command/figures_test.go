package command_test

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"privnet/netnstest"
	"privnet/probe/health"
)

// The figures of docs/status.md. They take minutes: BENCH=1 measures, SOAK=60m watches a healthy tunnel for
// that long, with questions every 500 ms or SOAK_INTERVAL.
var _ = Describe("Figures", Serial, func() {
	networks := func(n int) (out []string) {
		for i := range n {
			out = append(out, fmt.Sprintf("10.150.%d.0/24", i))
		}
		return out
	}
	up := func(n int, rekey, interval string) *tunnel {
		t := newTunnel(networks(n), rekey)
		t.probe(interval)
		Eventually(t.initiate, "30s").Should(Succeed())
		Eventually(t.state, "10s").Should(Equal(health.Up))
		return t
	}

	It("How soon a dead path is seen", func() {
		if os.Getenv("BENCH") == "" {
			Skip("set BENCH=1")
		}
		t := up(2, "4h", "500ms")
		var seen, metric, down []time.Duration
		for i := range 20 {
			Eventually(t.state, "20s").Should(Equal(health.Up))
			time.Sleep(time.Second + time.Duration(i)*53*time.Millisecond) // faults know nothing of tickers
			t.cut("-I")
			cut := time.Now()
			Eventually(t.state, "20s", "5ms").ShouldNot(Equal(health.Up))
			seen = append(seen, time.Since(cut))
			Eventually(func() string { body, _ := t.ask("/metrics"); return string(body) }, "20s", "5ms").
				Should(ContainSubstring(`privnet_connection_state{gateway="10.20.0.4",org="agency-a",state="up"} 0`))
			metric = append(metric, time.Since(cut))
			Eventually(t.state, "20s", "5ms").Should(Equal(health.Down))
			down = append(down, time.Since(cut))
			t.cut("-D")
		}
		for name, times := range map[string][]time.Duration{"state": seen, "metric": metric, "down": down} {
			slices.Sort(times)
			AddReportEntry(fmt.Sprintf("%s: median %s, longest %s", name, times[len(times)/2].Round(10*time.Millisecond), times[len(times)-1].Round(10*time.Millisecond)))
		}
	})

	for _, n := range []int{10, 100} {
		It(fmt.Sprintf("What %d pairs with a target each cost", n), func() {
			if os.Getenv("BENCH") == "" {
				Skip("set BENCH=1")
			}
			t := up(n, "4h", "1s")
			time.Sleep(5 * time.Second)
			const during = 30 * time.Second
			before := cpu(t.prober)
			time.Sleep(during)
			used := cpu(t.prober) - before
			AddReportEntry(fmt.Sprintf("%d pairs, %d targets: %.2f %% of a core, %s", n, n+1, 100*used.Seconds()/during.Seconds(), memory(t.prober)))
		})
	}

	It("False alarms on a healthy tunnel that is rekeyed, busy and idle by turns", func() {
		if os.Getenv("SOAK") == "" {
			Skip("set SOAK to a duration, such as 20m")
		}
		during, err := time.ParseDuration(os.Getenv("SOAK"))
		Expect(err).NotTo(HaveOccurred())
		t := up(2, "20s", cmp.Or(os.Getenv("SOAK_INTERVAL"), "500ms"))
		begun := t.status()
		for end := time.Now().Add(during); time.Now().Before(end); {
			busy := time.Now().Add(20 * time.Second)
			for time.Now().Before(busy) {
				t.load()
			}
			time.Sleep(20 * time.Second)
		}
		s := t.status()
		AddReportEntry(fmt.Sprintf("%s: %d changes of state, %d of %d questions lost, %d rekeyings of phase 1, %d of phase 2, %d failures, last %v",
			during, s.Changes-begun.Changes, s.Targets[0].Losses+s.Targets[1].Losses+s.Targets[2].Losses,
			s.Targets[0].Questions+s.Targets[1].Questions+s.Targets[2].Questions,
			s.Tunnels[0].IKERekeys, s.Tunnels[0].ChildRekeys, len(s.Failures), s.LastFailure))
		Expect(s.State).To(Equal(health.Up))
		Expect(s.Changes).To(Equal(begun.Changes))
		// That it is renewed every twenty seconds is worth a word, and nothing else.
		Expect(s.Failures).To(HaveEach(HaveField("Reason", HaveSuffix("-renewed-v2"))))
	})
})

// load opens connections through the tunnel, one after the other.
func (t *tunnel) load() {
	for range 50 {
		netnstest.In(t.network.Gateway, func() {
			if conn, err := net.DialTimeout("tcp4", net.JoinHostPort(firstOf(t.networks[0]), "8443"), time.Second); err == nil {
				conn.Close()
			}
		})
	}
}

// cpu is the time that a process's threads have computed so far, to the nanosecond: ticks are too coarse for
// what runs a hundred times a second for an instant.
func cpu(session *gexec.Session) time.Duration {
	GinkgoHelper()
	threads, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(session.Command.Process.Pid), "task/*/schedstat"))
	Expect(err).NotTo(HaveOccurred())
	var sum time.Duration
	for _, thread := range threads {
		data, err := os.ReadFile(thread)
		Expect(err).NotTo(HaveOccurred())
		nanoseconds, err := strconv.ParseInt(strings.Fields(string(data))[0], 10, 64)
		Expect(err).NotTo(HaveOccurred())
		sum += time.Duration(nanoseconds)
	}
	return sum
}

// memory is what a process has resident.
func memory(session *gexec.Session) string {
	GinkgoHelper()
	data, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(session.Command.Process.Pid), "status"))
	Expect(err).NotTo(HaveOccurred())
	for _, line := range strings.Split(string(data), "\n") {
		if size, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			return strings.TrimSpace(size) + " resident"
		}
	}
	return ""
}
