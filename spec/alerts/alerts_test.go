package alerts_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"gopkg.in/yaml.v3"

	"privnet/probe"
)

const config = "../../config/"

func read(name string) string {
	GinkgoHelper()
	data, err := os.ReadFile(config + name)
	Expect(err).NotTo(HaveOccurred())
	return string(data)
}

type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

func rules() (out []rule) {
	GinkgoHelper()
	var file struct {
		Groups []struct{ Rules []rule }
	}
	Expect(yaml.Unmarshal([]byte(read("prometheus/rules.yml")), &file)).To(Succeed())
	for _, group := range file.Groups {
		out = append(out, group.Rules...)
	}
	Expect(out).NotTo(BeEmpty())
	return out
}

func alerts() (out []string) {
	GinkgoHelper()
	for _, r := range rules() {
		if r.Alert != "" {
			out = append(out, r.Alert)
		}
	}
	return out
}

var (
	selector = regexp.MustCompile(`\b(privnet[_:][a-z0-9_:]+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`([a-z_]+)(?:=|!=|=~|!~)"`)
	legend   = regexp.MustCompile(`\{\{([a-z_]+)\}\}`)
)

// unknown are the metrics in a query that neither the prober exports nor a rule records, and the labels in its
// selectors that the metric does not have.
func unknown(query string) (out []string) {
	GinkgoHelper()
	var recorded []string
	for _, r := range rules() {
		recorded = append(recorded, r.Record)
	}
	for _, match := range selector.FindAllStringSubmatch(query, -1) {
		name, selected := match[1], match[2]
		known, exported := labels(name)
		if !exported && !slices.Contains(recorded, name) {
			out = append(out, name)
		}
		for _, label := range matcher.FindAllStringSubmatch(selected, -1) {
			if exported && !slices.Contains(known, label[1]) {
				out = append(out, name+" by "+label[1])
			}
		}
	}
	return out
}

// labels are those that a series of the metric has once it is scraped, and whether the prober exports it.
func labels(name string) ([]string, bool) {
	own, exported := probe.MetricLabels()[strings.TrimSuffix(name, "_bucket")]
	all := append([]string{"org", "gateway", "instance"}, own...)
	if strings.HasSuffix(name, "_bucket") {
		all = append(all, "le")
	}
	return all, exported
}

var _ = Describe("The rules", func() {
	DescribeTable("do what their cases say, as promtool finds", func(arguments ...string) {
		promtool, err := exec.LookPath("promtool")
		Expect(err).NotTo(HaveOccurred(), "scripts/install-tools installs it, with Debian's package prometheus")
		cmd := exec.Command(promtool, arguments...)
		cmd.Dir = config + "prometheus"
		output, err := cmd.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(output))
	},
		Entry(nil, "check", "rules", "rules.yml"),
		Entry(nil, "test", "rules", "rules_test.yml"),
		Entry(nil, "test", "rules", "slow_rules_test.yml"),
	)

	It("speak of metrics that the prober exports", func() {
		for _, r := range rules() {
			Expect(r.Expr).To(ContainSubstring("privnet"))
			Expect(unknown(r.Expr)).To(BeEmpty(), r.Alert+r.Record)
		}
	})

	It("have a case for each alert, and say nothing on a healthy connection", func() {
		cases := read("prometheus/rules_test.yml")
		slow := read("prometheus/slow_rules_test.yml")
		for _, alert := range alerts() {
			Expect(cases+slow).To(MatchRegexp(`alertname: `+alert+`\n    exp_alerts:\n    - exp_labels`), alert)
			Expect(cases).To(ContainSubstring("{eval_time: 50m, alertname: " + alert + "}"))
		}
	})

	It("have cases of series as the prober exports them, with all their labels", func() {
		series := regexp.MustCompile(`series: '(privnet_[a-z_]+)\{(.*)\}'`)
		for _, file := range []string{"prometheus/rules_test.yml", "prometheus/slow_rules_test.yml"} {
			found := series.FindAllStringSubmatch(read(file), -1)
			Expect(found).To(HaveLen(strings.Count(read(file), "series: '")))
			for _, s := range found {
				var has []string
				for _, label := range matcher.FindAllStringSubmatch(s[2], -1) {
					has = append(has, label[1])
				}
				known, exported := labels(s[1])
				Expect(exported).To(BeTrue(), s[1])
				Expect(has).To(ConsistOf(known), s[0])
			}
		}
	})

	It("have for each alert a severity, a sentence, and an entry in the runbook, which has no other", func() {
		runbook := read("runbook.md")
		var entries []string
		for _, section := range strings.Split(runbook, "\n## ")[1:] {
			name, text, _ := strings.Cut(section, "\n")
			entries = append(entries, name)
			Expect(text).To(And(ContainSubstring("Whose side:"), ContainSubstring("At 3 a.m.:")), name)
		}
		Expect(entries).To(ConsistOf(alerts()))
		for _, r := range rules() {
			if r.Alert == "" {
				continue
			}
			Expect(r.Labels).To(HaveKeyWithValue("severity", BeElementOf("critical", "warning", "info")), r.Alert)
			Expect(r.Annotations["summary"]).To(HaveSuffix("."), r.Alert)
			Expect(r.Annotations["runbook"]).To(Equal("config/runbook.md#" + strings.ToLower(r.Alert)))
		}
	})
})

var _ = Describe("The dashboard", func() {
	type panel struct {
		Title, Description string
		GridPos            struct{ X, Y, W, H int }
		Targets            []struct{ Expr, LegendFormat string }
	}
	var dashboard struct {
		UID        string
		Panels     []panel
		Templating struct {
			List []struct {
				Name  string
				Query any
			}
		}
	}

	BeforeEach(func() {
		Expect(json.Unmarshal([]byte(read("grafana/private-network.json")), &dashboard)).To(Succeed())
	})

	It("shows metrics that the prober exports, each panel with what it means", func() {
		Expect(dashboard.Panels).NotTo(BeEmpty())
		for _, p := range dashboard.Panels {
			Expect(p.Title).NotTo(BeEmpty())
			Expect(p.Description).NotTo(BeEmpty(), p.Title)
			Expect(p.Targets).NotTo(BeEmpty(), p.Title)
			for _, t := range p.Targets {
				Expect(t.Expr).To(ContainSubstring("privnet"), p.Title)
				Expect(unknown(t.Expr)).To(BeEmpty(), p.Title)
				var known []string
				for _, metric := range selector.FindAllStringSubmatch(t.Expr, -1) {
					has, exported := labels(metric[1])
					if !exported {
						has = append(has, "pair", "target") // what is recorded is of these
					}
					known = append(known, has...)
				}
				for _, label := range legend.FindAllStringSubmatch(t.LegendFormat, -1) {
					Expect(known).To(ContainElement(label[1]), p.Title)
				}
			}
		}
		for _, v := range dashboard.Templating.List {
			query, err := json.Marshal(v.Query)
			Expect(err).NotTo(HaveOccurred())
			Expect(unknown(strings.ReplaceAll(string(query), `\"`, `"`))).To(BeEmpty(), v.Name)
		}
	})

	It("has no panel upon another", func() {
		for i, p := range dashboard.Panels {
			for _, q := range dashboard.Panels[:i] {
				a, b := p.GridPos, q.GridPos
				Expect(a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H).To(BeFalse(), p.Title+" and "+q.Title)
			}
		}
	})

	It("has queries that Prometheus understands", func() {
		var file strings.Builder
		file.WriteString("groups:\n- name: dashboard\n  rules:\n")
		for _, p := range dashboard.Panels {
			for _, t := range p.Targets {
				query := strings.ReplaceAll(t.Expr, "$__rate_interval", "5m")
				quoted, err := json.Marshal(query)
				Expect(err).NotTo(HaveOccurred())
				file.WriteString("  - {record: x, expr: " + string(quoted) + "}\n")
			}
		}
		path := GinkgoT().TempDir() + "/queries.yml"
		Expect(os.WriteFile(path, []byte(file.String()), 0o600)).To(Succeed())
		output, err := exec.Command("promtool", "check", "rules", "--lint=none", path).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(output))
	})
})
