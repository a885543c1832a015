package netfilter_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"privnet/verify/netfilter"
	"privnet/verify/space"
)

func TestNetfilter(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "verify/netfilter")
}

const someRules = `*mangle
:privnet-to - [0:0]
:privnet-forward - [0:0]
-A privnet-to -m policy --dir out --pol none -m comment --comment privnet:1 -j DROP
-A privnet-to -p tcp -m comment --comment privnet:2 -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1360
-A privnet-to -p tcp -m tcp --dport 443 -m comment --comment privnet:3 -j RETURN
-A privnet-to -m comment --comment privnet:4 -j DROP
-A privnet-forward -s 10.20.0.0/26 -d 10.150.0.0/16 -m comment --comment privnet:5 -g privnet-to
-A privnet-forward -m comment --comment privnet:6 -j DROP
-I FORWARD 1 -j privnet-forward
COMMIT
`

func packet(from, to string, port uint32) space.Packet {
	return space.Packet{
		space.Source: space.Number(netip.MustParseAddr(from)), space.Destination: space.Number(netip.MustParseAddr(to)),
		space.Protocol: 6, space.Port: port, space.Leaves: space.Yes,
	}
}

var _ = Describe("Rules", func() {
	It("are judged with the way that a packet takes", func() {
		table, err := netfilter.Parse(someRules)
		Expect(err).NotTo(HaveOccurred())
		passes, way := table.Judge("FORWARD", packet("10.20.0.9", "10.150.0.1", 443))
		Expect(passes).To(BeTrue())
		Expect(fmt.Sprint(way[1:])).To(Equal("[privnet-forward rule 1: -s 10.20.0.0/26 -d 10.150.0.0/16 -g privnet-to " +
			"privnet-to rule 2: -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1360 " +
			"privnet-to rule 3: -p tcp -m tcp --dport 443 -j RETURN]"))

		passes, way = table.Judge("FORWARD", packet("10.20.0.9", "10.150.0.1", 80))
		Expect(passes).To(BeFalse())
		Expect(way[len(way)-1].String()).To(Equal("privnet-to rule 4: -j DROP"))
		passes, _ = table.Judge("FORWARD", packet("10.20.0.99", "10.150.0.1", 443))
		Expect(passes).To(BeFalse())
		passes, way = table.Judge("OUTPUT", packet("10.20.0.99", "10.150.0.1", 443))
		Expect(passes).To(BeTrue())
		Expect(way).To(BeEmpty())
	})

	It("let exactly one set of packets pass", func() {
		table, err := netfilter.Parse(someRules)
		Expect(err).NotTo(HaveOccurred())
		wanted := space.Everything().
			Within(space.Source, space.Prefix(netip.MustParsePrefix("10.20.0.0/26"))).
			Within(space.Destination, space.Prefix(netip.MustParsePrefix("10.150.0.0/16"))).
			Within(space.Protocol, space.One(6)).Within(space.Port, space.One(443)).Within(space.Leaves, space.One(space.Yes))
		passing := table.Passes("FORWARD", space.Everything())
		Expect(passing.Minus(wanted)).To(BeEmpty())
		Expect(wanted.Minus(passing)).To(BeEmpty())
	})

	DescribeTable("are refused when they say what cannot be judged:",
		func(line, reason string) {
			_, err := netfilter.Parse(":c - [0:0]\n" + line + "\n")
			Expect(err).To(MatchError(ContainSubstring(reason)))
		},
		Entry("a set", "-A c -m set --match-set x dst -j DROP", "-m set is not known"),
		Entry("a mark", "-A c --mark 1 -j DROP", "--mark 1 is not known"),
		Entry("another device", "-A c -i eth0 -j DROP", "-i eth0 is not known"),
		Entry("another state", "-A c -m conntrack --ctstate INVALID -j DROP", "--ctstate INVALID is not known"),
		Entry("a negated list", "-A c ! --ctdir REPLY -j DROP", "is not known"),
		Entry("IPv6", "-A c -s fd00::/8 -j DROP", "is not known"),
		Entry("an address that is none", "-A c -d 10.0.0.300/8 -j DROP", "is not known"),
		Entry("another protocol", "-A c -p sctp -j DROP", "-p sctp is not known"),
		Entry("a realm with another mask", "-A c --realm 0x1/0xff -j DROP", "is not known"),
		Entry("a port that is none", "-A c --dport 70000 -j DROP", "is no port"),
		Entry("flags of TCP that decide", "-A c --tcp-flags SYN SYN -j DROP", "with TCPMSS only"),
		Entry("half a policy", "-A c --dir in -j DROP", "--pol only"),
		Entry("no target", "-A c -p tcp", "has no target"),
		Entry("no value", "-A c -p", "has no value"),
		Entry("another command", "-N d", "there is no chain d"),
		Entry("a replacement", "-R c 1 -j DROP", "command -R is not known"),
		Entry("a chain that does not exist", "-A c -j d", "chain d, which does not exist"),
		Entry("a loop", "-A c -j c\n-A FORWARD -j c", "leads to itself"),
	)
})

// pool is what random rules and packets are made of, small enough for them to meet.
var pool = struct {
	sources, destinations []string
	ports                 []string
}{
	sources:      []string{"10.8.0.0/29", "10.8.0.0/30", "10.8.0.4/31", "10.8.0.3/32", "10.7.0.0/29", "10.7.0.2/31", "10.6.0.0/15"},
	destinations: []string{"10.9.0.0/16", "10.9.0.0/24", "10.9.1.0/24", "10.9.2.0/29", "10.9.1.0/30", "10.9.0.2/31", "10.9.2.1/32"},
	ports:        []string{"53", "80", "443", "53:80", "80:8080", "1:65535"},
}

// randomRules are rules of every kind that ours are of, in a built-in chain and three others. Chains lead
// only to later ones.
func randomRules(random *rand.Rand, hook string, rules int) string {
	var b strings.Builder
	b.WriteString("*mangle\n:c1 - [0:0]\n:c2 - [0:0]\n:c3 - [0:0]\n")
	directions := []string{"in", "out"}
	if hook == "POSTROUTING" {
		directions = directions[1:]
	}
	chains := []string{hook, "c1", "c2", "c3"}
	for i, name := range chains {
		for range 1 + random.IntN(rules) {
			fmt.Fprintf(&b, "-A %s%s\n", name, randomRule(random, directions, chains[i+1:]))
		}
	}
	return b.String() + "COMMIT\n"
}

func randomRule(random *rand.Rand, directions, chains []string) string {
	of := func(list []string) string { return list[random.IntN(len(list))] }
	often := func(percent int) bool { return random.IntN(100) < percent }
	var b strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&b, " "+format, args...) }
	if often(35) {
		add("-s %s", of(pool.sources))
	}
	if often(35) {
		add("-d %s", of(pool.destinations))
	}
	if often(15) {
		add("-m policy --dir %s --pol %s", of(directions), of([]string{"none", "ipsec"}))
	}
	protocol := ""
	if often(35) {
		protocol = of([]string{"tcp", "udp", "icmp", "esp"})
		add("-p %s", protocol)
	}
	hasPorts := protocol == "tcp" || protocol == "udp"
	if hasPorts && often(60) {
		add("-m %s", protocol)
		if often(40) {
			add("--sport %s", of(pool.ports))
		} else {
			add("--dport %s", of(pool.ports))
		}
	}
	if often(35) {
		add("-m conntrack %s", of([]string{"--ctstate ESTABLISHED --ctdir REPLY", "--ctstate NEW,ESTABLISHED --ctdir ORIGINAL", "--ctstate RELATED"}))
		if hasPorts && often(40) {
			add("--ctorigdstport %s", of(pool.ports))
		}
	}
	if often(20) {
		add("-m realm %s--realm 0x706e/0xffff", of([]string{"", "! "}))
	}
	if often(20) {
		add("%s-%s ipsec0", of([]string{"", "! "}), of(directions)[:1])
	}
	switch n := random.IntN(12); {
	case n < 5:
		add("-j DROP")
	case n < 6:
		add("-j RETURN")
	case n < 7:
		add("-j ACCEPT")
	case n < 8 && protocol == "tcp":
		add("-m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1300")
	case len(chains) == 0:
		add("-j RETURN")
	case n < 9:
		add("-g %s", of(chains))
	default:
		add("-j %s", of(chains))
	}
	return b.String()
}

func TestSetsAndPacketsAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		text := randomRules(random, "FORWARD", 3)
		table, err := netfilter.Parse(text)
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		passing := table.Passes("FORWARD", space.Everything())
		for range 200 {
			p := randomPacket(random)
			judged, way := table.Judge("FORWARD", p)
			if judged != passing.Contains(p) {
				t.Fatalf("judged %v, by the set %v: %v, %v in\n%s", judged, !judged, p, way, text)
			}
		}
	})
}

func randomPacket(random *rand.Rand) space.Packet {
	of := func(values ...uint32) uint32 { return values[random.IntN(len(values))] }
	return space.Packet{
		space.Source:       space.Number(netip.AddrFrom4([4]byte{10, byte(of(6, 7, 8)), 0, byte(random.IntN(8))})),
		space.Destination:  space.Number(netip.AddrFrom4([4]byte{10, 9, byte(random.IntN(3)), byte(random.IntN(8))})),
		space.Protocol:     of(6, 17, 1, 50),
		space.SourcePort:   of(0, 53, 80, 443, 9000),
		space.Port:         of(0, 53, 80, 443, 9000),
		space.OriginalPort: of(0, 53, 80, 443, 9000),
		space.Flow:         of(space.New, space.Established, space.Reply, space.Related, space.RelatedReply, space.Invalid),
		space.Realm:        of(0, 0x706e),
		space.ArrivedBy:    of(space.No, space.Yes),
		space.LeavesBy:     of(space.No, space.Yes),
		space.Arrived:      of(space.No, space.Yes),
		space.Leaves:       of(space.No, space.Yes),
	}
}

func FuzzParse(f *testing.F) {
	f.Add(someRules)
	f.Fuzz(func(t *testing.T, text string) {
		table, err := netfilter.Parse(text)
		if err == nil {
			table.Judge("FORWARD", packet("10.20.0.9", "10.150.0.1", 443))
		}
	})
}
