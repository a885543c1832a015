package templates_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"gopkg.in/yaml.v3"

	"privnet/onboard/jobs"
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

// On a deploy BOSH restarts a job whose rendered files changed. So what a change renders anew is a promise,
// and privnet plan tells the operator by package jobs.
var _ = Describe("A change of any of the gateway's properties", func() {
	for _, name := range slices.Sorted(maps.Keys(places)) {
		place := places[name]
		if !place.linked && place.job != "ipsec-gateway" {
			continue
		}
		It("renders anew what package jobs says: "+name, func() {
			gateway := readJob("ipsec-gateway")
			properties := slices.Sorted(maps.Keys(gateway.Properties))
			if place.linked {
				properties = gateway.Provides[0].Properties
			}
			before, err := render(name, nil)
			Expect(err).NotTo(HaveOccurred())
			var changed []string
			for _, property := range properties {
				value := gateway.Properties[property].Example
				if instead, ok := place.changes[property]; ok {
					value = instead
				}
				if value == nil {
					value = gateway.Properties[property].Example
				} else {
					value = another(value)
				}
				after, err := render(name, map[string]any{property: value})
				Expect(err).NotTo(HaveOccurred())
				if !maps.Equal(before, after) {
					changed = append(changed, property)
				}
			}
			role := strings.TrimPrefix(strings.TrimPrefix(name, place.job), "/")
			Expect(changed).To(ConsistOf(jobs.Rendered(jobs.Place{Job: place.job, Role: role})))
		})
	}
})

// another is a value of the same kind.
func another(value any) any {
	switch v := value.(type) {
	case bool:
		return !v
	case int:
		return v + 1
	case []any:
		return v[1:]
	case map[string]any:
		out := maps.Clone(v)
		for key := range out {
			out[key] = another(out[key])
		}
		return out
	default:
		return fmt.Sprint(v, "x")
	}
}
