package netfilter_test

import (
	"math/rand/v2"
	"os/exec"
	"runtime"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"privnet/verify/netfilter"
	"privnet/verify/space"
)

// flows sends the first packets of flows of every kind, then answers or errors for those that passed, then the
// flows' next packets, so that conntrack knows each in every state.
func (b *bench) flows(random *rand.Rand, check func([]*sent)) {
	GinkgoHelper()
	of := func(values ...uint32) uint32 { return values[random.IntN(len(values))] }
	var first, second, third []*sent
	for range 40 {
		b.flow += 8
		p := space.Packet{
			space.Source:      10<<24 | of(6, 7, 8)<<16 | of(0, 1, 2, 3, 4, 5, 6, 7),
			space.Destination: 10<<24 | 9<<16 | of(0, 1, 2)<<8 | of(0, 1, 2, 3, 4, 5, 6, 7),
			space.Protocol:    of(6, 6, 17, 17, 1, 50),
		}
		switch p[space.Protocol] {
		case 6, 17:
			p[space.SourcePort], p[space.Port] = b.flow, of(53, 80, 443, 9000)
			p[space.OriginalPort] = p[space.Port]
			if p[space.Protocol] == 6 && random.IntN(6) == 0 {
				p[space.Flow] = space.Invalid
			}
		case 1:
			// The identifier, by which conntrack tells flows apart.
			p[space.SourcePort] = b.flow
		}
		packet := b.arrive(p)
		packet.bytes = frame(packet.as, nil)
		first = append(first, packet)
	}
	check(first)
	for _, p := range first {
		if !p.passed || p.as[space.Flow] == space.Invalid || p.as[space.Protocol] == 50 {
			continue
		}
		back := reversed(p.as)
		next := p.as
		if random.IntN(3) == 0 {
			back[space.Protocol], back[space.Flow] = 1, space.RelatedReply
			answer := b.arrive(back)
			answer.bytes = frame(answer.as, p.bytes)
			second = append(second, answer)
			continue
		}
		back[space.Flow], next[space.Flow] = space.Reply, space.Established
		if back[space.Protocol] == 1 {
			back[space.SourcePort] = p.as[space.SourcePort]
		}
		for packet, list := range map[space.Packet]*[]*sent{back: &second, next: &third} {
			packet := b.arrive(packet)
			packet.bytes = frame(packet.as, nil)
			*list = append(*list, packet)
		}
	}
	check(second)
	check(third)
}

// onOneProcessor keeps the thread on one processor, so that packets stay in their order, until the returned
// function is called.
func onOneProcessor() func() {
	GinkgoHelper()
	runtime.LockOSThread()
	var all, one unix.CPUSet
	Expect(unix.SchedGetaffinity(0, &all)).To(Succeed())
	one.Set(0)
	Expect(unix.SchedSetaffinity(0, &one)).To(Succeed())
	return func() {
		Expect(unix.SchedSetaffinity(0, &all)).To(Succeed())
		runtime.UnlockOSThread()
	}
}

// compare loads random rules and compares what the kernel does with packets of all kinds with the evaluator.
func (b *bench) compare(restore string, rounds int, hooks ...string) {
	GinkgoHelper()
	defer onOneProcessor()()
	seed := GinkgoRandomSeed()
	random := rand.New(rand.NewPCG(uint64(seed), 1))
	verdicts, states, inside := map[bool]int{}, map[uint32]int{}, map[[2]uint32]int{}
	for round := range rounds {
		hook := hooks[round%len(hooks)]
		text := randomRules(random, hook, 5)
		// The marker passes, and conntrack looks at every flow, whether or not a rule asks for it.
		text = strings.Replace(text, "-A "+hook, "-A "+hook+" -d 10.9.250.1/32 -j ACCEPT\n-A "+hook+
			" -s 10.5.0.0/32 -m conntrack --ctstate RELATED -j DROP\n-A "+hook, 1)
		table, err := netfilter.Parse(text)
		Expect(err).NotTo(HaveOccurred(), text)
		b.load(restore, text)
		b.flows(random, func(packets []*sent) {
			GinkgoHelper()
			b.send(packets)
			for _, p := range packets {
				judged, way := table.Judge(hook, p.as)
				Expect(p.passed).To(Equal(judged), "seed %d, round %d, packet %v by %s, way %v in\n%s", seed, round, p.as, p.link, way, text)
				alone := space.All()
				for d, value := range p.as {
					alone = alone.With(space.Dimension(d), space.One(value))
				}
				Expect(len(table.Passes(hook, space.Region{alone})) > 0).To(Equal(judged))
				verdicts[judged]++
				states[p.as[space.Flow]]++
				inside[[2]uint32{p.as[space.Arrived], p.as[space.Leaves]}]++
			}
		})
	}
	GinkgoWriter.Println("verdicts", verdicts, "states", states, "arrived in and leaves in ESP", inside)
	Expect(verdicts[true]).To(BeNumerically(">", 300))
	Expect(verdicts[false]).To(BeNumerically(">", 300))
	for state := space.New; state <= space.Invalid; state++ {
		if state != space.Related {
			Expect(states[state]).To(BeNumerically(">", 50), "packets of state %d", state)
		}
	}
	if b.protects {
		Expect(inside[[2]uint32{space.Yes, space.No}]).To(BeNumerically(">", 50))
		Expect(inside[[2]uint32{space.No, space.Yes}]).To(BeNumerically(">", 50))
	}
}

var _ = Describe("The evaluator", func() {
	DescribeTable("judges every packet as the kernel does, whatever the rules",
		func(restore string) {
			if _, err := exec.LookPath(restore); err != nil {
				Skip(restore + " is not installed")
			}
			newBench().compare(restore, 200, "FORWARD", "POSTROUTING")
		},
		Entry("in nf_tables", "iptables-nft-restore"),
		Entry("in legacy tables", "iptables-legacy-restore"),
	)

	It("judges what comes out of and goes into the kernel's ESP as the kernel does", func() {
		b := newBench()
		if err := b.protect(); err != nil {
			inUserModeLinux("kernel's ESP")
			return
		}
		b.compare("iptables-legacy-restore", 40, "FORWARD")
	})
})
