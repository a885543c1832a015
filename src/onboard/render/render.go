// Package render turns a plan into what the operator deploys: an ops-file for the operator's own
// manifest, a cloud-config and a firewall table. Renderers are pure: the same input gives the same bytes,
// each operation may be applied twice, and the ops-files of several orgs in any order.
package render

import (
	"strings"

	"gopkg.in/yaml.v3"

	"privnet/connection"
	"privnet/document"
	"privnet/onboard/manifest"
	"privnet/onboard/plan"
	"privnet/onboard/platform"
	"privnet/onboard/removal"
	"privnet/onboard/tree"
)

// Input is all that one org's files are rendered from.
type Input struct {
	Request  connection.Request
	Plan     plan.Plan
	Platform platform.Platform
	// Removal is how far the org's removal is; the zero one is that of an org that stays.
	Removal removal.Removal
}

// pool is the AZ's pool as the org sees it; empty if the platform has it no more.
func (in Input) pool(az string) platform.Pool {
	pool, _ := in.Platform.Pool(az)
	return pool.For(in.Plan.Name)
}

// operation is one go-patch operation.
type operation struct {
	Type  string `yaml:"type"`
	Path  string `yaml:"path"`
	Value any    `yaml:"value"`
}

func replace(path string, value any) operation {
	return operation{Type: "replace", Path: path, Value: value}
}

const opsHeading = `# The private network of %ORG%: cells, gateway, variables. Written by "privnet render" from the
# ledger and from the manifest that it was given; render again instead of editing.
#
#   bosh -d DEPLOYMENT deploy MANIFEST -o THIS-FILE
`

// Ops is the org's ops-file; of an org that is leaving, without what has gone or is to go next. The error is
// document.Problems of the manifest.
func Ops(in Input, m manifest.Manifest) ([]byte, error) {
	names := in.Plan.Names()
	heading := strings.ReplaceAll(opsHeading, "%ORG%", in.Plan.Name)
	if in.Removal.Has(removal.Cells) {
		return tree.Write(heading, []operation{}), nil
	}
	base, problems := cellGroup(in, m)
	groups := []string{names.CellGroup, names.GatewayGroup}
	if in.Platform.OrgIsolation != nil {
		groups = append(groups, IsolationGroup(in.Plan))
	}
	for _, name := range groups {
		if g, there := m.Group(name); there && g.Org() != names.Link {
			problems = append(problems, m.Problem(g.Node, "instance_groups", "has a group %s already that is not this org's; rename it", name))
		}
	}
	ops, err := links(m)
	if err := document.Join(problems.Err(), err); err != nil {
		return nil, err
	}

	if !in.Removal.Has(removal.Apps) {
		cells := cloneCells(in, m, base)
		if err := cells.problems.Err(); err != nil {
			return nil, err
		}
		ops = append(ops, replace("/instance_groups/name="+names.CellGroup+"?", cells.group))
		for _, v := range cells.variables {
			ops = append(ops, variable(v))
		}
		ops = append(ops, isolation(in, m, base)...)
	}
	if in.Plan.OwnGatewayDeployment() == "" {
		ops = append(ops, replace("/instance_groups/name="+names.GatewayGroup+"?", gatewayGroup(in, base)))
		for _, v := range pskVariables(in) {
			ops = append(ops, variable(tree.Of(v)))
		}
	}
	return tree.Write(heading, append(ops, release(m))), nil
}

// cellGroup finds the platform's group of cells in the manifest.
func cellGroup(in Input, m manifest.Manifest) (manifest.Group, document.Problems) {
	base, ok := m.Group(in.Platform.CellGroup)
	if !ok {
		return base, document.Problems{m.Problem(nil, "instance_groups",
			"has no group %s to clone the dedicated cells from; name the group of the platform's cells as cell_group in the platform file", in.Platform.CellGroup)}
	}
	if tree.Text(base.Node, "stemcell") == "" {
		return base, document.Problems{m.Problem(base.Node, base.Name+".stemcell", "is missing; give the stemcell's alias")}
	}
	if jobs := tree.Get(base.Node, "jobs"); jobs == nil || jobs.Kind != yaml.SequenceNode {
		return base, document.Problems{m.Problem(base.Node, base.Name+".jobs", "must be the list of the group's jobs")}
	}
	return base, nil
}

// links makes every end of an ambiguous link in the platform's own groups explicit.
func links(m manifest.Manifest) ([]operation, error) {
	providers, consumers, err := m.Links()
	if err != nil {
		return nil, err
	}
	var ops []operation
	for _, p := range providers {
		ops = append(ops, replace(jobPath(p.Group, p.Job.Name)+"/provides?/"+p.Link+"?/as?", p.Name))
	}
	for _, c := range consumers {
		ops = append(ops, replace(jobPath(c.Group, c.Job.Name)+"/consumes?/"+c.Link+"?/from?", c.Name))
	}
	return ops, nil
}

func jobPath(group, job string) string {
	return "/instance_groups/name=" + group + "/jobs/name=" + job
}

func variable(definition *yaml.Node) operation {
	return replace("/variables?/name="+tree.Text(definition, "name")+"?", definition)
}

func release(m manifest.Manifest) operation {
	return replace("/releases/name="+manifest.Release+"?", releaseEntry(m, manifest.Release))
}

// releaseEntry is the operator's own entry if there is one, so that a final version stays what it is.
func releaseEntry(m manifest.Manifest, name string) any {
	if entry := m.ReleaseEntry(name); entry != nil {
		return entry
	}
	return struct {
		Name    string `yaml:"name"`
		Version string `yaml:"version"`
	}{name, "latest"}
}

type variableDefinition struct {
	Name       string         `yaml:"name"`
	Type       string         `yaml:"type"`
	UpdateMode string         `yaml:"update_mode"`
	Options    map[string]int `yaml:"options"`
}

// pskVariables are keys of 64 characters. no-overwrite keeps a key when the definition changes: a new one
// would cut the customer off.
func pskVariables(in Input) []variableDefinition {
	var out []variableDefinition
	for _, generation := range generations(in.Request) {
		out = append(out, variableDefinition{
			Name: PSKVariable(in.Plan, generation), Type: "password", UpdateMode: "no-overwrite", Options: map[string]int{"length": 64},
		})
	}
	return out
}
