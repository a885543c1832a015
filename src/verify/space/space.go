// Package space is exact algebra on sets of packets. A packet is a point in a space that has a dimension
// for each thing that a rule can ask; a set of packets is a list of boxes in it. Union, intersection and
// difference of boxes are boxes again, so that nothing is sampled and nothing is estimated.
//
// It knows nothing of rules. Addresses are IPv4; of an IPv6 packet the dimensions of addresses say nothing.
package space

import (
	"encoding/binary"
	"net/netip"
	"slices"

	"go4.org/netipx"
)

// Dimension is one thing that can be asked of a packet.
type Dimension int

const (
	// Source and Destination are IPv4 addresses, as numbers.
	Source Dimension = iota
	Destination
	// Protocol is the number in the IP header.
	Protocol
	// SourcePort and Port are those of TCP and UDP; of another protocol they say nothing.
	SourcePort
	Port
	// OriginalPort is the destination port of the flow's first packet before any translation.
	OriginalPort
	// Flow is the packet's place in a tracked flow: one of New to Invalid.
	Flow
	// Realm is the lower half of the realm of the packet's route.
	Realm
	// ArrivedBy and LeavesBy are No for any other device and Yes for the tunnel's.
	ArrivedBy
	LeavesBy
	// Arrived and Leaves say whether the kernel's IPsec layer unprotected or will protect the packet: No or Yes.
	Arrived
	Leaves
	dimensions
)

// No and Yes are the values of the dimensions that have two.
const (
	No uint32 = iota
	Yes
)

// Values of Flow. New, Established and Related packets go the way of the one that opened the flow.
const (
	New uint32 = iota
	Established
	Reply
	Related
	RelatedReply
	Invalid
)

// limits is the last value of each dimension; the first is 0.
var limits = [dimensions]uint32{
	1<<32 - 1, 1<<32 - 1, 255, 1<<16 - 1, 1<<16 - 1, 1<<16 - 1, Invalid, 1<<16 - 1, Yes, Yes, Yes, Yes,
}

// Packet is a point.
type Packet [dimensions]uint32

// Range is First to Last, both included.
type Range struct{ First, Last uint32 }

// One is the range of a single value.
func One(value uint32) Range { return Range{value, value} }

// Prefix is the range of a CIDR's addresses.
func Prefix(p netip.Prefix) Range {
	return Range{Number(p.Masked().Addr()), Number(netipx.PrefixLastIP(p))}
}

// Number is an IPv4 address as a value of Source or Destination, and Address the way back.
func Number(a netip.Addr) uint32 {
	bytes := a.As4()
	return binary.BigEndian.Uint32(bytes[:])
}

func Address(n uint32) netip.Addr {
	var bytes [4]byte
	binary.BigEndian.PutUint32(bytes[:], n)
	return netip.AddrFrom4(bytes)
}

// Except is all of a dimension without a range: none, one or two ranges.
func Except(d Dimension, r Range) []Range {
	var out []Range
	if r.First > 0 {
		out = append(out, Range{0, r.First - 1})
	}
	if r.Last < limits[d] {
		out = append(out, Range{r.Last + 1, limits[d]})
	}
	return out
}

// Box is the packets whose value is within the range in every dimension.
type Box [dimensions]Range

// All is every packet.
func All() Box {
	var b Box
	for d := range b {
		b[d].Last = limits[d]
	}
	return b
}

// With is the box with another range in one dimension.
func (b Box) With(d Dimension, r Range) Box {
	b[d] = r
	return b
}

// Contains says whether the packet is in the box.
func (b Box) Contains(p Packet) bool {
	for d, r := range b {
		if p[d] < r.First || p[d] > r.Last {
			return false
		}
	}
	return true
}

// Intersect is what both boxes hold; ok is false if that is nothing.
func (b Box) Intersect(other Box) (out Box, ok bool) {
	for d := range b {
		out[d] = Range{max(b[d].First, other[d].First), min(b[d].Last, other[d].Last)}
		if out[d].First > out[d].Last {
			return Box{}, false
		}
	}
	return out, true
}

func (b Box) meets(other Box) bool {
	for d := range b {
		if b[d].First > other[d].Last || other[d].First > b[d].Last {
			return false
		}
	}
	return true
}

// minus appends what the box holds and the other does not, in disjoint boxes: at most two a dimension.
func (b Box) minus(other Box, out Region) Region {
	if !b.meets(other) {
		return append(out, b)
	}
	common, _ := b.Intersect(other)
	for d := range b {
		if b[d].First < common[d].First {
			out = append(out, b.With(Dimension(d), Range{b[d].First, common[d].First - 1}))
		}
		if b[d].Last > common[d].Last {
			out = append(out, b.With(Dimension(d), Range{common[d].Last + 1, b[d].Last}))
		}
		b[d] = common[d]
	}
	return out
}

// Region is a set of packets: those in at least one of its boxes.
type Region []Box

// Everything is the set of all packets.
func Everything() Region { return Region{All()} }

// Contains says whether the packet is in the set.
func (r Region) Contains(p Packet) bool {
	return slices.ContainsFunc(r, func(b Box) bool { return b.Contains(p) })
}

// Intersect is what both sets hold.
func (r Region) Intersect(other Region) Region {
	var out Region
	for _, a := range r {
		for _, b := range other {
			if common, ok := a.Intersect(b); ok {
				out = append(out, common)
			}
		}
	}
	return out
}

// Minus is what the set holds and the other does not.
func (r Region) Minus(other Region) Region {
	for _, b := range other {
		// Most pairs of boxes do not meet: then nothing is copied.
		if !slices.ContainsFunc(r, b.meets) {
			continue
		}
		left := make(Region, 0, len(r)+4)
		for _, a := range r {
			left = a.minus(b, left)
		}
		r = left
	}
	return r
}

// Within is the packets of the set whose value in a dimension is in one of the ranges, which are disjoint.
func (r Region) Within(d Dimension, ranges ...Range) Region {
	var out Region
	for _, b := range r {
		for _, wanted := range ranges {
			common := Range{max(b[d].First, wanted.First), min(b[d].Last, wanted.Last)}
			if common.First <= common.Last {
				out = append(out, b.With(d, common))
			}
		}
	}
	return out
}

// Onto forgets all but the given dimensions: a packet is in the result if one with the same values there is
// in the set.
func (r Region) Onto(kept ...Dimension) Region {
	out := make(Region, len(r))
	for i, b := range r {
		out[i] = All()
		for _, d := range kept {
			out[i][d] = b[d]
		}
	}
	return out
}
