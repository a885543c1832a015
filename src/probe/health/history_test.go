package health_test

import (
	"encoding/json"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/probe/health"
)

var _ = Describe("A history", func() {
	down := health.Verdict{State: health.Down, Reason: "no IKE_SA"}
	up := health.Verdict{State: health.Up}
	idle := health.Verdict{State: health.Idle, Reason: "nothing to do"}

	// restart is what a restart of the prober makes of a history.
	restart := func(h health.History) health.History {
		data, err := json.Marshal(h.Records())
		Expect(err).NotTo(HaveOccurred())
		var records map[string]health.Record
		Expect(json.Unmarshal(data, &records)).To(Succeed())
		return health.Restore(records)
	}

	It("keeps since when a state holds, also under another reason", func() {
		var h health.History
		before, after := h.Observe("a", down, now)
		Expect(before).To(BeZero())
		Expect(after.Since).To(Equal(now))
		other := health.Verdict{State: health.Down, Reason: "phase 1 only"}
		before, after = h.Observe("a", other, now.Add(time.Minute))
		Expect(before.State).To(Equal(after.State))
		Expect(after).To(Equal(health.Condition{Verdict: other, Since: now}))
		_, after = h.Observe("a", up, now.Add(time.Hour))
		Expect(after).To(Equal(health.Condition{Verdict: up, Since: now.Add(time.Hour), Changes: 1}))
	})

	It("continues after a restart if the state is still the same, and leaves out when nobody looked", func() {
		var h health.History
		h.Observe("a", down, ago(2*time.Hour))
		h.Observe("a", down, ago(time.Hour))
		h.Observe("b", up, ago(time.Hour))
		after := restart(h)
		_, condition := after.Observe("a", down, now)
		Expect(condition).To(Equal(health.Condition{Verdict: down, Since: ago(2 * time.Hour)}))
		Expect(after.Spans("a")).To(Equal([]health.Span{
			{State: health.Down, Reason: "no IKE_SA", From: ago(2 * time.Hour), To: ago(time.Hour)},
			{State: health.Down, Reason: "no IKE_SA", From: now, To: now},
		}))
		before, condition := after.Observe("b", down, now)
		Expect(before.State).To(Equal(health.Up))
		Expect(condition.Since).To(Equal(now))
	})

	It("does not believe a time that lies ahead", func() {
		var h health.History
		h.Observe("a", up, now.Add(time.Hour))
		_, condition := h.Observe("a", up, now)
		Expect(condition.Since).To(Equal(now))
		Expect(h.Spans("a")).To(Equal([]health.Span{{State: health.Up, From: now, To: now}}))
	})

	It("goes by the clock on the wall, which may be set while the process counts on", func() {
		var h health.History
		_, condition := h.Observe("a", up, time.Now())
		// Times that have what the process counted are compared by that alone, and Go shows it.
		for _, t := range []time.Time{condition.Since, h.Spans("a")[0].From, h.Spans("a")[0].To} {
			Expect(t.String()).NotTo(ContainSubstring("m="))
		}
	})

	It("keeps a day without gaps, and no more", func() {
		var h health.History
		for i := range 50 {
			v := up
			if i%2 == 1 {
				v = down
			}
			h.Observe("a", v, now.Add(time.Duration(i)*time.Hour))
		}
		spans := h.Spans("a")
		Expect(spans[0].To).To(BeTemporally(">=", now.Add(25*time.Hour)))
		for i := 1; i < len(spans); i++ {
			Expect(spans[i].From).To(Equal(spans[i-1].To))
		}
	})

	It("keeps a bounded number of spans of what changes all the time", func() {
		var h health.History
		for i := range 3000 {
			h.Observe("a", []health.Verdict{up, down}[i%2], now.Add(time.Duration(i)*time.Second))
		}
		Expect(len(h.Spans("a"))).To(BeNumerically("<=", 512))
	})

	Describe("of what flaps", func() {
		flap := func(h *health.History, changes int, from time.Time) (last health.Condition) {
			for i := range changes + 1 {
				_, last = h.Observe("a", []health.Verdict{up, down}[i%2], from.Add(time.Duration(i)*time.Minute))
			}
			return last
		}

		It("says so beside the state, from the sixth change in ten minutes on", func() {
			var h health.History
			Expect(flap(&h, health.FlapChanges-1, now).Flapping).To(BeFalse())
			_, condition := h.Observe("a", up, now.Add(health.FlapChanges*time.Minute))
			Expect(condition).To(Equal(health.Condition{
				Verdict: up, Since: now.Add(health.FlapChanges * time.Minute), Flapping: true, Changes: health.FlapChanges,
			}))
		})

		It("takes it back only when it has come to rest", func() {
			var h health.History
			flap(&h, health.FlapChanges, now)
			still := func(after time.Duration) bool {
				_, condition := h.Observe("a", up, now.Add(health.FlapChanges*time.Minute+after))
				return condition.Flapping
			}
			Expect(still(5 * time.Minute)).To(BeTrue())
			Expect(still(health.FlapTime)).To(BeFalse())
		})

		It("still says so after a restart", func() {
			var h health.History
			flap(&h, health.FlapChanges, now)
			after := restart(h)
			_, condition := after.Observe("a", up, now.Add(health.FlapChanges*time.Minute+time.Second))
			Expect(condition.Flapping).To(BeTrue())
			Expect(condition.Changes).To(BeNumerically(">=", health.FlapChanges))
		})

		It("takes no notice of a connection that is used now and then", func() {
			var h health.History
			for i := range 20 {
				_, condition := h.Observe("a", []health.Verdict{up, idle}[i%2], now.Add(time.Duration(i)*time.Second))
				Expect(condition).To(And(HaveField("Flapping", false), HaveField("Changes", uint64(0))))
			}
		})
	})
})
