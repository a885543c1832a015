package isolation_test

import (
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/cfapi/cftest"
)

var _ = Describe("An org that is taken out of its segment", func() {
	var (
		f   *fixture
		app *cftest.App
	)

	BeforeEach(func() {
		f = newFixture()
		Expect(f.run()).To(Succeed())
		app = f.AddApp(f.dev, "shop", map[string]int{"web": 2})
		f.config.Remove = true
	})

	It("leaves nothing behind", func() {
		f.config.RestartApps = true
		f.prod.Segment = f.Segment(ours).GUID
		Expect(f.run()).To(Succeed())
		Expect(f.lines()).To(Equal([]string{
			`org "Agency A", isolation segment private-network-agency-a`,
			`delete the security group private-network-agency-a`,
			`take the space "prod" out of the isolation segment`,
			`take the isolation segment from the org as its default`,
			`restart app "shop" in space "dev", rolling, away from the cells of the isolation segment private-network-agency-a`,
			`take the entitlement from the org "Agency A"`,
			`delete the isolation segment private-network-agency-a`,
			`done: isolation segment and security group are gone, no app runs in the segment`,
		}))
		Expect(f.Segment(ours)).To(BeNil())
		Expect(f.Group(ours)).To(BeNil())
		Expect(f.org.Default).To(BeEmpty())
		Expect(f.prod.Segment).To(BeEmpty())
		Expect(f.Placements(app)).To(Equal(map[string]string{"web": shared}))
	})

	It("leaves nothing behind without any app, too", func() {
		g := newFixture()
		Expect(g.run()).To(Succeed())
		g.config.Remove = true
		Expect(g.run()).To(Succeed())
		Expect(g.lines()[1]).To(Equal("delete the security group private-network-agency-a"))
		Expect(g.Segment(ours)).To(BeNil())
		Expect(g.Group(ours)).To(BeNil())
	})

	It("is done when there is nothing to undo", func() {
		f.config.RestartApps = true
		Expect(f.run()).To(Succeed())
		Expect(f.changesOf(f.run)).To(BeEmpty())
	})

	It("loses the security group before an app can take it along, and the segment only after the last app has left", func() {
		Expect(f.run()).To(MatchError(ContainSubstring(`1 app of the org "Agency A" must restart to move`)))
		Expect(f.Group(ours)).To(BeNil())
		Expect(f.org.Default).To(BeEmpty())
		Expect(f.Segment(ours).Orgs).To(ConsistOf(f.org.GUID))

		f.Restart(app)
		Expect(f.run()).To(Succeed())
		Expect(f.Segment(ours)).To(BeNil())
	})

	It("keeps a default and assignments that have nothing to do with the segment", func() {
		f.config.RestartApps = true
		premium := f.AddSegment("premium", f.org)
		f.org.Default, f.prod.Segment = premium.GUID, premium.GUID
		Expect(f.run()).To(Succeed())
		Expect(f.org.Default).To(Equal(premium.GUID))
		Expect(f.prod.Segment).To(Equal(premium.GUID))
	})

	It("may be gone from the platform already", func() {
		f.DeleteOrg(f.org)
		Expect(f.run()).To(Succeed())
		Expect(f.Segment(ours)).To(BeNil())
		Expect(f.Group(ours)).To(BeNil())
	})

	It("goes on where a run was stopped", func() {
		f.config.RestartApps = true
		f.Break(cftest.Fault{Method: "DELETE", Path: "/v3/isolation_segments/", Times: 1, Status: http.StatusForbidden})
		Expect(f.run()).NotTo(Succeed())
		Expect(f.run()).To(Succeed())
		Expect(f.Segment(ours)).To(BeNil())
	})

	It("has the steps named by a dry run, and nothing done", func() {
		f.config.DryRun = true
		before := len(f.Changes())
		Expect(f.run()).To(Succeed())
		Expect(f.lines()[1:]).To(Equal([]string{
			`dry run: would delete the security group private-network-agency-a`,
			`dry run: would take the isolation segment from the org as its default`,
			`dry run: app "shop" in space "dev" must restart: it runs on the cells of the isolation segment private-network-agency-a`,
			`dry run: after that, would take the entitlement from the org "Agency A"`,
			`dry run: after that, would delete the isolation segment private-network-agency-a`,
		}))
		Expect(f.Changes()).To(HaveLen(before))
	})

	It("is left alone when another org has a share, for instance since the org is called otherwise", func() {
		f.config.Org = "Agency"
		Expect(f.run()).To(MatchError(ContainSubstring(`entitled are also: "Agency A"`)))
		Expect(f.Group(ours)).NotTo(BeNil())
	})

	It("fails with the API's reason when the group cannot be deleted", func() {
		f.FailJobs()
		Expect(f.run()).To(MatchError(ContainSubstring("the job failed: something went wrong")))
	})
})
