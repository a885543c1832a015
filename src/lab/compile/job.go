package compile

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// Job is one job of a release: what its spec says and where its templates are.
type Job struct {
	Name string
	// Dir holds the file monit and the directory templates.
	Dir string
	// Templates maps a file below templates to its place below /var/vcap/jobs/<job>.
	Templates map[string]string
	// Packages are the names of the packages that the job runs from.
	Packages []string
	Provides []Provide
	Consumes []Consume
	// Properties maps a property's dotted name to its definition.
	Properties map[string]Property
}

// Provide is a link that a job offers, with the dotted names of the properties in it.
type Provide struct {
	Name       string   `yaml:"name"`
	Type       string   `yaml:"type"`
	Properties []string `yaml:"properties"`
}

// Consume is a link that a job asks for.
type Consume struct {
	Name     string `yaml:"name"`
	Type     string `yaml:"type"`
	Optional bool   `yaml:"optional"`
}

// Property is a property's definition. A nil Default means that there is none.
type Property struct {
	Description string `yaml:"description"`
	Default     any    `yaml:"default"`
	Example     any    `yaml:"example"`
}

// ReadJob reads a job from its directory, as it is in the source (spec) or in a release (job.MF).
func ReadJob(dir string) (Job, error) {
	data, err := os.ReadFile(filepath.Join(dir, "job.MF"))
	if os.IsNotExist(err) {
		data, err = os.ReadFile(filepath.Join(dir, "spec"))
	}
	if err != nil {
		return Job{}, fmt.Errorf("reading a job's spec: %w", err)
	}
	var spec struct {
		Name       string
		Templates  map[string]string
		Packages   []string
		Provides   []Provide
		Consumes   []Consume
		Properties map[string]Property
	}
	if err := yaml.Unmarshal(data, &spec); err != nil {
		return Job{}, fmt.Errorf("reading the spec in %s: %w", dir, err)
	}
	return Job{
		Name: spec.Name, Dir: dir, Templates: spec.Templates, Packages: spec.Packages,
		Provides: spec.Provides, Consumes: spec.Consumes, Properties: spec.Properties,
	}, nil
}

// Values picks the job's own properties out of what a manifest gives, with the defaults of its spec,
// as a director does: what the spec does not name is left out, and so is what has no value.
func (j Job) Values(given map[string]any) map[string]any {
	out := map[string]any{}
	for _, name := range slices.Sorted(maps.Keys(j.Properties)) {
		if value := Dig(given, name); value != nil {
			put(out, name, value)
		} else if value := j.Properties[name].Default; value != nil {
			put(out, name, value)
		}
	}
	return out
}

// Pick returns those of a job's values that a link carries.
func (p Provide) Pick(values map[string]any) map[string]any {
	out := map[string]any{}
	for _, name := range p.Properties {
		if value := Dig(values, name); value != nil {
			put(out, name, value)
		}
	}
	return out
}

// Dig returns the value at a dotted name, or nil.
func Dig(values map[string]any, name string) any {
	first, rest, nested := strings.Cut(name, ".")
	if !nested {
		return values[first]
	}
	inner, _ := values[first].(map[string]any)
	return Dig(inner, rest)
}

func put(values map[string]any, name string, value any) {
	first, rest, nested := strings.Cut(name, ".")
	if !nested {
		values[first] = value
		return
	}
	inner, ok := values[first].(map[string]any)
	if !ok {
		inner = map[string]any{}
		values[first] = inner
	}
	put(inner, rest, value)
}
