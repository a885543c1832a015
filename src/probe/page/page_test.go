package page_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/net/html"

	"privnet/probe"
	"privnet/probe/health"
	"privnet/probe/page"
)

func draw(o probe.Overview, options page.Options) string {
	GinkgoHelper()
	content, err := page.Render(o, options)
	Expect(err).NotTo(HaveOccurred())
	return string(content)
}

var states = map[string]func() probe.Overview{"up": up, "partial": partial, "down": down, "unknown": unknown, "cell": cell}

// text is what a page says, without its form.
func text(content string) string {
	_, body, _ := strings.Cut(content, "<body>")
	body = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(body, " ")
	return regexp.MustCompile(`\s+`).ReplaceAllString(body, " ")
}

// onlyMarkup reads a page as a browser does, and looks for what can run or load anything.
func onlyMarkup(content string) {
	GinkgoHelper()
	tokens := html.NewTokenizer(strings.NewReader(content))
	for {
		switch tokens.Next() {
		case html.ErrorToken:
			Expect(tokens.Err()).To(Equal(io.EOF))
			return
		case html.StartTagToken, html.SelfClosingTagToken:
			token := tokens.Token()
			Expect(token.Data).NotTo(BeElementOf("script", "b", "link", "img", "iframe", "object", "embed", "form", "base"), token.String())
			for _, a := range token.Attr {
				Expect(a.Key).NotTo(Or(HavePrefix("on"), Equal("style"), Equal("src"), Equal("srcset")), token.String())
			}
		}
	}
}

var _ = Describe("The page", func() {
	It("says first whether traffic passes, since when, and why not", func() {
		Expect(text(draw(up(), page.Options{}))).To(HavePrefix(" Private network of agency-a , seen from gateway 10.20.0.4 Traffic passes up for 5 hours As of 23 November 2026, 14:20:00 UTC."))
		Expect(text(draw(partial(), page.Options{}))).To(ContainSubstring("Some traffic passes, some does not partial for 50 minutes 10.20.0.0/26=172.30.8.0/22: phase 1 with 198.51.100.10 is up, but"))
		Expect(text(draw(down(), page.Options{}))).To(ContainSubstring("No traffic passes down for 41 minutes"))
		Expect(text(draw(unknown(), page.Options{}))).To(ContainSubstring("Nobody knows whether traffic passes"))
	})

	It("draws the way from the apps to the private network, with the state of each hop in words", func() {
		way := func(o probe.Overview) string {
			_, rest, _ := strings.Cut(draw(o, page.Options{}), `<ol class="way" role="list">`)
			list, _, _ := strings.Cut(rest, "</ol>")
			return text("<body>" + list)
		}
		Expect(way(up())).To(MatchRegexp(`Apps 10\.20\.0\.0/26 not seen from here .* Egress rules on this VM on .* Gateway 10\.20\.0\.4 IKE daemon answers .*Tunnel to 198\.51\.100\.10 up, IKEv2 .* Private network 10\.150\.0\.0/16, 172\.30\.8\.0/22 2 of 2 pairs work 2 of 2 targets answer`))
		Expect(way(down())).To(MatchRegexp(`Tunnel to 198\.51\.100\.10 down phase 1 has begun and is not complete .* 0 of 2 pairs work 0 of 2 targets answer`))
		Expect(way(partial())).To(MatchRegexp(`up, IKEv2 .* not as it is configured now .* 1 of 2 pairs work 2 of 2 targets answer`))
		Expect(way(unknown())).To(MatchRegexp(`Egress rules on this VM not known .* IKE daemon does not answer .* Tunnel to 198\.51\.100\.10 not known .* not known no target was asked yet`))
		two := up()
		two.Status.Tunnels = append(two.Status.Tunnels, probe.Tunnel{Endpoint: netip.MustParseAddr("198.51.100.11")})
		Expect(way(two)).To(MatchRegexp(`Tunnel to 198\.51\.100\.10 up, IKEv2 .* Tunnel to 198\.51\.100\.11 down the endpoint has not connected .* 2 of 2 pairs work`))
		Expect(regexp.MustCompile(`class="station (\w+)"`).FindAllString(draw(two, page.Options{}), -1)).To(HaveExactElements(
			ContainSubstring("unseen"), ContainSubstring("good"), ContainSubstring("good"), ContainSubstring("good"), ContainSubstring("good")), "the way goes by one of them")
		Expect(way(cell())).To(MatchRegexp(`Apps 10\.20\.0\.0/26 here .* Gateway 10\.20\.0\.4 answers Tunnel not seen from here`))
	})

	It("names first what does not work", func() {
		names := regexp.MustCompile(`10\.20\.0\.0/26 ⇄ and (\S+) \w+|(\w+://\S+) \w+`)
		first := func(o probe.Overview) []string { return names.FindAllString(text(draw(o, page.Options{})), -1) }
		Expect(first(up())).To(Equal([]string{"10.20.0.0/26 ⇄ and 10.150.0.0/16 up", "10.20.0.0/26 ⇄ and 172.30.8.0/22 idle", "tcp://10.150.0.10:443 answers", "icmp://10.150.0.11 answers"}))
		Expect(first(partial())).To(Equal([]string{"10.20.0.0/26 ⇄ and 172.30.8.0/22 down", "10.20.0.0/26 ⇄ and 10.150.0.0/16 up", "icmp://10.150.0.11 not", "tcp://10.150.0.10:443 answers"}))
	})

	It("tells what failed, whose side it is on, and what to do; and that it is overcome", func() {
		Expect(text(draw(down(), page.Options{}))).To(MatchRegexp(`What failed The endpoint proves another pre-shared key .*Who The customer changes something .*To do Enter the pre-shared key again`))
		Expect(text(draw(up(), page.Options{}))).To(ContainSubstring("The last failure, overcome since"))
		Expect(text(draw(cell(), page.Options{}))).NotTo(ContainSubstring("failure"))
		many := down()
		many.Status.Failures = slices.Repeat(many.Status.Failures, 200)
		Expect(text(draw(many, page.Options{}))).To(ContainSubstring("These are the newest; 195 more are in the JSON."))
	})

	It("has the last day of every pair and target as a drawing, and in words", func() {
		content := draw(up(), page.Options{})
		Expect(content).To(ContainSubstring(`role="img" aria-label="The last 24 hours: of 20 h watched: up 20 h, partial 2 min, down 16 min"`))
		Expect(content).To(MatchRegexp(`<rect class="down" x="1122\.0" y="0" width="16\.0" height="40"><title>down from 23 Nov 09:02:00 to 23 Nov 09:18:00: the endpoint`))
		Expect(content).To(MatchRegexp(`role="img" aria-label="Round trips of the last 24 hours: 1200 questions, 17 without an answer; answers took 1\d ms on average`))
		Expect(strings.Count(content, `<polyline class="mean"`)).To(BeNumerically(">=", 2))
	})

	It("shows keys by name and age, waivers and what ends when, and what is unlike the configuration", func() {
		Expect(text(draw(partial(), page.Options{}))).To(And(
			ContainSubstring("Pre-shared key with 198.51.100.10 key a, on this VM since 25 August 2026"),
			ContainSubstring("Waiver for modp1024 until 23 March 2027: ASA 5505, replaced in spring; J. Doe"),
			ContainSubstring("The tunnel with 198.51.100.10 still has ike version 1, which the gateway no longer offers.")))
	})

	It("is one file that lets nothing in: no script, no handler, no style but its own, nothing from elsewhere", func() {
		for name, state := range states {
			content := draw(state(), page.Options{Exported: true})
			onlyMarkup(content)
			Expect(content).NotTo(MatchRegexp(`(?i)javascript:|url\(|@import|https?://`), name)
			_, rest, _ := strings.Cut(content, "<style>")
			style, _, _ := strings.Cut(rest, "</style>")
			sum := sha256.Sum256([]byte(style))
			Expect(strings.ReplaceAll(content, "&#43;", "+")).To(ContainSubstring(
				`<meta http-equiv="Content-Security-Policy" content="default-src &#39;none&#39;; style-src &#39;sha256-` + base64.StdEncoding.EncodeToString(sum[:])))
			Expect(content).NotTo(ContainSubstring("href=\"/"), name)
			Expect(strings.Count(content, "<h1")).To(Equal(1))
			Expect(content).To(And(HavePrefix(`<!DOCTYPE html>`), ContainSubstring(`<html lang="en">`), ContainSubstring("<main>"), ContainSubstring(`name="viewport"`)))
		}
	})

	It("takes no word of a stranger for markup", func() {
		const hostile = `"><script>alert(1)</script><b onclick=x style=y>'`
		o := down()
		s := &o.Status
		s.Org, s.Reason, s.Charon.Reason, s.Enforcement.Reason = hostile, hostile, hostile, hostile
		s.Failures = []probe.Failure{{At: now, Parameter: hostile, Got: hostile, Want: hostile, Meaning: hostile, Advice: hostile, Evidence: hostile, Side: hostile}}
		s.Pairs[0].Reason, s.Pairs[0].Algorithms, s.Targets[0].Name, s.Targets[0].Reason = hostile, hostile, hostile, hostile
		s.Tunnels[0].Algorithms, s.Tunnels[0].Established = hostile, true
		s.Configuration.Waivers[0].Algorithm, s.Configuration.Waivers[0].Reason, s.Configuration.Expiries[0].What = hostile, hostile, hostile
		s.Configuration.Healthy, s.Configuration.Reason = false, hostile
		s.Tunnels[0].Differences = []probe.Difference{{Parameter: hostile, Negotiated: hostile}}
		o.Timelines[firstPair] = []health.Span{{State: health.State(hostile), Reason: hostile, From: ago(time.Hour), To: ago(time.Minute)}, {State: health.Down, Reason: hostile, From: ago(time.Minute), To: now}}
		content := draw(o, page.Options{})
		Expect(strings.Count(content, "&lt;script&gt;")).To(BeNumerically(">", 15))
		onlyMarkup(content)
	})

	It("is drawn of whatever is known, also of nothing", func() {
		for _, o := range []probe.Overview{{At: now}, {At: now, Status: probe.Status{Role: probe.RoleCell, Condition: condition(health.Unknown, "x", 0)}}} {
			Expect(draw(o, page.Options{})).To(ContainSubstring("</html>"))
		}
	})
})

type source struct {
	overview probe.Overview
	err      error
}

func (s source) Overview(context.Context) (probe.Overview, error) { return s.overview, s.err }

var _ = Describe("Serving the page", func() {
	get := func(s source, path string) *httptest.ResponseRecorder {
		recorder := httptest.NewRecorder()
		page.Handler(s).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, nil))
		return recorder
	}

	It("comes with a strict content security policy, and is kept by nobody", func() {
		answer := get(source{overview: up()}, "/")
		Expect(answer.Code).To(Equal(http.StatusOK))
		Expect(answer.Header().Get("Content-Security-Policy")).To(MatchRegexp(`^default-src 'none'; style-src 'sha256-[^']+'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'$`))
		Expect(answer.Header().Get("Cache-Control")).To(Equal("no-store"))
		Expect(answer.Body.String()).NotTo(ContainSubstring(`http-equiv="refresh"`))
	})

	It("asks again only if it is told to, and not all the time", func() {
		Expect(get(source{overview: up()}, "/?refresh=10").Body.String()).To(ContainSubstring(`<meta http-equiv="refresh" content="10">`))
		Expect(get(source{overview: up()}, "/?refresh=0").Body.String()).To(ContainSubstring(`content="5">`))
		Expect(get(source{overview: up()}, "/?refresh=x").Body.String()).NotTo(ContainSubstring(`http-equiv="refresh"`))
	})

	It("says so when nobody watches", func() {
		Expect(get(source{err: errors.New("no")}, "/").Code).To(Equal(http.StatusServiceUnavailable))
	})
})

var _ = Describe("In a browser", func() {
	It("the page is shown as it is meant, on a desk and in a hand, by day and by night", func() {
		directory := os.Getenv("SCREENSHOTS")
		if directory == "" {
			Skip("set SCREENSHOTS to a directory for them; needs chromium, which is large")
		}
		browser, err := exec.LookPath("chromium")
		Expect(err).NotTo(HaveOccurred())
		for name, state := range states {
			file := filepath.Join(directory, name+".html")
			Expect(os.WriteFile(file, []byte(draw(state(), page.Options{Exported: true})), 0o600)).To(Succeed())
			for size, window := range map[string]string{"desk": "1200,1900", "hand": "500,3600"} {
				for scheme, flags := range map[string][]string{"day": nil, "night": {"--blink-settings=preferredColorScheme=0"}} {
					picture := filepath.Join(directory, name+"-"+size+"-"+scheme+".png")
					arguments := append([]string{"--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
						"--window-size=" + window, "--screenshot=" + picture, "file://" + file}, flags...)
					output, err := exec.Command(browser, arguments...).CombinedOutput()
					Expect(err).NotTo(HaveOccurred(), string(output))
					Expect(picture).To(BeAnExistingFile())
					Expect(string(output)).NotTo(ContainSubstring("Content Security Policy"))
				}
			}
		}
	})
})
