// Package opsfiles_test looks at the ops-files, the manifests and what privnet renders from the outside:
// through the template and patch code of the bosh CLI, and with the real cf-deployment.
package opsfiles_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/cloudfoundry/bosh-cli/v7/director/template"
	"github.com/cppforlife/go-patch/patch"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"gopkg.in/yaml.v2"
)

func TestOpsFiles(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "spec/opsfiles")
}

// The repository's root, seen from this directory.
var root = filepath.Join("..", "..")

// cfDeployment is the directory of a copy of cf-deployment; without one the spec is skipped.
func cfDeployment() string {
	dir := os.Getenv("CF_DEPLOYMENT_DIR")
	if dir == "" {
		dir = filepath.Join(root, "..", "shared", "cf-deployment")
	}
	if _, err := os.Stat(filepath.Join(dir, "cf-deployment.yml")); err != nil {
		Skip("NO CF-DEPLOYMENT: set CF_DEPLOYMENT_DIR to a copy of github.com/cloudfoundry/cf-deployment")
	}
	return dir
}

func read(path ...string) []byte {
	GinkgoHelper()
	data, err := os.ReadFile(filepath.Join(path...))
	Expect(err).NotTo(HaveOccurred())
	return data
}

// interpolate does what bosh int does with ops-files and variables. It fails on a path that does not apply.
func interpolate(manifest []byte, vars map[string]any, files ...[]byte) []byte {
	GinkgoHelper()
	var ops patch.Ops
	for _, file := range files {
		var definitions []patch.OpDefinition
		Expect(yaml.Unmarshal(file, &definitions)).To(Succeed())
		some, err := patch.NewOpsFromDefinitions(definitions)
		Expect(err).NotTo(HaveOccurred())
		ops = append(ops, some...)
	}
	static := template.StaticVariables{}
	for name, value := range vars {
		static[name] = value
	}
	out, err := template.NewTemplate(manifest).Evaluate(static, ops, template.EvaluateOpts{})
	Expect(err).NotTo(HaveOccurred())
	return out
}

type mapping = map[interface{}]interface{}

func parse(manifest []byte) mapping {
	GinkgoHelper()
	var out mapping
	Expect(yaml.Unmarshal(manifest, &out)).To(Succeed())
	return out
}

// named is a list of a manifest by its elements' names.
func named(m mapping, key string) map[string]mapping {
	out := map[string]mapping{}
	list, _ := m[key].([]interface{})
	for _, element := range list {
		e := element.(mapping)
		out[e["name"].(string)] = e
	}
	return out
}

var variablePattern = regexp.MustCompile(`\(\( ?!?([-/\w\pL]+)[^)]*\)\)`)

// unresolved are the variables that a manifest uses and neither defines nor has a value for.
func unresolved(manifest []byte) []string {
	defined := named(parse(manifest), "variables")
	var out []string
	for _, match := range variablePattern.FindAllSubmatch(manifest, -1) {
		name := string(match[1])
		if _, ok := defined[name]; !ok && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}
