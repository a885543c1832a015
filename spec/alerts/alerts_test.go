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

var metric = regexp.MustCompile(`\bprivnet[_:][a-z0-9_:]+`)

// unknown are the metrics in a query that neither the prober exports nor a rule records.
func unknown(query string) (out []string) {
	GinkgoHelper()
	known := probe.MetricNames()
	for _, r := range rules() {
		if r.Record != "" {
			known = append(known, r.Record)
		}
	}
	for _, name := range metric.FindAllString(query, -1) {
		if !slices.Contains(known, name) && !slices.Contains(known, strings.TrimSuffix(name, "_bucket")) {
			out = append(out, name)
		}
	}
	return out
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
		Targets            []struct{ Expr string }
	}
	var dashboard struct {
		UID    string
		Panels []panel
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
			}
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
