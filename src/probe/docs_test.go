package probe_test

import (
	"encoding"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/probe"
)

var _ = Describe("docs/status.md", func() {
	section := func(title string) string {
		data, err := os.ReadFile("../../docs/status.md")
		Expect(err).NotTo(HaveOccurred())
		_, rest, found := strings.Cut(string(data), "\n## "+title+"\n")
		Expect(found).To(BeTrue(), title)
		text, _, _ := strings.Cut(rest, "\n## ")
		return text
	}
	table := func(text string) (rows []string) {
		for _, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, "| `") {
				rows = append(rows, line)
			}
		}
		return rows
	}

	It("describes every field that is served, and no other", func() {
		rows := strings.Join(table(section("Fields")), "\n")
		described := map[string]bool{}
		for _, match := range regexp.MustCompile("`([a-z0-9_]+)(?:\\[\\])?`").FindAllStringSubmatch(rows, -1) {
			described[match[1]] = true
		}
		served := map[string]bool{}
		fields(reflect.TypeFor[probe.Status](), served)
		for name := range served {
			Expect(described).To(HaveKey(name))
		}
		// Words in backticks that are values and not fields.
		for _, value := range []string{"gateway", "cell", "on", "off", "unknown", "customer", "platform", "between"} {
			delete(described, value)
		}
		for name := range described {
			Expect(served).To(HaveKey(name))
		}
	})

	It("describes every metric, and no other", func() {
		described := regexp.MustCompile(`privnet_[a-z0-9_]+`).FindAllString(strings.Join(table(section("Metrics")), "\n"), -1)
		Expect(described).To(ConsistOf(slices.Collect(maps.Keys(probe.MetricLabels()))))
	})
})

// fields gathers the names of a type's fields in JSON, with those of its fields.
func fields(t reflect.Type, out map[string]bool) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t.Implements(reflect.TypeFor[encoding.TextMarshaler]()) {
		return
	}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" {
			out[name] = true
		}
		if name != "" || f.Anonymous {
			fields(f.Type, out)
		}
	}
}
