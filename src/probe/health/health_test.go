package health_test

import (
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"privnet/probe/health"
)

var (
	now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	on  = health.Enforcement{State: health.On}
	off = health.Enforcement{State: health.Off, Reason: "somebody flushed them"}
)

func ago(d time.Duration) time.Time { return now.Add(-d) }

func target(name string, answer health.Answer) health.Target {
	return health.Target{Name: name, Answer: answer, Detail: "timed out"}
}

// whole is a tunnel that covers the pair since an hour, with a packet each way just now.
func whole() *health.Tunnel {
	return &health.Tunnel{Extent: health.Whole, Covered: ago(time.Hour), LastIn: ago(time.Second), LastOut: ago(time.Second)}
}

func silent(for_ time.Duration) *health.Tunnel {
	t := whole()
	t.LastIn, t.LastOut = ago(for_), ago(for_)
	return t
}

// missed is a target that was lost, and did not answer for that long.
func missed(for_ time.Duration) health.Target {
	t := target("a", health.Lost)
	t.Missing = ago(for_)
	return t
}

// lastIn is a tunnel whose last packet came in so long ago, as charon said when it was asked that long ago.
func lastIn(in, listed time.Duration) *health.Tunnel {
	t := whole()
	t.LastIn, t.Listed = ago(in), ago(listed)
	return t
}

// oneWay is a tunnel with packets that go out for so long, and none that comes in.
func oneWay(packets uint64, for_ time.Duration) *health.Tunnel {
	t := whole()
	t.LastIn, t.Unanswered, t.UnansweredSince = time.Time{}, packets, ago(for_)
	return t
}

var _ = DescribeTable("A pair",
	func(e health.Evidence, state health.State, reason string) {
		verdict := health.Judge(e, now)
		Expect(verdict.State).To(Equal(state))
		Expect(verdict.Reason).To(ContainSubstring(reason))
		if state != health.Up {
			Expect(verdict.Reason).NotTo(BeEmpty())
		}
	},
	Entry("on a gateway is up when a tunnel covers it and the rules are on", health.Evidence{Enforcement: on, Tunnel: whole()}, health.Up, ""),
	Entry("is up from the moment of the tunnel, before any packet",
		health.Evidence{Enforcement: on, Tunnel: &health.Tunnel{Extent: health.Whole, Covered: now}}, health.Up, ""),
	Entry("is idle when no packet passed for long", health.Evidence{Enforcement: on, Tunnel: silent(time.Hour)}, health.Idle, "no packet has passed for more than 5 minutes"),
	Entry("is not idle while packets go out", health.Evidence{Enforcement: on, Tunnel: func() *health.Tunnel {
		t := silent(time.Hour)
		t.LastOut = ago(time.Minute)
		return t
	}()}, health.Up, ""),
	Entry("is down, whatever the tunnel, when the rules are off",
		health.Evidence{Enforcement: off, Tunnel: whole()}, health.Down, "are off: somebody flushed them"),
	Entry("is unknown when nobody knows whether the rules are on",
		health.Evidence{Enforcement: health.Enforcement{State: health.Unclear, Reason: "no status"}, Tunnel: whole()}, health.Unknown, "no status"),
	Entry("is unknown when nothing is known of the rules at all", health.Evidence{Tunnel: whole()}, health.Unknown, ""),
	Entry("is unknown when charon does not answer",
		health.Evidence{Enforcement: on, Tunnel: &health.Tunnel{Error: "connection refused"}}, health.Unknown, "connection refused"),
	Entry("is down without a tunnel",
		health.Evidence{Enforcement: on, Tunnel: &health.Tunnel{Detail: "no IKE_SA"}}, health.Down, "no IKE_SA"),
	Entry("is partial when the tunnel covers a part of it",
		health.Evidence{Enforcement: on, Tunnel: &health.Tunnel{Extent: health.Part, Detail: "only half"}}, health.Partial, "only half"),

	Entry("on a gateway is up when its targets answer, however silent else",
		health.Evidence{Enforcement: on, Tunnel: silent(time.Hour), Targets: []health.Target{target("a", health.Reached)}}, health.Up, ""),
	Entry("is down when the tunnel stands and nothing comes back",
		health.Evidence{Enforcement: on, Tunnel: silent(time.Minute), Targets: []health.Target{target("a", health.Lost)}}, health.Down, "a (timed out)"),
	Entry("is partial when other traffic comes back, but no probe",
		health.Evidence{Enforcement: on, Tunnel: whole(), Targets: []health.Target{target("a", health.Lost)}}, health.Partial, "a (timed out)"),
	Entry("is partial when one of two targets is lost",
		health.Evidence{Enforcement: on, Tunnel: silent(time.Hour), Targets: []health.Target{target("a", health.Reached), target("b", health.Lost)}},
		health.Partial, "b (timed out)"),
	Entry("is down as soon as charon, asked since, knows of nothing that came back since the targets are missed",
		health.Evidence{Enforcement: on, Tunnel: lastIn(3*time.Second, 0), Targets: []health.Target{missed(3 * time.Second)}}, health.Down, "nothing comes back"),
	Entry("is partial until charon was asked again",
		health.Evidence{Enforcement: on, Tunnel: lastIn(2*time.Second, 500*time.Millisecond), Targets: []health.Target{missed(time.Second)}}, health.Partial, ""),
	Entry("is partial when something came back since the targets are missed",
		health.Evidence{Enforcement: on, Tunnel: lastIn(time.Second, 0), Targets: []health.Target{missed(9 * time.Second)}}, health.Partial, ""),
	Entry("is partial when packets go out, and none comes back",
		health.Evidence{Enforcement: on, Tunnel: oneWay(30, time.Minute)}, health.Partial, "packets go out since 2026-11-23T11:59:00Z, and none has come back"),
	Entry("is up when a host that is not there is called now and then",
		health.Evidence{Enforcement: on, Tunnel: oneWay(14, time.Minute)}, health.Up, ""),
	Entry("is up when many packets went out just now", health.Evidence{Enforcement: on, Tunnel: oneWay(3000, 2*time.Second)}, health.Up, ""),
	Entry("is up when its target answers, whatever else goes one way",
		health.Evidence{Enforcement: on, Tunnel: oneWay(3000, time.Hour), Targets: []health.Target{target("a", health.Reached)}}, health.Up, ""),
	Entry("on a gateway is up before its targets were asked",
		health.Evidence{Enforcement: on, Tunnel: whole(), Targets: []health.Target{target("a", health.NotAsked)}}, health.Up, ""),

	Entry("on a cell without targets is unknown", health.Evidence{Enforcement: on}, health.Unknown, "no probe target declared"),
	Entry("on a cell without targets is down when the rules are off", health.Evidence{Enforcement: off}, health.Down, "are off"),
	Entry("on a cell is up when every target answers",
		health.Evidence{Enforcement: on, Targets: []health.Target{target("a", health.Reached), target("b", health.Reached)}}, health.Up, ""),
	Entry("on a cell is not up before a target answered",
		health.Evidence{Enforcement: on, Targets: []health.Target{target("a", health.Waiting)}}, health.Unknown, "no target has answered yet"),
	Entry("on a cell is unknown when a target cannot be asked",
		health.Evidence{Enforcement: on, Targets: []health.Target{target("a", health.NotAsked)}}, health.Unknown, "was not asked"),
	Entry("on a cell is partial when one of two targets is lost",
		health.Evidence{Enforcement: on, Targets: []health.Target{target("a", health.Reached), target("b", health.Lost)}}, health.Partial, "b"),
	Entry("on a cell is down when all targets are lost",
		health.Evidence{Enforcement: on, Targets: []health.Target{target("a", health.Lost), target("b", health.Lost)}}, health.Down, "a (timed out), b"),
)

func named(states ...health.State) []health.Named {
	var out []health.Named
	for i, s := range states {
		out = append(out, health.Named{Name: string(rune('a' + i)), Verdict: health.Verdict{State: s, Reason: "because " + string(s)}})
	}
	return out
}

var _ = DescribeTable("A connection",
	func(state health.State, reason string, pairs ...health.State) {
		verdict := health.Combine(named(pairs...))
		Expect(verdict.State).To(Equal(state))
		Expect(verdict.Reason).To(Equal(reason))
	},
	Entry("is up when every pair is", health.Up, "", health.Up, health.Up),
	Entry("is partial when one is missing", health.Partial, "b: because down", health.Up, health.Down),
	Entry("is unknown when one is and nothing is known to be wrong", health.Unknown, "b: because unknown", health.Up, health.Unknown),
	Entry("is idle when the others are up", health.Idle, "b: because idle", health.Up, health.Idle),
	Entry("is down when all are", health.Down, "a, b: because down", health.Down, health.Down),
	Entry("is down when some are and nothing is known of the others", health.Down, "a: because down; b: because unknown", health.Down, health.Unknown),
	Entry("is unknown when all are", health.Unknown, "a: because unknown", health.Unknown),
	Entry("is unknown when it has no pairs", health.Unknown, "no pair is observed from here"),
)

var _ = It("A connection is up only if every pair is, whatever the states", func() {
	rapid.Check(GinkgoT(), func(t *rapid.T) {
		states := rapid.SliceOfN(rapid.SampledFrom(health.States), 1, 8).Draw(t, "states")
		all := true
		for _, s := range states {
			all = all && s == health.Up
		}
		if got := health.Combine(named(states...)).State; (got == health.Up) != all {
			t.Fatalf("%v became %s", states, got)
		}
	})
})

var _ = It("A pair is never up unless the rules are on and a tunnel or a target proves it", func() {
	rapid.Check(GinkgoT(), func(t *rapid.T) {
		e := health.Evidence{Enforcement: health.Enforcement{State: rapid.SampledFrom([]health.Switch{health.On, health.Off, health.Unclear, ""}).Draw(t, "rules")}}
		if rapid.Bool().Draw(t, "gateway") {
			e.Tunnel = &health.Tunnel{
				Error:  rapid.SampledFrom([]string{"", "gone"}).Draw(t, "error"),
				Extent: health.Extent(rapid.IntRange(0, 2).Draw(t, "extent")),
				LastIn: ago(time.Duration(rapid.IntRange(0, 1000).Draw(t, "in")) * time.Second),
			}
		}
		proved := false
		for range rapid.IntRange(0, 3).Draw(t, "targets") {
			answer := health.Answer(rapid.IntRange(0, 3).Draw(t, "answer"))
			e.Targets = append(e.Targets, target("x", answer))
			proved = proved || answer == health.Reached
		}
		if e.Tunnel != nil {
			proved = e.Tunnel.Error == "" && e.Tunnel.Extent == health.Whole
		}
		if health.Judge(e, now).State == health.Up && !(proved && e.Enforcement.State == health.On) {
			t.Fatalf("up without proof: %+v", e)
		}
	})
})
