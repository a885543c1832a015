package vici_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"go4.org/netipx"
	"pgregory.net/rapid"

	"privnet/ipsec/vici"
	"privnet/ipsec/vici/view"
)

// diary keeps what Watch told.
type diary struct {
	sync.Mutex
	latest vici.Update
	events []vici.Event
	errors int
}

func (d *diary) write(u vici.Update) {
	d.Lock()
	defer d.Unlock()
	d.latest = u
	d.events = append(d.events, u.Events...)
	if u.Err != nil {
		d.errors++
	}
}

func (d *diary) now() vici.Update {
	d.Lock()
	defer d.Unlock()
	return d.latest
}

// count is the number of events of a kind that went up (or down).
func (d *diary) count(kind vici.Kind, up bool) int {
	d.Lock()
	defer d.Unlock()
	n := 0
	for _, e := range d.events {
		if e.Kind == kind && e.Up == up {
			n++
		}
	}
	return n
}

func (d *diary) carrying() int {
	n := 0
	for _, sa := range d.now().SAs {
		for _, child := range sa.Children {
			if child.Carries() {
				n++
			}
		}
	}
	return n
}

// never is a poll so seldom that only events can explain what is seen.
const never = time.Hour

func watch(socket string, poll time.Duration) *diary {
	d := &diary{}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		vici.Watch(ctx, socket, poll, d.write)
	}()
	DeferCleanup(func() { cancel(); <-done })
	return d
}

const soon = 5 * time.Second

var _ = Describe("Security associations", func() {
	for _, version := range []int{1, 2} {
		It("are listed and followed as the customer opens, rekeys and closes tunnels of IKEv"+string(rune('0'+version)), func() {
			gateway, customer := network()
			gateway.start(tunnel(version, "192.0.2.1", "192.0.2.2", "10.20.0.0/26", "10.150.0.0/16", "172.30.8.0/22", false))
			customer.start(tunnel(version, "192.0.2.2", "192.0.2.1", "10.20.0.0/26", "10.150.0.0/16", "172.30.8.0/22", true))
			seen := watch(gateway.socket(), never)
			Consistently(seen.now, "200ms").Should(HaveField("SAs", BeEmpty()))

			customer.swanctl("--initiate", "--child", "first")
			Eventually(seen.carrying, soon).Should(Equal(1))
			customer.swanctl("--initiate", "--child", "second")
			Eventually(seen.carrying, soon).Should(Equal(2))
			Expect(seen.count(vici.IKEUpDown, true)).To(Equal(1))
			Expect(seen.count(vici.ChildUpDown, true)).To(Equal(2))

			sa := seen.now().SAs[0]
			Expect(seen.now().SAs).To(HaveLen(1))
			Expect(sa.IsEstablished()).To(BeTrue())
			Expect(sa.Version).To(Equal(version))
			Expect(sa.Name).To(Equal("agency-a"))
			Expect(sa.RemoteHost).To(Equal(netip.MustParseAddr("192.0.2.2")))
			Expect(sa.RemoteID).To(Equal("192.0.2.2"))
			Expect(sa.Initiator).To(BeFalse())
			Expect(sa.Algorithms.String()).To(ContainSubstring("AES_CBC-256"))
			Expect(sa.Algorithms.KeyExchange).To(Equal("ECP_256"))
			first := sa.Children[0]
			Expect(first.LocalTS[0].String()).To(Equal("10.20.0.0/26"))
			Expect(first.RemoteTS[0].String()).To(Equal("10.150.0.0/16"))
			Expect(first.Encap).To(BeTrue(), "userland ESP is always in UDP")
			Expect(first.UsedIn).To(BeNumerically("<", 0), "nothing has passed yet")

			gateway.send("10.150.0.1")
			counted := watch(gateway.socket(), 50*time.Millisecond)
			Eventually(counted.now, soon).Should(HaveField("SAs", ConsistOf(HaveField("Children", ContainElement(And(
				HaveField("Name", "first"),
				HaveField("BytesOut", BeNumerically(">", 0)), HaveField("PacketsIn", BeNumerically(">", 0)),
				HaveField("UsedIn", BeNumerically(">=", 0))))))))

			customer.swanctl("--rekey", "--child", "first")
			Eventually(func() int { return seen.count(vici.ChildRekey, false) + seen.count(vici.ChildUpDown, true) }, soon).
				Should(BeNumerically(">", 2))
			Expect(seen.carrying()).To(BeNumerically(">=", 2))

			customer.swanctl("--terminate", "--ike", "agency-a")
			Eventually(seen.now, soon).Should(HaveField("SAs", BeEmpty()))
			Expect(seen.count(vici.IKEUpDown, false)).To(Equal(1))
		})
	}

	It("are all listed, also when there are more than govici keeps", func() {
		const count = 250
		gateway, customer := network()
		ours, theirs := many(count)
		gateway.start(ours, "block_threshold = 1000", "cookie_threshold = 0", "cookie_threshold_ip = 0")
		customer.start(theirs, "reuse_ikesa = no")
		seen := watch(gateway.socket(), never)
		initiate := fmt.Sprintf("for i in {0..%d}; do swanctl --initiate --ike agency-$i; done", count-1)
		Expect(customer.command("bash", "-ec", initiate).Run()).To(Succeed())
		Eventually(func() int { return len(seen.now().SAs) }, soon).Should(Equal(count))
		charon, err := vici.Connect(context.Background(), gateway.socket())
		Expect(err).NotTo(HaveOccurred())
		defer charon.Close()
		for range 10 {
			sas, err := charon.SAs(context.Background())
			Expect(err).NotTo(HaveOccurred())
			Expect(sas).To(HaveLen(count))
		}
	})

	It("are followed across a restart of charon", func() {
		gateway, customer := network()
		configuration := tunnel(2, "192.0.2.1", "192.0.2.2", "10.20.0.0/26", "10.150.0.0/16", "172.30.8.0/22", false)
		gateway.start(configuration)
		customer.start(tunnel(2, "192.0.2.2", "192.0.2.1", "10.20.0.0/26", "10.150.0.0/16", "172.30.8.0/22", true))
		customer.swanctl("--initiate", "--child", "first")
		seen := watch(gateway.socket(), never)
		Eventually(seen.carrying, soon).Should(Equal(1), "what was there before is listed")

		gateway.session.Kill().Wait(soon)
		Eventually(seen.now, soon).Should(HaveField("Err", MatchError(ContainSubstring("charon"))))
		Expect(seen.now().SAs).To(BeEmpty())

		gateway.run()
		Eventually(seen.now, soon).Should(HaveField("Err", BeNil()))
		_ = customer.command("/usr/sbin/swanctl", "--terminate", "--force", "--timeout", "1", "--ike", "agency-a").Run() // nobody answers
		customer.swanctl("--initiate", "--child", "first")
		Eventually(seen.carrying, soon).Should(Equal(1))
	})

	It("are seen through the read-only view, which lets nothing be changed", func() {
		gateway, customer := network()
		gateway.start(tunnel(2, "192.0.2.1", "192.0.2.2", "10.20.0.0/26", "10.150.0.0/16", "172.30.8.0/22", false))
		customer.start(tunnel(2, "192.0.2.2", "192.0.2.1", "10.20.0.0/26", "10.150.0.0/16", "172.30.8.0/22", true))
		window := view.View{
			Charon: gateway.socket(), Socket: filepath.Join(gateway.directory, "view", "vici.sock"), Group: 1000, Log: slog.New(slog.DiscardHandler),
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- window.Serve(ctx) }()
		DeferCleanup(func() { cancel(); Eventually(done, soon).Should(Receive(BeNil())) })
		Eventually(window.Socket).Should(BeAnExistingFile())

		seen := watch(window.Socket, never)
		customer.swanctl("--initiate", "--child", "first")
		Eventually(seen.carrying, soon).Should(Equal(1))
		output, _ := gateway.command("/usr/sbin/swanctl", "--terminate", "--ike", "agency-a", "--uri", "unix://"+window.Socket).CombinedOutput()
		Expect(string(output)).To(ContainSubstring("failed"))
		Consistently(seen.carrying, "300ms").Should(Equal(1))
	})

	It("report that charon is not there, again and again", func() {
		seen := watch(GinkgoT().TempDir()+"/charon.vici", never)
		Eventually(func() int { seen.Lock(); defer seen.Unlock(); return seen.errors }, soon).Should(BeNumerically(">", 1))
		Expect(seen.now().Err).To(MatchError(ContainSubstring("connecting to charon")))
	})
})

var _ = DescribeTable("A selector is read as charon writes it",
	func(text, first, last, only string) {
		selector, err := vici.ParseSelector(text)
		Expect(err).NotTo(HaveOccurred())
		Expect(selector.Range).To(Equal(netipx.IPRangeFrom(netip.MustParseAddr(first), netip.MustParseAddr(last))))
		Expect(selector.Only).To(Equal(only))
	},
	Entry("a network", "10.20.0.0/26", "10.20.0.0", "10.20.0.63", ""),
	Entry("everything", "0.0.0.0/0", "0.0.0.0", "255.255.255.255", ""),
	Entry("a range", "10.0.0.3..10.0.0.9", "10.0.0.3", "10.0.0.9", ""),
	Entry("a host", "10.0.0.3", "10.0.0.3", "10.0.0.3", ""),
	Entry("one port", "10.0.0.0/8[tcp/https]", "10.0.0.0", "10.255.255.255", "tcp/https"),
	Entry("one protocol", "10.0.0.1..10.0.0.2[udp]", "10.0.0.1", "10.0.0.2", "udp"),
)

var _ = DescribeTable("What is no selector is refused",
	func(text string) {
		_, err := vici.ParseSelector(text)
		Expect(err).To(MatchError(ContainSubstring("reading selector")))
	},
	Entry("nothing", ""), Entry("a word", "dynamic"), Entry("a half range", "10.0.0.1.."), Entry("an open bracket", "10.0.0.0/8[tcp"),
	Entry("an empty bracket", "10.0.0.0/8[]"), Entry("a wrong length", "10.0.0.0/33"), Entry("a range backwards", "10.0.0.9..10.0.0.1"),
)

var _ = It("A selector that is written is read back the same", func() {
	rapid.Check(GinkgoT(), func(t *rapid.T) {
		bits := rapid.IntRange(0, 32).Draw(t, "bits")
		address := netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "address")))
		selector := vici.Selector{
			Range: netipx.RangeOfPrefix(netip.PrefixFrom(address, bits)),
			Only:  rapid.SampledFrom([]string{"", "tcp", "udp/500"}).Draw(t, "only"),
		}
		again, err := vici.ParseSelector(selector.String())
		if err != nil || again != selector {
			t.Fatalf("%s became %s: %v", selector, again, err)
		}
	})
})
