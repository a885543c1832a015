package probe_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"

	"privnet/probe/health"
)

var _ = Describe("What a prober keeps over a restart", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })

	It("is nothing of pairs that are declared no more", func() {
		w.start(gatewayJSON)
		w.tell(sa("c1", 1, 1))
		Eventually(w.state).Should(Equal(health.Up))
		w.stop()
		w.start(strings.Replace(gatewayJSON, `, "172.30.8.0/22"`, "", 1))
		w.tell(sa("c1", 1, 1))
		Eventually(w.state).Should(Equal(health.Up))
		w.stop()
		state, err := w.memory.Load()
		Expect(err).NotTo(HaveOccurred())
		Expect(slices.Sorted(maps.Keys(state.History))).To(Equal([]string{"10.20.0.0/26=10.150.0.0/16", "10.20.1.0/26=10.150.0.0/16", "connection"}))
	})

	DescribeTable("is forgotten when it is damaged, and written anew",
		func(content string) {
			Expect(os.WriteFile(w.memory.Path, []byte(content), 0o600)).To(Succeed())
			w.start(gatewayJSON)
			w.tell(sa("c1", 1, 1))
			Eventually(w.state).Should(Equal(health.Up))
			w.stop()
			state, err := w.memory.Load()
			Expect(err).NotTo(HaveOccurred())
			Expect(state.History).To(HaveKey("connection"))
		},
		Entry("cut off", `{"history": {"connection": {"state": "up"`),
		Entry("empty, as after a crash with a full disk", ""),
		Entry("overwritten with nothing", strings.Repeat("\x00", 4096)),
		Entry("of a form that a later release has", `{"version": 2, "history": [{"name": "connection", "state": "up"}], "seen": 7}`),
		Entry("with more than this release knows", `{"version": 2, "history": {"connection": {"state": "sideways", "since": "2126-01-01T00:00:00Z", "mood": 1}}, "traffic": null}`),
	)

	It("is missed, and said so, where it cannot be written; it watches on", func() {
		Expect(os.RemoveAll(filepath.Dir(w.memory.Path))).To(Succeed())
		w.start(gatewayJSON)
		w.tell(sa("c1", 1, 1))
		Eventually(w.state).Should(Equal(health.Up))
		w.tell()
		Eventually(w.state).Should(Equal(health.Down))
		Expect(w.log).To(gbytes.Say("will not outlive a restart"))
	})

	It("is not believed where it is of a time to come, after the clock was set back", func() {
		w.ahead.Store(int64(24 * time.Hour))
		w.start(gatewayJSON)
		w.tell(sa("c1", 1, 1))
		lastIn := func() time.Time { return w.prober.Status().Pairs[0].LastIn }
		Eventually(lastIn).Should(BeTemporally(">", time.Now().Add(time.Hour)))
		w.stop()
		w.ahead.Store(0)
		w.start(gatewayJSON)
		w.tell(sa("c1", 1, 1))
		Eventually(lastIn).Should(BeTemporally("~", time.Now(), time.Minute))
		Expect(w.prober.Status().Since).To(BeTemporally("<=", time.Now()))
	})
})
