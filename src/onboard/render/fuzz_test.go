package render_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"privnet/onboard/manifest"
	"privnet/onboard/render"
)

// A manifest is made by other tools, and may hold anything that is YAML: it is rendered from or refused.
func FuzzOps(f *testing.F) {
	for _, text := range []string{
		cfManifest, labManifest,
		"instance_groups: [null, 1, {name: diego-cell, jobs: [null, x, {name: rep, provides: nil, consumes: []}], stemcell: {a: b}}]\nvariables: {}\n",
	} {
		f.Add(text)
	}
	RegisterTestingT(f)
	in := input("Agency A", platformFile+"gateway_address: nat\n")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := manifest.Parse("cf.yml", []byte(text))
		if err != nil {
			return
		}
		if _, err := render.Ops(in, m); err != nil {
			return
		}
		if _, err := render.SharedCellGuard(in.Platform, m); err != nil {
			return
		}
	})
}
