package probe_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"privnet/connection"
	"privnet/ipsec/gateway"
	"privnet/ipsec/vici"
	"privnet/probe"
	"privnet/probe/check"
	"privnet/probe/health"
)

// world is what a prober sees, under the control of a spec.
type world struct {
	updates  chan vici.Update
	lines    chan vici.LogLine
	answer   atomic.Pointer[check.Result]
	enforced atomic.Bool
	// ahead is how far the clock is ahead of the real one.
	ahead atomic.Int64
	// mtu is what a measurement of the path gives, gateway the path of the gateway's status file.
	mtu     atomic.Int64
	gateway string
	log     *gbytes.Buffer
	prober  *probe.Prober
	memory  probe.Memory
	stop    func()
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) }

func (w *world) senses() probe.Senses {
	return probe.Senses{
		Charon: func(ctx context.Context, deliver func(vici.Update)) {
			for {
				select {
				case <-ctx.Done():
					return
				case u := <-w.updates:
					deliver(u)
				}
			}
		},
		Log: func(ctx context.Context, deliver func(vici.LogLine)) {
			for {
				select {
				case <-ctx.Done():
					return
				case l := <-w.lines:
					deliver(l)
				}
			}
		},
		Configuration: func() probe.Configuration { return probe.ReadConfiguration(w.gateway) },
		// As a kernel that a router has told of the way to one address.
		KernelMTU: func(_, destination netip.Addr) int {
			if destination == netip.MustParseAddr("10.150.0.10") {
				return 1422
			}
			return 1500
		},
		PathMTU: func(context.Context, netip.Addr, netip.Addr) (int, error) { return int(w.mtu.Load()), nil },
		Ask: func(_ context.Context, _ connection.Target, source netip.Addr) check.Result {
			r := *w.answer.Load()
			r.At, r.Took = time.Now(), 3*time.Millisecond
			return r
		},
		Enforcement: func(time.Time) probe.Enforcement {
			if w.enforced.Load() {
				return probe.Enforcement{Enforcement: health.Enforcement{State: health.On}, Repairs: 2, DroppedPackets: 7}
			}
			return probe.Enforcement{Enforcement: health.Enforcement{State: health.Off, Reason: "flushed"}}
		},
		Now: w.now,
	}
}

// start runs a prober; a second one continues with the memory of the first.
func (w *world) start(text string) {
	w.prober = probe.New(config(text), w.senses(), w.memory, slog.New(slog.NewJSONHandler(io.MultiWriter(GinkgoWriter, w.log), nil)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); w.prober.Run(ctx) }()
	w.stop = func() { cancel(); Eventually(done).Should(BeClosed()) }
	DeferCleanup(func() { w.stop() })
}

func newWorld() *world {
	directory := GinkgoT().TempDir()
	w := &world{
		updates: make(chan vici.Update), lines: make(chan vici.LogLine), memory: probe.Memory{Path: filepath.Join(directory, "state.json")},
		gateway: filepath.Join(directory, "gateway.json"), log: gbytes.NewBuffer(),
	}
	w.enforced.Store(true)
	w.answer.Store(&check.Result{Asked: true, Reached: true, Served: true})
	return w
}

// tell lists SAs; without any, the last one has just ended.
func (w *world) tell(sas ...vici.SA) {
	u := vici.Update{SAs: sas}
	if len(sas) == 0 {
		u.Events = []vici.Event{{Kind: vici.IKEUpDown}}
	}
	w.updates <- u
}

func (w *world) state() health.State { return w.prober.Status().State }

// sa has one CHILD_SA for both private networks and both subnets.
func sa(spi string, in, out uint64) vici.SA {
	selectors := func(texts ...string) (list []vici.Selector) {
		for _, text := range texts {
			s, err := vici.ParseSelector(text)
			Expect(err).NotTo(HaveOccurred())
			list = append(list, s)
		}
		return list
	}
	return vici.SA{
		Name: "agency-a", State: "ESTABLISHED", Version: 2, RemoteHost: netip.MustParseAddr("198.51.100.10"), Established: time.Hour,
		Algorithms: vici.Algorithms{Encryption: "AES_GCM_16-256"},
		Children: []vici.Child{{
			Name: "all", State: "INSTALLED", SPIIn: spi, BytesIn: in, PacketsIn: 1, BytesOut: out, PacketsOut: 1, UsedIn: 0, UsedOut: 0,
			LocalTS: selectors("10.20.0.0/26", "10.20.1.0/26"), RemoteTS: selectors("10.150.0.0/16", "172.30.8.0/22"),
		}},
	}
}

var _ = Describe("A prober on a gateway", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })

	It("knows nothing before charon was asked, and lists every pair all the same", func() {
		w.start(gatewayJSON)
		Consistently(w.state, "100ms").Should(Equal(health.Unknown))
		Expect(w.prober.Status()).To(And(HaveField("ObservedAt", BeZero()), HaveField("Pairs", HaveLen(4)), HaveField("Reason", ContainSubstring("just started"))))
	})

	It("follows the tunnel up, partly up and down", func() {
		w.start(gatewayJSON)
		w.tell()
		Eventually(w.state).Should(Equal(health.Down))
		Expect(w.prober.Status().Reason).To(ContainSubstring("has not connected"))

		w.tell(sa("c1", 100, 200))
		Eventually(w.state).Should(Equal(health.Up))
		Expect(w.prober.Status().Tunnels[0]).To(And(
			HaveField("Established", true), HaveField("EstablishedAt", BeTemporally("~", w.now().Add(-time.Hour), time.Minute)), HaveField("Algorithms", "AES_GCM_16-256")))

		narrowed := sa("c2", 0, 0)
		narrowed.Children[0].RemoteTS = narrowed.Children[0].RemoteTS[:1]
		w.updates <- vici.Update{SAs: []vici.SA{narrowed}, Events: []vici.Event{{Kind: vici.ChildUpDown, SA: sa("c1", 100, 200)}}}
		Eventually(w.state).Should(Equal(health.Partial))
		Expect(w.prober.Status().Reason).To(HavePrefix("10.20.0.0/26=172.30.8.0/22, 10.20.1.0/26=172.30.8.0/22: "))

		w.updates <- vici.Update{Err: errors.New("connection refused")}
		Eventually(w.state).Should(Equal(health.Unknown))
		Expect(w.prober.Status().Charon).To(Equal(&probe.Charon{Reason: "connection refused"}))
	})

	It("never says up while the rules are off", func() {
		w.enforced.Store(false)
		w.start(gatewayJSON)
		w.tell(sa("c1", 1, 1))
		Eventually(w.state).Should(Equal(health.Down))
		Expect(w.prober.Status().Reason).To(ContainSubstring("flushed"))
		w.enforced.Store(true)
		Eventually(w.state, "3s").Should(Equal(health.Up))
	})

	It("counts over rekeyings, and over a restart of its own", func() {
		bytes := func() [2]uint64 { p := w.prober.Status().Pairs[0]; return [2]uint64{p.BytesIn, p.BytesOut} }
		w.start(gatewayJSON)
		w.tell(sa("c1", 100, 200))
		Eventually(bytes).Should(Equal([2]uint64{100, 200}))
		w.tell(sa("c1", 150, 200))
		Eventually(bytes).Should(Equal([2]uint64{150, 200}))
		// The last packets of a CHILD_SA are known from the event that says it is gone, once.
		last := sa("c1", 160, 200)
		w.updates <- vici.Update{SAs: []vici.SA{sa("c2", 5, 5)}, Events: []vici.Event{{Kind: vici.ChildUpDown, SA: last}}}
		Eventually(bytes).Should(Equal([2]uint64{165, 205}))
		w.updates <- vici.Update{SAs: []vici.SA{sa("c2", 5, 5)}, Events: []vici.Event{{Kind: vici.ChildUpDown, SA: last}}}
		Consistently(bytes, "50ms").Should(Equal([2]uint64{165, 205}))

		since := w.prober.Status().Pairs[0].Since
		w.stop()
		w.start(gatewayJSON)
		Expect(w.state()).To(Equal(health.Unknown), "nothing is up before it was looked at")
		w.tell(sa("c2", 7, 5))
		Eventually(bytes).Should(Equal([2]uint64{167, 205}))
		Expect(w.prober.Status().Pairs[0].Since).To(BeTemporally("==", since))
	})

	It("still judges when charon logs without end", func() {
		w.start(gatewayJSON)
		w.tell(sa("c1", 1, 1))
		flood, stop := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(flood)
			for {
				select {
				case w.lines <- vici.LogLine{Text: "no IKE config found for 203.0.113.10...192.0.2.7, sending NO_PROPOSAL_CHOSEN"}:
				case <-stop:
					return
				}
			}
		}()
		Eventually(w.state).Should(Equal(health.Up))
		w.tell()
		Eventually(w.state).Should(Equal(health.Down))
		close(stop)
		Eventually(flood).Should(BeClosed())
	})

	It("says idle when nothing has passed for long, and up again with the next packet", func() {
		w.start(strings.Replace(gatewayJSON, `{"address": "10.150.0.10", "check": "tcp", "port": 443}`, "", 1))
		silent := sa("c1", 0, 0)
		silent.Children[0].UsedIn, silent.Children[0].UsedOut = -1, -1
		w.tell(silent)
		Eventually(w.state).Should(Equal(health.Up))
		w.ahead.Store(int64(health.IdleAfter))
		Eventually(w.state, "3s").Should(Equal(health.Idle))
		w.tell(sa("c1", 1, 0))
		Eventually(w.state).Should(Equal(health.Up))
	})

	It("does not hold against a new tunnel what was lost without one", func() {
		w.answer.Store(&check.Result{Asked: true, Detail: "no route"})
		w.start(gatewayJSON)
		w.tell()
		Eventually(func() int { return w.prober.Status().Targets[0].Missed }, "5s").Should(Equal(3))
		w.tell(sa("c1", 1, 1))
		Eventually(func() health.State { return w.prober.Status().Pairs[0].State }, "400ms", "1ms").ShouldNot(Equal(health.Down))
		Expect(w.prober.Status().Pairs[0].State).To(Equal(health.Up))
		Eventually(w.state, "5s").Should(Equal(health.Partial), "and it is lost again with the tunnel")
	})

	It("waits for a second list when CHILD_SAs are missing that nobody has ended, as while an IKE_SA is replaced", func() {
		w.start(gatewayJSON)
		w.tell(sa("c1", 100, 200))
		Eventually(w.state).Should(Equal(health.Up))
		between := sa("c1", 0, 0)
		between.State, between.Children = "CONNECTING", nil
		w.tell(between)
		Consistently(w.state, "300ms", "5ms").Should(Equal(health.Up))
		w.tell(sa("c1", 110, 200))
		Eventually(func() uint64 { return w.prober.Status().Pairs[0].BytesIn }).Should(Equal(uint64(110)), "and counts nothing twice")
		Expect(w.prober.Status().Tunnels[0].Established).To(BeTrue())

		w.updates <- vici.Update{SAs: []vici.SA{between}, Events: []vici.Event{{Kind: vici.ChildUpDown, SA: sa("c1", 110, 200)}}}
		Eventually(w.state).Should(Equal(health.Down))
		w.tell(sa("c2", 1, 1))
		Eventually(w.state).Should(Equal(health.Up))
		Eventually(func() health.State { w.tell(between); return w.state() }, "5s").Should(Equal(health.Down), "they are missing for good")
	})

	It("counts what happens to the tunnel", func() {
		w.start(gatewayJSON)
		event := func(kind vici.Kind, up bool) vici.Event { return vici.Event{Kind: kind, Up: up, SA: sa("x", 0, 0)} }
		w.updates <- vici.Update{Events: []vici.Event{
			event(vici.IKEUpDown, true), event(vici.ChildUpDown, true), event(vici.IKERekey, false), event(vici.ChildRekey, false), event(vici.IKEUpDown, false),
		}}
		Eventually(func() probe.Tunnel { return w.prober.Status().Tunnels[0] }).Should(And(
			HaveField("Ups", uint64(1)), HaveField("Downs", uint64(1)), HaveField("IKERekeys", uint64(1)), HaveField("ChildRekeys", uint64(1))))
	})
})

var _ = Describe("A prober on a cell", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })

	It("judges by its probes: up, and down after three questions without an answer", func() {
		text := strings.Replace(cellJSON, `"172.30.8.0/22"`, "", 1)
		w.start(strings.Replace(text, `"10.150.0.0/16", `, `"10.150.0.0/16"`, 1))
		Eventually(w.state).Should(Equal(health.Up))
		Expect(w.prober.Status()).To(And(HaveField("Charon", BeNil()), HaveField("Tunnels", BeEmpty())))

		w.answer.Store(&check.Result{Asked: true, Detail: "no answer within 1s"})
		Eventually(w.state, "5s").Should(Equal(health.Down))
		Expect(w.prober.Status().Reason).To(ContainSubstring("tcp://10.150.0.10:443 (no answer within 1s)"))
		Expect(w.prober.Status().Targets[0].Missed).To(Equal(3))

		w.answer.Store(&check.Result{Asked: true, Reached: true, Detail: "connection refused"})
		Eventually(w.state, "5s").Should(Equal(health.Up), "a refusal came back through the tunnel")
		Expect(w.prober.Status().Targets[0]).To(And(HaveField("Served", false), HaveField("Reason", "connection refused")))
	})

	It("asks the gateway, too, of which a refusal is an answer enough", func() {
		w.answer.Store(&check.Result{Asked: true, Reached: true, Detail: "connection refused"})
		w.start(cellJSON)
		Eventually(func() []probe.NextHop { return w.prober.Status().Gateways }, "3s").Should(HaveExactElements(And(
			HaveField("Address", netip.MustParseAddr("10.20.0.4")), HaveField("Reached", true), HaveField("Reason", ""))))
		Expect(w.value(`privnet_gateway_reached{address="10.20.0.4"}`)()).To(Equal(1.0))
		w.answer.Store(&check.Result{Asked: true, Detail: "no answer within 400ms"})
		Eventually(func() probe.NextHop { return w.prober.Status().Gateways[0] }, "5s").Should(And(
			HaveField("Reached", false), HaveField("Missed", BeNumerically(">=", 3)), HaveField("Reason", "no answer within 400ms")))
	})

	It("says of a pair without targets that it does not know", func() {
		w.start(cellJSON)
		Eventually(func() health.State { return w.prober.Status().Pairs[0].State }).Should(Equal(health.Up))
		Expect(w.state()).To(Equal(health.Unknown))
		Expect(w.prober.Status().Pairs[1].Verdict).To(Equal(health.Verdict{State: health.Unknown, Reason: "no probe target declared"}))
	})

	It("is down while the rules are off, even if a probe would be answered", func() {
		w.enforced.Store(false)
		w.start(cellJSON)
		Eventually(w.state).Should(Equal(health.Down))
		Consistently(w.state, "700ms").Should(Equal(health.Down))
	})
})

var _ = Describe("The metrics", func() {
	It("have all their series before anything is known, but for the names of what ends", func() {
		w := newWorld()
		w.start(gatewayJSON)
		before, err := testutil.GatherAndCount(w.prober.Metrics().Registry)
		Expect(err).NotTo(HaveOccurred())
		Expect(before).To(BeNumerically(">", 40))
		w.say(gateway.Status{Healthy: true, Expiries: []gateway.ExpiryStatus{{What: "the waiver for sha1", At: time.Now()}}})
		w.tell(sa("c1", 100, 200))
		Eventually(w.state).Should(Equal(health.Up))
		Eventually(func() (int, error) { return testutil.GatherAndCount(w.prober.Metrics().Registry) }, "3s").Should(Equal(before + 1))
		Expect(testutil.GatherAndLint(w.prober.Metrics().Registry)).To(BeEmpty())
	})

	It("have each series once, also for what is declared twice", func() {
		w := newWorld()
		twice := strings.Replace(gatewayJSON, `"probes": [`, `"probes": [{"address": "10.150.0.10", "check": "tcp", "port": 443}, `, 1)
		w.start(strings.Replace(twice, `"endpoints": [`, `"endpoints": [{"address": "198.51.100.10", "device": "paloalto"}, `, 1))
		_, err := w.prober.Metrics().Registry.Gather()
		Expect(err).NotTo(HaveOccurred())
		Expect(w.prober.Status()).To(And(HaveField("Targets", HaveLen(1)), HaveField("Tunnels", HaveLen(1))))
	})

	It("say what the status says", func() {
		w := newWorld()
		w.start(gatewayJSON)
		w.tell(sa("c1", 100, 200))
		Eventually(w.state).Should(Equal(health.Up))
		Expect(testutil.GatherAndCompare(w.prober.Metrics().Registry, strings.NewReader(`
# HELP privnet_connection_state 1 for the state that the connection is in, 0 for the others.
# TYPE privnet_connection_state gauge
privnet_connection_state{gateway="10.20.0.4",org="agency-a",state="down"} 0
privnet_connection_state{gateway="10.20.0.4",org="agency-a",state="idle"} 0
privnet_connection_state{gateway="10.20.0.4",org="agency-a",state="partial"} 0
privnet_connection_state{gateway="10.20.0.4",org="agency-a",state="unknown"} 0
privnet_connection_state{gateway="10.20.0.4",org="agency-a",state="up"} 1
# HELP privnet_enforcement_dropped_packets_total Packets that the rules dropped.
# TYPE privnet_enforcement_dropped_packets_total counter
privnet_enforcement_dropped_packets_total{gateway="10.20.0.4",org="agency-a"} 7
# HELP privnet_tunnel_up 1 if the IKE_SA with the endpoint is established.
# TYPE privnet_tunnel_up gauge
privnet_tunnel_up{gateway="10.20.0.4",org="agency-a",tunnel="198.51.100.10"} 1
`), "privnet_connection_state", "privnet_enforcement_dropped_packets_total", "privnet_tunnel_up")).To(Succeed())
	})
})
