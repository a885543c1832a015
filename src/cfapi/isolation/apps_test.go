package isolation_test

import (
	"fmt"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/cfapi/cftest"
)

var _ = Describe("The running apps of an org that is put into its segment", func() {
	var f *fixture

	BeforeEach(func() { f = newFixture() })

	It("are named when they must restart, and the run fails", func() {
		f.AddApp(f.dev, "shop", map[string]int{"web": 2})
		f.AddApp(f.prod, "mail", map[string]int{"web": 1, "worker": 1})
		Expect(f.run()).To(MatchError(And(ContainSubstring(`2 apps of the org "Agency A" must restart to move`), ContainSubstring("set restart_apps"))))
		Expect(f.lines()).To(ContainElements(
			`app "shop" in space "dev" must restart: it runs on the shared cells`,
			`app "mail" in space "prod" must restart: it runs on the shared cells`,
		))
		Expect(f.Changes()).NotTo(ContainElement(ContainSubstring("deployments")))
	})

	It("have all else prepared for them, but not the security group, with which they would pass the tunnel by", func() {
		f.AddApp(f.dev, "shop", map[string]int{"web": 2})
		Expect(f.run()).NotTo(Succeed())
		Expect(f.org.Default).To(Equal(f.Segment(ours).GUID))
		Expect(f.Group(ours).Running).To(ConsistOf(f.prod.GUID), "nothing runs there")
		Expect(f.Group(ours).Staging).To(ConsistOf(f.dev.GUID, f.prod.GUID), "staging is in the segment already")
	})

	It("do not get it either when they are started while the org is moved", func() {
		f.AddSegment(ours, f.org)
		f.AddGroup(cftest.Group{Name: ours})
		f.Break(cftest.Fault{Method: "PATCH", Path: "/v3/organizations", Times: 1, Meanwhile: func() {
			f.AddApp(f.dev, "shop", map[string]int{"web": 2})
		}})
		Expect(f.run()).To(MatchError(ContainSubstring("1 app of the org")))
		Expect(f.Group(ours).Running).To(ConsistOf(f.prod.GUID))
	})

	It("get the security group by the next run after somebody restarted them", func() {
		app := f.AddApp(f.dev, "shop", map[string]int{"web": 2})
		Expect(f.run()).NotTo(Succeed())
		f.Restart(app)
		Expect(f.run()).To(Succeed())
		Expect(f.Group(ours).Running).To(ConsistOf(f.dev.GUID, f.prod.GUID))
	})

	It("are left alone where they run in the segment already", func() {
		Expect(f.run()).To(Succeed())
		f.AddApp(f.dev, "shop", map[string]int{"web": 2})
		Expect(f.changesOf(f.run)).To(BeEmpty())
	})

	It("are left alone where nothing of them runs", func() {
		f.AddApp(f.dev, "scaled to nothing", map[string]int{"web": 0})
		f.Lose(f.AddApp(f.dev, "unknown to Diego", map[string]int{"web": 1}))
		Expect(f.run()).To(Succeed())
	})

	It("are looked at on all pages", func() {
		for i := range 120 {
			f.AddApp(f.dev, fmt.Sprintf("app-%d", i), map[string]int{"web": 1})
		}
		Expect(f.run()).To(MatchError(ContainSubstring("120 apps")))
	})

	It("may go away while they are looked at", func() {
		f.AddApp(f.dev, "shop", map[string]int{"web": 2})
		f.Break(cftest.Fault{Path: "/v3/processes/", Status: http.StatusNotFound})
		Expect(f.run()).To(Succeed())
	})

	Describe("when restarts are allowed", func() {
		BeforeEach(func() { f.config.RestartApps = true })

		It("are rolled one after the other, with their workers, and have the security group then", func() {
			shop := f.AddApp(f.dev, "shop", map[string]int{"web": 2, "worker": 3})
			mail := f.AddApp(f.prod, "mail", map[string]int{"web": 1})
			Expect(f.run()).To(Succeed())
			Expect(f.Placements(shop)).To(Equal(map[string]string{"web": ours, "worker": ours}))
			Expect(f.Placements(mail)).To(Equal(map[string]string{"web": ours}))
			Expect(f.lines()).To(ContainElements(
				`restart app "shop" in space "dev", rolling, away from the shared cells`,
				`restart app "mail" in space "prod", rolling, away from the shared cells`,
			))
			Expect(f.Group(ours).Running).To(ConsistOf(f.dev.GUID, f.prod.GUID))
			Expect(f.Changes()).NotTo(ContainElement(ContainSubstring("actions/restart")), "that would interrupt them")
		})

		It("are taken out of another segment, too", func() {
			premium := f.AddSegment("premium", f.org)
			f.org.Default = premium.GUID
			app := f.AddApp(f.dev, "shop", map[string]int{"web": 1})
			f.org.Default = ""
			Expect(f.run()).To(Succeed())
			Expect(f.out.String()).To(ContainSubstring("away from the cells of the isolation segment premium"))
			Expect(f.Placements(app)).To(Equal(map[string]string{"web": ours}))
		})

		It("are restarted at once where no web instance runs, which a deployment would wait for in vain", func() {
			worker := f.AddApp(f.dev, "worker", map[string]int{"web": 0, "worker": 1})
			crashed := f.AddApp(f.dev, "crashed", map[string]int{"web": 1})
			f.Crash(crashed)
			Expect(f.run()).To(Succeed())
			Expect(f.Placements(worker)).To(HaveKeyWithValue("worker", ours))
			Expect(f.Placements(crashed)).To(HaveKeyWithValue("web", ours))
			Expect(f.Changes()).NotTo(ContainElement(ContainSubstring("deployments")))
		})

		It("run on as before when their new instances do not come up, and the others are restarted all the same", func() {
			broken := f.AddApp(f.dev, "broken", map[string]int{"web": 2})
			f.Spoil(broken)
			shop := f.AddApp(f.prod, "shop", map[string]int{"web": 2})
			Expect(f.run()).To(MatchError(And(
				ContainSubstring(`restarting app "broken" in space "dev": it did not come up within 5m0s`),
				ContainSubstring("the deployment was cancelled, and the app runs where it ran"),
			)))
			Expect(f.Placements(broken)).To(Equal(map[string]string{"web": shared}))
			Expect(f.Placements(shop)).To(Equal(map[string]string{"web": ours}))
			Expect(f.Group(ours).Running).NotTo(ContainElement(f.dev.GUID))
		})

		It("are not all tried when the cells seem to be the reason", func() {
			for i := range 5 {
				f.Spoil(f.AddApp(f.dev, fmt.Sprintf("app-%d", i), map[string]int{"web": 1}))
			}
			Expect(f.run()).To(MatchError(ContainSubstring("3 apps in a row did not restart; the others were left alone: do the segment's cells have room?")))
			Expect(f.out.String()).NotTo(ContainSubstring("app-4"))
		})

		It("are all tried when only some of them do not come up", func() {
			for i := range 8 {
				app := f.AddApp(f.dev, fmt.Sprintf("app-%d", i), map[string]int{"web": 1})
				if i%2 == 0 {
					f.Spoil(app)
				}
			}
			last := f.AddApp(f.dev, "last", map[string]int{"web": 1})
			Expect(f.run()).To(MatchError(ContainSubstring("app-6")))
			Expect(f.Placements(last)).To(Equal(map[string]string{"web": ours}))
		})

		It("have their own deployments left alone", func() {
			f.StartDeployment(f.AddApp(f.dev, "shop", map[string]int{"web": 1}))
			Expect(f.run()).To(MatchError(ContainSubstring("a deployment of it is going on, which another one would supersede")))
			Expect(f.Changes()).NotTo(ContainElement("POST /v3/deployments"))
		})

		It("move although the answer to their deployment got lost", func() {
			app := f.AddApp(f.dev, "shop", map[string]int{"web": 2})
			f.Break(cftest.Fault{Method: "POST", Path: "/v3/deployments", Times: 1, Done: true, Status: http.StatusBadGateway})
			Expect(f.run()).To(Succeed())
			Expect(f.Placements(app)).To(Equal(map[string]string{"web": ours}))
		})

		It("are not restarted for ever", func() {
			app := f.AddApp(f.dev, "shop", map[string]int{"web": 2})
			f.Break(cftest.Fault{Method: "POST", Path: "/v3/deployments", Meanwhile: func() { f.org.Default = "" }})
			Expect(f.run()).To(MatchError(ContainSubstring("it still runs on the shared cells")))
			Expect(f.Placements(app)).To(Equal(map[string]string{"web": shared}))
		})
	})
})
