package roundtrip_test

import (
	"encoding/json"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/probe/roundtrip"
)

func TestRoundTrip(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "probe/roundtrip")
}

var _ = Describe("A day of answers", func() {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return start.Add(time.Duration(minutes) * time.Minute) }

	It("has a slot for every ten minutes, with the shortest, the mean and the longest answer, and the losses", func() {
		var d roundtrip.Day
		d.Add(at(1), 2*time.Millisecond, false)
		d.Add(at(2), 4*time.Millisecond, false)
		d.Add(at(3), time.Second, true)
		d.Add(at(11), 5*time.Millisecond, false)
		Expect(d).To(HaveLen(2))
		Expect(d[0]).To(Equal(roundtrip.Slot{
			Start: start, Asked: 3, Lost: 1, Least: 2 * time.Millisecond, Most: 4 * time.Millisecond, Sum: 6 * time.Millisecond,
		}))
		Expect(d[0].Mean()).To(Equal(3 * time.Millisecond))
		Expect(roundtrip.Slot{Asked: 1, Lost: 1}.Mean()).To(BeZero())
	})

	It("is kept for a day, outlives a restart, and forgets what lies ahead when the clock is set back", func() {
		var d roundtrip.Day
		for i := range 48 * 6 {
			d.Add(at(10*i), time.Millisecond, i%2 == 0)
		}
		Expect(len(d)).To(BeNumerically("<=", 24*6+2))
		data, err := json.Marshal(d)
		Expect(err).NotTo(HaveOccurred())
		var again roundtrip.Day
		Expect(json.Unmarshal(data, &again)).To(Succeed())
		Expect(again).To(Equal(d))
		last := again[len(again)-1]
		d.Add(last.Start.Add(-time.Second), time.Millisecond, false)
		Expect(d).To(HaveLen(len(again) - 1))
		Expect(d[:len(d)-1]).To(Equal(again[:len(again)-2]))
		Expect(d[len(d)-1].Asked).To(Equal(2), "the slot of before goes on")
		d.Add(start, time.Millisecond, false)
		Expect(d).To(HaveLen(1))
	})

	It("is not read from anything else", func() {
		var d roundtrip.Day
		Expect(json.Unmarshal([]byte(`[[1,2,3]]`), &d)).To(MatchError(ContainSubstring("3 numbers, not 6")))
	})
})
