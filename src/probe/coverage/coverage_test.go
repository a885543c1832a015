package coverage_test

import (
	"net/netip"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"privnet/connection"
	"privnet/ipsec/vici"
	"privnet/probe/coverage"
	"privnet/probe/health"
)

var (
	pair      = connection.Pair{Segment: netip.MustParsePrefix("10.20.0.0/26"), PrivateNetwork: netip.MustParsePrefix("10.150.0.0/16")}
	endpoints = []connection.Endpoint{{Address: netip.MustParseAddr("198.51.100.10")}}
)

// selectors reads a list that is separated by spaces.
func selectors(text string) []vici.Selector {
	var out []vici.Selector
	for _, part := range strings.Fields(text) {
		s, err := vici.ParseSelector(part)
		if err != nil {
			panic(err)
		}
		out = append(out, s)
	}
	return out
}

// children makes one INSTALLED CHILD_SA of each "local === remote".
func children(texts ...string) []vici.Child {
	var out []vici.Child
	for _, text := range texts {
		local, remote, _ := strings.Cut(text, "===")
		out = append(out, vici.Child{State: "INSTALLED", LocalTS: selectors(local), RemoteTS: selectors(remote)})
	}
	return out
}

func established(c ...vici.Child) []vici.SA {
	return []vici.SA{{State: "ESTABLISHED", Children: c}}
}

var _ = DescribeTable("A pair is covered",
	func(extent health.Extent, texts ...string) {
		got := coverage.Of(pair, endpoints, established(children(texts...)...))
		Expect(got.Extent).To(Equal(extent), got.Detail)
		if extent == health.Whole {
			Expect(got.Detail).To(BeEmpty())
		} else {
			Expect(got.Detail).NotTo(BeEmpty())
		}
	},
	Entry("exactly", health.Whole, "10.20.0.0/26 === 10.150.0.0/16"),
	Entry("by one child with all selectors (IKEv2)", health.Whole, "10.20.0.0/26 === 172.30.8.0/22 10.150.0.0/16"),
	Entry("by everything to everything", health.Whole, "0.0.0.0/0 === 0.0.0.0/0"),
	Entry("by two halves", health.Whole, "10.20.0.0/26 === 10.150.0.0/17", "10.20.0.0/26 === 10.150.128.0/17"),
	Entry("by quarters that were narrowed on both sides", health.Whole,
		"10.20.0.0/27 === 10.150.0.0/17", "10.20.0.32/27 === 10.150.0.0/17", "10.20.0.0/27 === 10.150.128.0/17", "10.20.0.32..10.20.0.63 === 10.150.128.0/17"),
	Entry("in part when one quarter is missing", health.Part,
		"10.20.0.0/27 === 10.150.0.0/17", "10.20.0.32/27 === 10.150.0.0/17", "10.20.0.0/27 === 10.150.128.0/17"),
	Entry("in part by one half", health.Part, "10.20.0.0/26 === 10.150.0.0/17"),
	Entry("in part for one host", health.Part, "10.20.0.5/32 === 10.150.0.0/16"),
	Entry("in part when one port only is let through", health.Part, "10.20.0.0/26 === 10.150.0.0/16[tcp/https]"),
	Entry("not at all by another pair", health.Nothing, "10.20.0.0/26 === 172.30.8.0/22"),
	Entry("not at all when the sides are swapped", health.Nothing, "10.150.0.0/16 === 10.20.0.0/26"),
	Entry("not at all without children", health.Nothing),
)

var _ = Describe("What does not carry", func() {
	It("covers nothing, while a CHILD_SA whose successor is negotiated still does", func() {
		for state, extent := range map[string]health.Extent{
			"INSTALLED": health.Whole, "REKEYING": health.Whole, "UPDATING": health.Whole,
			"CREATED": health.Nothing, "INSTALLING": health.Nothing, "DELETING": health.Nothing, "REKEYED": health.Nothing,
		} {
			child := children("10.20.0.0/26 === 10.150.0.0/16")[0]
			child.State = state
			Expect(coverage.Of(pair, endpoints, established(child)).Extent).To(Equal(extent), state)
		}
	})

	It("is explained by how far the endpoint came", func() {
		Expect(coverage.Of(pair, endpoints, nil).Detail).To(Equal("the endpoint 198.51.100.10 has not connected: there is no IKE_SA"))
		Expect(coverage.Of(pair, endpoints, []vici.SA{{State: "CONNECTING"}}).Detail).To(ContainSubstring("phase 1 with 198.51.100.10 has begun"))
		Expect(coverage.Of(pair, endpoints, established()).Detail).To(ContainSubstring("opened no tunnel for this pair"))
	})

	It("is explained by what a part is", func() {
		got := coverage.Of(pair, endpoints, established(children("10.20.0.0/26 === 10.150.0.0/17[tcp]")...))
		Expect(got.Detail).To(Equal("the tunnel carries only 10.20.0.0/26 === 10.150.0.0/17[tcp] of 10.20.0.0/26 === 10.150.0.0/16"))
	})
})

var _ = It("A pair is covered if and only if each of its packets is, whatever the selectors", func() {
	small := connection.Pair{Segment: netip.MustParsePrefix("10.0.0.0/29"), PrivateNetwork: netip.MustParsePrefix("10.9.0.0/29")}
	prefix := func(t *rapid.T, base string, name string) vici.Selector {
		address := netip.MustParseAddr(base).As4()
		address[3] = byte(rapid.IntRange(0, 15).Draw(t, name))
		bits := rapid.IntRange(27, 32).Draw(t, name+" bits")
		s, err := vici.ParseSelector(netip.PrefixFrom(netip.AddrFrom4(address), bits).Masked().String())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	rapid.Check(GinkgoT(), func(t *rapid.T) {
		var all []vici.Child
		for range rapid.IntRange(0, 6).Draw(t, "children") {
			c := vici.Child{State: "INSTALLED"}
			for range rapid.IntRange(1, 3).Draw(t, "local") {
				c.LocalTS = append(c.LocalTS, prefix(t, "10.0.0.0", "l"))
			}
			for range rapid.IntRange(1, 3).Draw(t, "remote") {
				c.RemoteTS = append(c.RemoteTS, prefix(t, "10.9.0.0", "r"))
			}
			all = append(all, c)
		}
		covered, some := true, false
		for source := small.Segment.Addr(); small.Segment.Contains(source); source = source.Next() {
			for destination := small.PrivateNetwork.Addr(); small.PrivateNetwork.Contains(destination); destination = destination.Next() {
				carries := slices.ContainsFunc(all, func(c vici.Child) bool {
					holds := func(list []vici.Selector, a netip.Addr) bool {
						return slices.ContainsFunc(list, func(s vici.Selector) bool { return s.Range.Contains(a) })
					}
					return holds(c.LocalTS, source) && holds(c.RemoteTS, destination)
				})
				covered, some = covered && carries, some || carries
			}
		}
		want := health.Nothing
		switch {
		case covered:
			want = health.Whole
		case some:
			want = health.Part
		}
		if got := coverage.Of(small, endpoints, established(all...)); got.Extent != want {
			t.Fatalf("got %d, want %d: %s", got.Extent, want, got.Detail)
		}
	})
})
