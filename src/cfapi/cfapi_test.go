package cfapi_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/cfapi"
	"privnet/cfapi/cftest"
)

var _ = Describe("The client", func() {
	var (
		cf      *cftest.Server
		api     cfapi.API
		notices []string
		ctx     = context.Background()
	)

	BeforeEach(func() {
		cf = cftest.Start()
		DeferCleanup(cf.Stop)
		notices = nil
		api = cfapi.API{URL: cf.URL, CACertificate: cf.CA, ClientID: cftest.ClientID, ClientSecret: cftest.ClientSecret}
	})

	connect := func() (*cfapi.Client, error) {
		return cfapi.Connect(api, cf.Clock, func(notice string) { notices = append(notices, notice) })
	}
	spaces := func() ([]string, error) {
		GinkgoHelper()
		client, err := connect()
		Expect(err).NotTo(HaveOccurred())
		found, err := cfapi.List[struct{ Name string }](ctx, client, "/v3/spaces", nil)
		var names []string
		for _, one := range found {
			names = append(names, one.Name)
		}
		return names, err
	}

	Describe("keeps the credentials to the API", func() {
		It("whose certificate must be of the given authority", func() {
			api.CACertificate = ""
			_, err := connect()
			Expect(err).To(MatchError(ContainSubstring("certificate signed by unknown authority")))
			Expect(notices).To(BeEmpty(), "it is no use to try again")
		})

		It("whose certificate must have its name", func() {
			api.URL = strings.Replace(api.URL, "127.0.0.1", "localhost", 1)
			_, err := connect()
			Expect(err).To(MatchError(ContainSubstring("localhost")))
		})

		It("and says so when the authority is none", func() {
			api.CACertificate = "no certificate"
			_, err := connect()
			Expect(err).To(MatchError(ContainSubstring("holds no PEM certificate")))
		})

		It("and sends nothing without TLS, even if the API says that the UAA is there", func() {
			asked := 0
			plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
			DeferCleanup(plain.Close)
			liar := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, `{"links": {"uaa": {"href": %q}, "login": {"href": %q}}}`, plain.URL, plain.URL)
			}))
			DeferCleanup(liar.Close)
			api.URL = liar.URL
			client, err := connect()
			Expect(err).NotTo(HaveOccurred())
			Expect(client.Get(ctx, "/v3/apps", nil)).To(MatchError(ContainSubstring("is not https; nothing was sent")))
			Expect(asked).To(BeZero())
		})

		It("and follows no redirect, which would take the token along", func() {
			cf.Break(cftest.Fault{Path: "/v3/spaces", Status: http.StatusFound, Header: http.Header{"Location": {"https://elsewhere.example.com/"}}})
			_, err := spaces()
			Expect(err).To(MatchError(ContainSubstring(`is redirected to "https://elsewhere.example.com/", which is not followed`)))
		})

		It("and asks for a token that can do no more than it must", func() {
			_, err := spaces()
			Expect(err).NotTo(HaveOccurred())
			Expect(cf.Scopes()).To(Equal([]string{cfapi.Scope}))
		})

		It("and repeats none of them in an error", func() {
			api.ClientSecret = "a wrong secret"
			_, err := spaces()
			Expect(err).To(MatchError(ContainSubstring("Bad credentials")))
			Expect(err).NotTo(MatchError(ContainSubstring("a wrong secret")))
		})
	})

	It("may only look when its UAA client may", func() {
		api.ClientID, api.ReadOnly = cftest.ReaderID, true
		_, err := spaces()
		Expect(err).NotTo(HaveOccurred())
		client, err := connect()
		Expect(err).NotTo(HaveOccurred())
		Expect(client.Post(ctx, "/v3/isolation_segments", map[string]string{"name": "x"}, nil)).To(
			MatchError("the API answered POST /v3/isolation_segments with 403 Forbidden: You are not authorized to perform the requested action (CF-NotAuthorized)"))
	})

	It("reads a list to its last page", func() {
		org := cf.AddOrg("a")
		for i := range 250 {
			cf.AddSpace(org, strconv.Itoa(i))
		}
		Expect(spaces()).To(HaveLen(250))
		Expect(cf.Requests()).To(HaveLen(3))
	})

	It("reads a list again that changed between two pages, so that it misses nothing", func() {
		org := cf.AddOrg("a")
		first := cf.AddSpace(org, "first")
		for i := range 149 {
			cf.AddSpace(org, strconv.Itoa(i))
		}
		cf.Break(cftest.Fault{Path: "/v3/spaces", Skip: 1, Times: 1, Meanwhile: func() { cf.DeleteSpace(first) }})
		Expect(spaces()).To(HaveLen(149))
	})

	It("says that a list changes faster than it can be read", func() {
		org := cf.AddOrg("a")
		for i := range 150 {
			cf.AddSpace(org, strconv.Itoa(i))
		}
		cf.Break(cftest.Fault{Path: "/v3/spaces", Meanwhile: func() { cf.AddSpace(org, "one more") }})
		_, err := spaces()
		Expect(err).To(MatchError("reading /v3/spaces: it changed on each of 5 readings"))
	})

	It("passes filters on", func() {
		org := cf.AddOrg("a")
		cf.AddSpace(org, "one")
		cf.AddSpace(org, "two")
		client, err := connect()
		Expect(err).NotTo(HaveOccurred())
		found, err := cfapi.List[struct{ Name string }](ctx, client, "/v3/spaces", url.Values{"names": {"two"}})
		Expect(err).NotTo(HaveOccurred())
		Expect(found).To(HaveLen(1))
	})

	DescribeTable("waits and asks again",
		func(fault cftest.Fault, want string) {
			cf.AddSpace(cf.AddOrg("a"), "one")
			fault.Path, fault.Times = "/v3/spaces", 2
			cf.Break(fault)
			Expect(spaces()).To(Equal([]string{"one"}))
			Expect(notices).To(HaveLen(2))
			Expect(notices).To(HaveEach(ContainSubstring(want)))
			Expect(cf.Clock.Slept()).To(HaveLen(2))
			Expect(cf.Clock.Slept()[1]).To(BeNumerically(">", cf.Clock.Slept()[0]), "longer each time")
		},
		Entry("after 500", cftest.Fault{Status: 500}, "answer 500 Internal Server Error to GET 127.0.0.1"),
		Entry("after 502", cftest.Fault{Status: 502}, "answer 502"),
		Entry("after 503", cftest.Fault{Status: 503}, "answer 503"),
		Entry("after 504", cftest.Fault{Status: 504}, "answer 504"),
		Entry("after 429 without a time", cftest.Fault{Status: 429}, "answer 429 Too Many Requests"),
	)

	It("asks again when the connection is cut", func() {
		cf.AddSpace(cf.AddOrg("a"), "one")
		cf.Break(cftest.Fault{Path: "/v3/spaces", Times: 4})
		Expect(spaces()).To(Equal([]string{"one"}))
		Expect(notices).To(ContainElement(ContainSubstring("no answer (EOF)")))
	})

	It("waits for a token, too", func() {
		cf.Break(cftest.Fault{Path: "/oauth/token", Status: 503, Times: 2})
		_, err := spaces()
		Expect(err).NotTo(HaveOccurred())
		Expect(notices).To(HaveLen(2))
	})

	DescribeTable("waits as long as the API asks for",
		func(value func() string, want time.Duration) {
			cf.Break(cftest.Fault{Path: "/v3/spaces", Status: 429, Times: 1, Header: http.Header{"Retry-After": {value()}}})
			_, err := spaces()
			Expect(err).NotTo(HaveOccurred())
			Expect(cf.Clock.Slept()).To(Equal([]time.Duration{want}))
		},
		Entry("in seconds", func() string { return "90" }, 90*time.Second),
		Entry("as a date", func() string { return cf.Clock.Now().Add(5 * time.Minute).Format(http.TimeFormat) }, 5*time.Minute),
		Entry("as the Cloud Controller's rate limiter does, in seconds since 1970",
			func() string { return strconv.FormatInt(cf.Clock.Now().Add(20*time.Minute).Unix(), 10) }, 20*time.Minute),
	)

	It("does not wait longer than the rate limit lasts", func() {
		cf.Break(cftest.Fault{Path: "/v3/spaces", Status: 429, Header: http.Header{"Retry-After": {"86400"}}})
		_, err := spaces()
		Expect(err).To(MatchError(ContainSubstring("429 Too Many Requests")))
		Expect(notices).To(ConsistOf(ContainSubstring("the API asks to wait for 24h0m0s: that is too long")))
		Expect(cf.Clock.Slept()).To(BeEmpty())
	})

	It("gives up in the end, with the last answer", func() {
		cf.Break(cftest.Fault{Path: "/v3/spaces", Status: 502})
		_, err := spaces()
		Expect(err).To(MatchError("the API answered GET /v3/spaces with 502 Bad Gateway"))
		Expect(cf.Requests()).To(HaveLen(8))
	})

	It("stops waiting when it is told to stop", func() {
		client, err := connect()
		Expect(err).NotTo(HaveOccurred())
		cf.Break(cftest.Fault{Path: "/v3/apps", Status: 503})
		stopped, stop := context.WithCancel(ctx)
		stop()
		Expect(client.Get(stopped, "/v3/apps", nil)).To(MatchError(context.Canceled))
	})

	It("gets a new token when the old one is not taken any more, and sends the whole request again", func() {
		client, err := connect()
		Expect(err).NotTo(HaveOccurred())
		Expect(client.Get(ctx, "/v3/spaces", nil)).To(Succeed())
		cf.RevokeTokens()
		Expect(client.Post(ctx, "/v3/isolation_segments", map[string]string{"name": "x"}, nil)).To(Succeed())
		Expect(cf.Segment("x")).NotTo(BeNil())
		Expect(cf.Clock.Sleep(ctx, time.Hour)).To(Succeed())
		Expect(client.Get(ctx, "/v3/spaces", nil)).To(Succeed(), "after the token's time")
	})

	It("waits until what it deletes is gone, and is content if it is gone already", func() {
		cf.AddGroup(cftest.Group{Name: "g"})
		client, err := connect()
		Expect(err).NotTo(HaveOccurred())
		Expect(client.Delete(ctx, "/v3/security_groups/"+cf.Group("g").GUID)).To(Succeed())
		Expect(cf.Group("g")).To(BeNil())
		Expect(client.Delete(ctx, "/v3/security_groups/no-such-group")).To(Succeed())
	})

	It("says why a job failed", func() {
		group := cf.AddGroup(cftest.Group{Name: "g"})
		cf.FailJobs()
		client, err := connect()
		Expect(err).NotTo(HaveOccurred())
		Expect(client.Delete(ctx, "/v3/security_groups/"+group.GUID)).To(
			MatchError("waiting for DELETE /v3/security_groups/" + group.GUID + ": the job failed: something went wrong (CF-UnprocessableEntity)"))
	})
})
