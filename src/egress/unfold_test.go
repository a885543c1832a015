package egress_test

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"privnet/connection"
	"privnet/egress"
)

// deepest is the number of chains on the longest way through the chains.
func deepest(chains []egress.Chain) int {
	depth := map[string]int{}
	for _, chain := range chains {
		most := 0
		for _, rule := range chain.Rules {
			for _, next := range []string{rule.Jump, rule.Goto} {
				if next == "" {
					continue
				}
				below, known := depth[fmt.Sprint(chain.Family, next)]
				Expect(known).To(BeTrue(), "%s leads to %s, which comes later or never", chain.Name, next)
				most = max(most, below)
			}
		}
		depth[fmt.Sprint(chain.Family, chain.Name)] = most + 1
	}
	most := 0
	for _, n := range depth {
		most = max(most, n)
	}
	return most
}

var _ = Describe("Rules over many networks", func() {
	many := func(n int, network func(i int) netip.Prefix) []netip.Prefix {
		var out []netip.Prefix
		for i := range n {
			out = append(out, network(i))
		}
		return out
	}
	apart := func(i int) netip.Prefix { return netip.MustParsePrefix(fmt.Sprintf("172.%d.%d.0/25", 16+i/250, i%250)) }
	gateway := func(networks []netip.Prefix) egress.Policy {
		c := agency()
		c.PrivateNetworks = networks
		return egress.Policy{Role: egress.RoleGateway, Connection: c}
	}

	It("are asked few at a time, and most packets meet only the block around all", func() {
		chains := egress.Unfold(gateway(many(1000, apart)).Rules())
		for _, chain := range chains {
			if strings.Contains(chain.Name, "/") {
				Expect(len(chain.Rules)).To(BeNumerically("<=", 5), chain.Name)
			}
			Expect(len(chain.Name)).To(BeNumerically("<=", 28), chain.Name)
		}
		Expect(deepest(chains)).To(BeNumerically("<=", 8))
	})

	It("are one tree for all rules that ask the same", func() {
		c := agency()
		c.PrivateNetworks = many(1000, apart)
		count := 0
		for _, chain := range egress.Unfold(egress.Policy{Role: egress.RoleCell, Connection: c}.Rules()) {
			count += len(chain.Rules)
		}
		Expect(count).To(BeNumerically("<", 4500), "a tree of answers, one of destinations, one of those who pose")
	})

	It("are merged where that changes no address", func() {
		chains := egress.Unfold(gateway(many(1024, func(i int) netip.Prefix {
			return netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/24", 128+i/256, i%256))
		})).Rules())
		Expect(fmt.Sprint(chains)).To(ContainSubstring("10.128.0.0/14"))
		Expect(fmt.Sprint(chains)).NotTo(ContainSubstring("/24"))
	})

	It("are not nested too deep for nf_tables, however the networks are laid out", func() {
		// Of each block, one half is a network, and of the other half again, to the last address.
		skewed := many(60*16, func(i int) netip.Prefix {
			block, level := uint32(i/16), i%16
			number := binary.BigEndian.AppendUint32(nil, 10<<24|block<<16|0x8000>>level)
			address, _ := netip.AddrFromSlice(number)
			return netip.PrefixFrom(address, 17+level)
		})
		Expect(deepest(egress.Unfold(gateway(skewed).Rules()))).To(BeNumerically("<=", 12))
	})
})

func TestUnfoldedRulesJudgeAsBefore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		RegisterTestingT(t)
		// Networks and addresses from a small space, so that they meet, nest and touch.
		network := rapid.Custom(func(t *rapid.T) netip.Prefix {
			bits := rapid.IntRange(22, 32).Draw(t, "bits")
			return netip.PrefixFrom(anAddress(10, rapid.Uint16Range(0, 1023).Draw(t, "network")), bits).Masked()
		})
		c := agency()
		c.Segment = rapid.SliceOfN(network, 1, 6).Draw(t, "segment")
		c.PrivateNetworks = rapid.SliceOfN(network, 1, 40).Draw(t, "private networks")
		c.Routing = rapid.SampledFrom([]connection.Routing{connection.RoutingHost, connection.RoutingIaaS}).Draw(t, "routing")
		c.DataPath = connection.DataPathUserland
		c.Allow = rapid.SampledFrom([][]connection.Flow{nil, https}).Draw(t, "allow")
		p := egress.Policy{Connection: c, SegmentsPool: c.Segment, Detours: c.PrivateNetworks,
			Role: rapid.SampledFrom([]egress.Role{egress.RoleCell, egress.RoleGateway, egress.RoleSharedCell, egress.RoleDenied}).Draw(t, "role")}
		folded, unfolded := p.Rules(), egress.Unfold(p.Rules())
		Expect(deepest(unfolded)).To(BeNumerically("<=", 14))
		for _, chain := range unfolded {
			for _, rule := range chain.Rules {
				Expect(max(len(rule.Sources), len(rule.Destinations))).To(BeNumerically("<=", 1))
			}
		}
		for range 50 {
			packet := packet{
				source:      anAddress(10, rapid.Uint16Range(0, 1100).Draw(t, "source")).String(),
				destination: anAddress(10, rapid.Uint16Range(0, 1100).Draw(t, "destination")).String(),
				protocol:    "tcp", port: rapid.SampledFrom([]uint16{22, 443}).Draw(t, "port"),
				flow:    rapid.SampledFrom([]egress.Flow{"", egress.FlowReply}).Draw(t, "flow"),
				realm:   rapid.SampledFrom([]uint16{0, egress.Realm}).Draw(t, "realm"),
				cameIn:  rapid.SampledFrom([]string{"eth0", egress.TunnelDevice}).Draw(t, "came in"),
				goesOut: rapid.SampledFrom([]string{"eth0", egress.TunnelDevice}).Draw(t, "goes out"),
			}
			for _, hook := range []egress.Hook{egress.Input, egress.Forward, egress.Output, egress.Postrouting} {
				verdict, mss := judge(folded, egress.IPv4, hook, packet)
				same, sameMSS := judge(unfolded, egress.IPv4, hook, packet)
				Expect(same).To(Equal(verdict), "%s of %s: %+v", hook, p.Role, packet)
				if verdict == egress.Return {
					Expect(sameMSS).To(Equal(mss))
				}
			}
		}
	})
}

func anAddress(first byte, rest uint16) netip.Addr {
	bytes := binary.BigEndian.AppendUint16([]byte{first, 0}, rest)
	address, _ := netip.AddrFromSlice(bytes)
	return address
}
