package backend_test

import (
	"fmt"
	"math"
	"slices"
)

// sample is what was measured in turns with something else.
type sample []float64

// quantile is the value below which so large a part of the sample lies.
func (s sample) quantile(q float64) float64 {
	sorted := slices.Sorted(slices.Values(s))
	return sorted[int(math.Round(q*float64(len(sorted)-1)))]
}

// median is the sample's, with a 95 % confidence interval from the order of the values: other work on the machine
// makes some turns much longer, so that a mean with its deviation would describe the other work.
func (s sample) median() (middle, low, high float64) {
	width := 0.98 / math.Sqrt(float64(len(s)))
	return s.quantile(0.5), s.quantile(max(0, 0.5-width)), s.quantile(min(1, 0.5+width))
}

// per is the ratio of two samples that were taken in turns, pair by pair.
func (s sample) per(other sample) sample {
	out := make(sample, len(s))
	for i := range s {
		out[i] = s[i] / other[i]
	}
	return out
}

// tell prints a line of the table that a benchmark is.
func tell(what string, s sample, unit string) {
	middle, low, high := s.median()
	fmt.Printf("%-58s %9.3f %s  (%.3f to %.3f, %d turns)\n", what, middle, unit, low, high, len(s))
}
