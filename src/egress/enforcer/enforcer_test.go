package enforcer_test

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"time"

	boshlog "github.com/cloudfoundry/bosh-utils/logger"
	"github.com/cloudfoundry/bosh-utils/system"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"

	"privnet/egress"
	"privnet/egress/enforcer"
)

// layer is one that stands, or does not, or cannot be made to.
type layer struct {
	name    string
	stands  bool
	broken  bool
	failing error
	journal *[]string
}

func (l *layer) Name() string { return l.name }

func (l *layer) Check(egress.Policy) ([]string, error) {
	if l.stands {
		return nil, nil
	}
	return []string{l.name + " is gone"}, nil
}

func (l *layer) Apply(egress.Policy) error {
	*l.journal = append(*l.journal, "apply "+l.name)
	l.stands = l.failing == nil && !l.broken
	return l.failing
}

func (l *layer) Remove(egress.Policy) error {
	*l.journal = append(*l.journal, "remove "+l.name)
	return nil
}

type rules struct{ *layer }

func (rules) Dropped() uint64              { return 7 }
func (rules) Backend(egress.Policy) string { return "fake" }

var _ = Describe("An enforcer", func() {
	var (
		journal                []string
		firewall, guard, opens *layer
		log                    *gbytes.Buffer
		subject                *enforcer.Enforcer
		now                    = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	)

	BeforeEach(func() {
		journal = nil
		firewall, guard, opens = &layer{name: "rules", journal: &journal}, &layer{name: "guard", journal: &journal}, &layer{name: "opening", journal: &journal}
		log = gbytes.NewBuffer()
		subject = &enforcer.Enforcer{
			Loaded:  enforcer.Loaded{Policy: egress.Policy{Role: egress.RoleGateway}, Origin: enforcer.OriginConfigured},
			Rules:   rules{firewall},
			Guards:  []enforcer.Layer{guard},
			Opening: opens,
			Through: func([]netip.Prefix) ([]netip.Prefix, error) { return nil, nil },
			Now:     func() time.Time { return now },
			Log:     slog.New(slog.NewJSONHandler(log, nil)),
		}
	})

	It("closes before it opens", func() {
		status := subject.RunOnce()
		Expect(journal).To(Equal([]string{"apply rules", "apply guard", "apply opening"}))
		Expect(status.Ready()).To(BeTrue())
		Expect(status).To(Equal(enforcer.Status{
			Enforced: true, Role: egress.RoleGateway, Backend: "fake", Configuration: enforcer.OriginConfigured,
			Since: now, Checked: now, Dropped: 7,
		}))
	})

	It("does not open while a guard cannot be put up", func() {
		firewall.failing = errors.New("no such program")
		status := subject.RunOnce()
		Expect(journal).To(Equal([]string{"apply rules", "apply guard"}))
		Expect(status.Enforced).To(BeFalse())
		Expect(status.Problems).To(ConsistOf("applying the rules: no such program"))
	})

	It("does not believe a layer that says it was applied and is not there", func() {
		guard.broken = true
		Expect(subject.RunOnce().Problems).To(ConsistOf("reading back the guard: guard is gone"))
	})

	It("counts and logs a repair with what was found, but not the first application", func() {
		Expect(subject.RunOnce().Repairs).To(Equal(0))
		guard.stands = false
		Expect(subject.RunOnce().Repairs).To(Equal(1))
		Expect(log).To(gbytes.Say(`repaired the guard.*guard is gone`))
		Expect(subject.RunOnce().Repairs).To(Equal(1))
	})

	It("only looks when it checks", func() {
		Expect(subject.Check()).To(ConsistOf("rules is gone", "guard is gone", "opening is gone"))
		Expect(journal).To(BeEmpty())
	})

	It("removes what opens first and the rules last", func() {
		Expect(subject.Remove()).To(Succeed())
		Expect(journal).To(Equal([]string{"remove opening", "remove guard", "remove rules"}))
	})

	It("enforces before the first tick, again at each tick and change, and removes nothing at its end", func() {
		ctx, cancel := context.WithCancel(context.Background())
		ticks, changes, told := make(chan time.Time), make(chan struct{}), make(chan enforcer.Status)
		done := make(chan struct{})
		go func() {
			defer close(done)
			subject.Run(ctx, ticks, changes, func(s enforcer.Status) error { told <- s; return nil })
		}()
		Eventually(told).Should(Receive())
		ticks <- now
		Eventually(told).Should(Receive())
		changes <- struct{}{}
		Eventually(told).Should(Receive())
		cancel()
		Eventually(done).Should(BeClosed())
		Expect(journal).NotTo(ContainElement(HavePrefix("remove")))
	})
})

var _ = Describe("A policy's source", func() {
	const good = `{"role": "shared-cell", "addresses": ["10.0.1.5"], "segments_pool": ["10.20.0.0/16"]}`
	var (
		files  system.FileSystem
		source enforcer.Source
	)

	BeforeEach(func() {
		files = system.NewOsFileSystem(boshlog.NewLogger(boshlog.LevelNone))
		dir := GinkgoT().TempDir()
		source = enforcer.Source{Files: files, Config: filepath.Join(dir, "enforcer.json"), LastGood: filepath.Join(dir, "last-good.json"),
			Withdrawn: filepath.Join(dir, "withdrawn.json")}
	})

	write := func(text string) { Expect(files.WriteFileString(source.Config, text)).To(Succeed()) }

	It("is the configuration", func() {
		write(good)
		loaded := source.Load()
		Expect(loaded.Origin).To(Equal(enforcer.OriginConfigured))
	})

	It("is the last good one, with the problems of the present one", func() {
		write(good)
		Expect(source.Keep()).To(Succeed())
		write(strings.Replace(good, "10.20.0.0/16", "10.20.0.0/99", 1))
		loaded := source.Load()
		Expect(loaded.Origin).To(Equal(enforcer.OriginLastGood))
		Expect(loaded.Problems).To(ConsistOf(ContainSubstring("10.20.0.0/99")))
		Expect(loaded.Policy.SegmentsPool).To(HaveLen(1))
	})

	It("remembers each network that was withdrawn, and once, however often it is kept", func() {
		cell := func(networks string) string {
			return `{"role": "cell", "addresses": ["10.20.0.10"], "connection": {"org": "agency-a", "segment": ["10.20.0.0/24"],
				"private_networks": [` + networks + `], "gateways": [{"address": "10.20.0.4", "public_address": "198.41.0.4"}], "routing": "host"}}`
		}
		remembered := func() string {
			text, err := files.ReadFileString(source.Withdrawn)
			Expect(err).NotTo(HaveOccurred())
			return text
		}
		write(cell(`"10.150.0.0/16", "10.160.0.0/16"`))
		Expect(source.Keep()).To(Succeed())
		write(cell(`"10.150.0.0/16"`))
		Expect(source.Withdrawing()).To(HaveExactElements(netip.MustParsePrefix("10.160.0.0/16")))
		for range 3 {
			Expect(source.Keep()).To(Succeed())
			Expect(source.Withdrawing()).To(BeEmpty())
			Expect(source.Load().Policy.Withdrawn).To(HaveExactElements(netip.MustParsePrefix("10.160.0.0/16")))
			Expect(remembered()).To(MatchJSON(`["10.150.0.0/16", "10.160.0.0/16"]`))
		}
	})

	DescribeTable("is a denial where nothing was ever good", func(text string) {
		if text != "" {
			write(text)
		}
		loaded := source.Load()
		Expect(loaded.Origin).To(Equal(enforcer.OriginDenied))
		Expect(loaded.Problems).NotTo(BeEmpty())
		Expect(loaded.Policy.Rules()).NotTo(BeEmpty())
	},
		Entry("one field is wrong", strings.Replace(good, `["10.0.1.5"]`, `["10.0.1.500"]`, 1)),
		Entry("not JSON", `{"role":`),
		Entry("a list", `[]`),
		Entry("no networks", `{"role": "shared-cell"}`),
		Entry("no file", ""),
	)
})
