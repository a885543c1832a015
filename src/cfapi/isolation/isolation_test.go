package isolation_test

import (
	"bytes"
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/cfapi"
	"privnet/cfapi/cftest"
	"privnet/cfapi/isolation"
	"privnet/connection"
)

const ours = "private-network-agency-a"

// shared is where an app runs that is in no segment.
const shared = ""

// fixture is a platform with two orgs, of which one shall be isolated.
type fixture struct {
	*cftest.Server
	org, other *cftest.Org
	dev, prod  *cftest.Space
	config     isolation.Config
	clientID   string
	out        bytes.Buffer
}

func newFixture() *fixture {
	f := &fixture{Server: cftest.Start(), clientID: cftest.ClientID}
	DeferCleanup(f.Stop)
	f.org, f.other = f.AddOrg("Agency A"), f.AddOrg("Agency B")
	f.dev, f.prod = f.AddSpace(f.org, "dev"), f.AddSpace(f.org, "prod")
	f.AddSpace(f.other, "dev")
	f.config = isolation.Config{
		Connection: connection.Connection{
			Org:             "agency-a",
			PrivateNetworks: []netip.Prefix{netip.MustParsePrefix("10.150.0.0/16"), netip.MustParsePrefix("172.30.8.0/22")},
		},
		Org:            "Agency A",
		RestartTimeout: 5 * time.Minute,
	}
	return f
}

// run runs the errand, and sees to it that no credential is ever printed.
func (f *fixture) run() error {
	GinkgoHelper()
	f.out.Reset()
	api := cfapi.API{URL: f.URL, CACertificate: f.CA, ClientID: f.clientID, ClientSecret: cftest.ClientSecret, ReadOnly: f.config.DryRun}
	client, err := cfapi.Connect(api, f.Clock, func(notice string) { f.out.WriteString(notice + "\n") })
	Expect(err).NotTo(HaveOccurred())
	err = isolation.Run(context.Background(), client, f.Clock, f.config, &f.out)
	printed := f.out.String()
	if err != nil {
		printed += err.Error()
	}
	for _, secret := range f.Secrets() {
		Expect(printed).NotTo(ContainSubstring(secret))
	}
	return err
}

func (f *fixture) lines() []string { return strings.Split(strings.TrimSpace(f.out.String()), "\n") }

// changesOf are the changes that a run sends.
func (f *fixture) changesOf(run func() error) []string {
	GinkgoHelper()
	before := len(f.Changes())
	Expect(run()).To(Succeed())
	return f.Changes()[before:]
}

var _ = Describe("An org that is put into its segment", func() {
	var f *fixture

	BeforeEach(func() { f = newFixture() })

	It("gets the segment as its default, and alone", func() {
		Expect(f.run()).To(Succeed())
		segment := f.Segment(ours)
		Expect(segment.Orgs).To(ConsistOf(f.org.GUID))
		Expect(f.org.Default).To(Equal(segment.GUID))
		Expect(f.other.Default).To(BeEmpty())
	})

	It("gets a security group with the private networks, for running and staging in all its spaces and in no other", func() {
		Expect(f.run()).To(Succeed())
		group := f.Group(ours)
		Expect(group.Rules).To(Equal([]cftest.Rule{
			{Protocol: "all", Destination: "10.150.0.0/16"}, {Protocol: "all", Destination: "172.30.8.0/22"},
		}))
		Expect(group.Running).To(ConsistOf(f.dev.GUID, f.prod.GUID))
		Expect(group.Staging).To(ConsistOf(f.dev.GUID, f.prod.GUID))
	})

	It("has each step reported", func() {
		Expect(f.run()).To(Succeed())
		Expect(f.lines()).To(Equal([]string{
			`org "Agency A", isolation segment private-network-agency-a`,
			`create the isolation segment private-network-agency-a`,
			`create the security group private-network-agency-a with 2 rules`,
			`entitle the org "Agency A" to it`,
			`make it the org's default`,
			`bind the security group for staging apps to "dev", "prod"`,
			`bind the security group for running apps to "dev", "prod"`,
			`done: the security group is bound to 2 spaces, every app runs in the segment`,
		}))
	})

	It("is not changed by a second run", func() {
		Expect(f.run()).To(Succeed())
		Expect(f.changesOf(f.run)).To(BeEmpty())
	})

	It("gets the security group for spaces that it made since the last run", func() {
		Expect(f.run()).To(Succeed())
		f.AddSpace(f.org, "new")
		Expect(f.changesOf(f.run)).To(HaveLen(2))
		Expect(f.Group(ours).Running).To(HaveLen(3))
		Expect(f.Group(ours).Staging).To(HaveLen(3))
	})

	It("gets it for a space that is made during the run, too", func() {
		f.Break(cftest.Fault{Method: "PATCH", Path: "/v3/organizations", Times: 1, Meanwhile: func() { f.AddSpace(f.org, "new") }})
		Expect(f.run()).To(Succeed())
		Expect(f.Group(ours).Running).To(HaveLen(3))
	})

	It("gets it for more spaces than fit on a page", func() {
		for i := range 250 {
			f.AddSpace(f.org, strconv.Itoa(i))
		}
		Expect(f.run()).To(Succeed())
		Expect(f.Group(ours).Running).To(HaveLen(252))
	})

	It("has its private networks changed in the security group", func() {
		Expect(f.run()).To(Succeed())
		f.config.Connection.PrivateNetworks = f.config.Connection.PrivateNetworks[:1]
		Expect(f.changesOf(f.run)).To(Equal([]string{"PATCH /v3/security_groups/" + f.Group(ours).GUID}))
		Expect(f.Group(ours).Rules).To(HaveLen(1))
	})

	It("takes a segment and a group that are there already", func() {
		f.AddSegment(ours, f.org)
		f.AddGroup(cftest.Group{Name: ours})
		Expect(f.run()).To(Succeed())
		Expect(f.Changes()).NotTo(ContainElement(Or(Equal("POST /v3/isolation_segments"), Equal("POST /v3/security_groups"))))
	})

	It("may have a name that a list of names would be split at", func() {
		f.config.Org = "Agency A, 100% B/C+D"
		f.AddSpace(f.AddOrg(f.config.Org), "dev")
		Expect(f.run()).To(Succeed())
		Expect(f.Group(ours).Running).To(HaveLen(1))
	})

	It("may have been given the shared segment by name before", func() {
		f.org.Default = cftest.SharedSegment
		Expect(f.run()).To(Succeed())
		Expect(f.org.Default).To(Equal(f.Segment(ours).GUID))
	})

	Describe("when the API has a bad day", func() {
		DescribeTable("arrives all the same, whichever answer gets lost",
			func(method, path string) {
				f.Break(cftest.Fault{Method: method, Path: path, Times: 1, Done: true, Status: http.StatusBadGateway})
				Expect(f.run()).To(Succeed())
				Expect(f.out.String()).To(ContainSubstring("answer 502 Bad Gateway to " + method))
				Expect(f.Group(ours).Running).To(HaveLen(2))
				Expect(f.org.Default).To(Equal(f.Segment(ours).GUID))
			},
			Entry("to creating the segment", "POST", "/v3/isolation_segments"),
			Entry("to creating the group", "POST", "/v3/security_groups"),
			Entry("to setting the default", "PATCH", "/v3/organizations"),
		)

		It("waits for the rate limit and says so", func() {
			f.Limit(20, 25*time.Minute)
			Expect(f.run()).To(Succeed())
			Expect(f.out.String()).To(MatchRegexp(`answer 429 Too Many Requests to .*: waiting for 25m0s`))
		})

		It("goes on with a new token when the old one ends", func() {
			f.Break(cftest.Fault{Method: "PATCH", Path: "/v3/organizations", Times: 1, Meanwhile: f.RevokeTokens})
			Expect(f.run()).To(Succeed())
		})

		It("fails with the API's words, and a run later goes on from there", func() {
			f.Break(cftest.Fault{Method: "PATCH", Path: "/v3/organizations", Times: 1, Status: http.StatusForbidden})
			Expect(f.run()).To(MatchError(MatchRegexp("^make it the org's default: the API answered PATCH .* with 403 Forbidden$")))
			Expect(f.Group(ours).Running).To(BeEmpty(), "an app would take it to the shared cells")
			Expect(f.run()).To(Succeed())
			Expect(f.Group(ours).Running).To(HaveLen(2))
		})

		It("gives the API's own reason for a 422 that is not about the name", func() {
			f.config.Connection.Allow = []connection.Flow{{Protocol: "sctp"}}
			Expect(f.run()).To(MatchError(ContainSubstring("protocol must be 'tcp', 'udp', 'icmp', or 'all' (CF-UnprocessableEntity)")))
		})
	})

	Describe("fails, names what is in the way and changes nothing", func() {
		refused := func(want string) {
			GinkgoHelper()
			before := len(f.Changes())
			Expect(f.run()).To(MatchError(ContainSubstring(want)))
			Expect(f.Changes()).To(HaveLen(before))
		}

		It("when another org is entitled to the segment", func() {
			f.AddSegment(ours, f.org, f.other)
			refused(`the isolation segment private-network-agency-a is for the org "Agency A" alone, but entitled are also: "Agency B"`)
		})

		It("when the org has another default", func() {
			f.org.Default = f.AddSegment("premium", f.org).GUID
			refused(`the org "Agency A" has another default isolation segment, premium`)
		})

		It("when a space is assigned to another segment, or to the shared one", func() {
			f.dev.Segment = f.AddSegment("premium", f.org).GUID
			refused(`the space "dev" is assigned to the isolation segment premium`)
		})

		It("when the security group is bound to another org's space", func() {
			f.AddGroup(cftest.Group{Name: ours, Staging: []string{f.AddSpace(f.other, "theirs").GUID}})
			refused(`is bound to spaces outside of the org "Agency A": "theirs"`)
		})

		It("when the security group holds for the whole platform", func() {
			f.AddGroup(cftest.Group{Name: ours, GlobalRunning: true})
			refused("holds for every space of the platform")
		})

		It("when a segment has the name in other letters, which the cells' tag does not match", func() {
			f.AddSegment("Private-Network-Agency-A")
			refused(`there is an isolation segment "Private-Network-Agency-A"`)
		})

		It("when there is no such org, or only one in other letters", func() {
			f.config.Org = "agency a"
			refused(`there is no org "agency a"`)
		})

		It("all of that at once", func() {
			f.AddSegment(ours, f.other)
			f.dev.Segment = f.AddSegment("premium", f.org).GUID
			Expect(f.run()).To(MatchError(And(ContainSubstring("Agency B"), ContainSubstring("premium"))))
		})
	})
})

var _ = Describe("A dry run", func() {
	It("sends nothing but questions, with a client that may only look, and says what would be done", func() {
		f := newFixture()
		f.AddApp(f.dev, "shop", map[string]int{"web": 2})
		f.config.DryRun, f.clientID = true, cftest.ReaderID
		Expect(f.run()).To(Succeed())
		Expect(f.Changes()).To(BeEmpty())
		Expect(f.lines()).To(Equal([]string{
			`org "Agency A", isolation segment private-network-agency-a`,
			`dry run: would create the isolation segment private-network-agency-a`,
			`dry run: would create the security group private-network-agency-a with 2 rules`,
			`dry run: would entitle the org "Agency A" to it`,
			`dry run: would make it the org's default`,
			`dry run: would bind the security group for staging apps to "dev", "prod"`,
			`dry run: would bind the security group for running apps to "prod"`,
			`dry run: app "shop" in space "dev" must restart: it runs on the shared cells`,
			`dry run: after that, would bind the security group for running apps to "dev"`,
		}))
	})

	It("says whether apps would be restarted, and when there is nothing to do", func() {
		f := newFixture()
		Expect(f.run()).To(Succeed())
		f.config.DryRun, f.config.RestartApps = true, true
		Expect(f.run()).To(Succeed())
		Expect(f.lines()).To(ContainElement("dry run: nothing to do"))

		g := newFixture()
		g.AddApp(g.dev, "shop", map[string]int{"web": 2})
		g.config.DryRun, g.config.RestartApps = true, true
		Expect(g.run()).To(Succeed())
		Expect(g.lines()).To(ContainElement(`dry run: would restart app "shop" in space "dev", which runs on the shared cells`))
	})

	It("fails on what a run would fail on", func() {
		f := newFixture()
		f.AddSegment(ours, f.other)
		f.config.DryRun = true
		Expect(f.run()).To(MatchError(ContainSubstring("Agency B")))
	})
})
