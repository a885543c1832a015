package space_test

import (
	"net/netip"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"privnet/verify/space"
)

func TestSpace(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "verify/space")
}

var _ = Describe("A set of packets", func() {
	It("has the addresses of a CIDR, the first and the last included", func() {
		r := space.Prefix(netip.MustParsePrefix("10.20.0.64/26"))
		Expect(space.Address(r.First).String()).To(Equal("10.20.0.64"))
		Expect(space.Address(r.Last).String()).To(Equal("10.20.0.127"))
		Expect(space.Except(space.Source, space.Prefix(netip.MustParsePrefix("0.0.0.0/0")))).To(BeEmpty())
		Expect(space.Except(space.Realm, space.One(0))).To(Equal([]space.Range{{First: 1, Last: 65535}}))
	})

	It("is empty without itself", func() {
		Expect(space.Everything().Minus(space.Everything())).To(BeEmpty())
	})

	It("forgets what it is projected from", func() {
		narrow := space.Everything().Within(space.Port, space.One(443)).Within(space.Source, space.One(7))
		Expect(narrow.Onto(space.Source).Minus(space.Everything().Within(space.Source, space.One(7)))).To(BeEmpty())
		Expect(space.Everything().Within(space.Source, space.One(7)).Minus(narrow.Onto(space.Source))).To(BeEmpty())
	})
})

// region draws a few boxes with bounds from a small choice, so that they touch and overlap.
func region(t *rapid.T, name string) space.Region {
	var out space.Region
	for range rapid.IntRange(0, 4).Draw(t, name) {
		b := space.All()
		for _, d := range []space.Dimension{space.Source, space.Destination, space.Port, space.Flow} {
			first := rapid.Uint32Range(0, 4).Draw(t, "first")
			b = b.With(d, space.Range{First: first, Last: first + rapid.Uint32Range(0, 2).Draw(t, "length")})
		}
		out = append(out, b)
	}
	return out
}

func TestAlgebraAgreesWithMembership(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := region(t, "a"), region(t, "b")
		var p space.Packet
		for _, d := range []space.Dimension{space.Source, space.Destination, space.Port, space.Flow} {
			p[d] = rapid.Uint32Range(0, 6).Draw(t, "value")
		}
		inA, inB := a.Contains(p), b.Contains(p)
		if a.Minus(b).Contains(p) != (inA && !inB) {
			t.Fatalf("minus is wrong about %v", p)
		}
		if a.Intersect(b).Contains(p) != (inA && inB) {
			t.Fatalf("intersect is wrong about %v", p)
		}
		if len(a.Minus(b)) == 0 && inA && !inB {
			t.Fatalf("an empty difference loses %v", p)
		}
	})
}
