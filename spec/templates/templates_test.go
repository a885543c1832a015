package templates_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"gopkg.in/yaml.v3"
)

var _ = Describe("Every job", func() {
	It("is deployed here in each of its roles", func() {
		var jobs []string
		for _, p := range places {
			jobs = append(jobs, p.job)
		}
		Expect(slices.Compact(slices.Sorted(slices.Values(jobs)))).To(ConsistOf(jobNames))
	})

	for _, name := range jobNames {
		It("has a name, and a description and an example of each property: "+name, func() {
			job := readJob(name)
			Expect(job.Name).To(Equal(name))
			for property, definition := range job.Properties {
				Expect(definition.Description).NotTo(BeEmpty(), property)
				Expect(definition.Example).NotTo(BeNil(), property)
			}
		})

		It("renders every template that it has: "+name, func() {
			job := readJob(name)
			sources, err := filepath.Glob(filepath.Join(job.Dir, "templates", "*"))
			Expect(err).NotTo(HaveOccurred())
			for _, source := range sources {
				Expect(job.Templates).To(HaveKey(filepath.Base(source)))
			}
			Expect(job.Templates).To(HaveLen(len(sources)))
		})
	}
})

var _ = Describe("Rendered as", func() {
	for _, name := range slices.Sorted(maps.Keys(places)) {
		Describe(name, func() {
			var files map[string]string
			job := places[name].job

			BeforeEach(func() {
				var err error
				files, err = render(name, nil)
				Expect(err).NotTo(HaveOccurred())
			})

			It("has JSON as pretty_generate writes it, a line a value", func() {
				for path, content := range files {
					if strings.HasSuffix(path, ".json") {
						var pretty bytes.Buffer
						Expect(json.Indent(&pretty, []byte(content), "", "  ")).To(Succeed(), path)
						Expect(strings.TrimSpace(content)).To(Equal(strings.TrimSpace(pretty.String())), path)
					}
				}
			})

			It("has scripts that shellcheck accepts", func() {
				for path, content := range files {
					if strings.HasPrefix(path, "bin/") {
						check := exec.Command("shellcheck", "-")
						check.Stdin = strings.NewReader(content)
						out, err := check.CombinedOutput()
						Expect(err).NotTo(HaveOccurred(), "%s: %s", path, out)
					}
				}
			})

			It("is watched by monit for exactly the processes that bpm.yml declares", func() {
				var config struct {
					Processes []struct{ Name, Executable string }
				}
				Expect(yaml.Unmarshal([]byte(files["config/bpm.yml"]), &config)).To(Succeed())
				for _, process := range config.Processes {
					Expect(process.Executable).To(HavePrefix("/var/vcap/packages/"))
					start := "/var/vcap/jobs/bpm/bin/bpm start " + job
					if process.Name != job {
						start += " -p " + process.Name
					}
					Expect(files["monit"]).To(ContainSubstring(`start program "%s"`, start))
					Expect(files["monit"]).To(ContainSubstring("/var/vcap/sys/run/bpm/%s/%s.pid", job, process.Name))
				}
				for _, line := range []string{"check process", "start program", "stop program", "group vcap"} {
					Expect(strings.Count(files["monit"], line)).To(Equal(len(config.Processes)), line)
				}
			})

			It("has the keys in psk.json and nowhere else", func() {
				for path, content := range files {
					if path != "config/psk.json" {
						Expect(content).NotTo(Or(ContainSubstring(goodKey), ContainSubstring(otherKey)), path)
					}
				}
			})

			if places[name].linked {
				It("says which link it lacks", func() {
					p := places[name]
					p.linked = false
					_, err := renderWith(p, nil)
					Expect(err).To(MatchError(ContainSubstring("Can't find link 'private-network'")))
				})
			}
		})
	}
})

// On a deploy BOSH restarts a job whose rendered files changed. So what a change renders anew is a
// promise; here for the properties of the gateway.
var _ = Describe("A change on the gateway", func() {
	DescribeTable("renders anew only the jobs that need it",
		func(change map[string]any, want ...string) {
			var changed []string
			for name := range places {
				before, err := render(name, nil)
				Expect(err).NotTo(HaveOccurred())
				after, err := render(name, change)
				Expect(err).NotTo(HaveOccurred())
				if !maps.Equal(before, after) {
					changed = append(changed, name)
				}
			}
			Expect(changed).To(ConsistOf(want))
		},
		Entry("of the key", map[string]any{"psk_a": otherKey}, "ipsec-gateway"),
		Entry("of which key is used", map[string]any{"active_psk": "a"}, "ipsec-gateway"),
		Entry("of when the other key ends", map[string]any{"psk_overlap_until": nil}, "ipsec-gateway"),
		Entry("of a waiver", map[string]any{"waivers": nil}, "ipsec-gateway"),
		Entry("of the IKE version", map[string]any{"ike": "2"}, "ipsec-gateway"),
		Entry("of the crypto policy", map[string]any{"policy": "modern"}, "ipsec-gateway"),
		Entry("of charon's log level", map[string]any{"log_level": 1}, "ipsec-gateway"),
		Entry("of the private networks", map[string]any{"private_networks": []any{"10.150.0.0/15"}},
			"ipsec-gateway", "egress-enforcer/gateway", "egress-enforcer/cell", "tunnel-prober/gateway", "tunnel-prober/cell", "org-isolation",
			"tunnel-doctor/gateway", "tunnel-doctor/cell"),
		Entry("of what may be opened", map[string]any{"inbound": []any{}}, "egress-enforcer/gateway", "egress-enforcer/cell"),
		Entry("of the path's MTU", map[string]any{"path_mtu": 1300}, "egress-enforcer/gateway", "tunnel-doctor/gateway"),
		Entry("of what is probed", map[string]any{"probes": []any{}}, "tunnel-prober/gateway", "tunnel-prober/cell",
			"tunnel-doctor/gateway", "tunnel-doctor/cell"),
	)
})
