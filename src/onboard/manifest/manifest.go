// Package manifest reads the operator's own Cloud Foundry manifest, as it is after the operator's other
// ops-files, and knows what of it a dedicated group of cells depends on. It never writes a manifest:
// package render makes operations out of what it finds.
package manifest

import (
	"fmt"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"

	"privnet/document"
	"privnet/onboard/tree"
)

// Release is the name of this BOSH release.
const Release = "private-network"

// Manifest is a BOSH manifest with its aliases expanded.
type Manifest struct {
	File string
	Root *yaml.Node
}

// Group is one instance group.
type Group struct {
	Name string
	Node *yaml.Node
}

// Job is one job of a group.
type Job struct {
	Group, Name string
	Node        *yaml.Node
}

// Parse reads a manifest. One that has a literal secret in it is refused, because what is cloned from it
// ends in files that are kept in git; so is one in which a name is given twice, as a director does. The error is
// document.Problems.
func Parse(file string, data []byte) (Manifest, error) {
	if err := document.CheckText(file, data); err != nil {
		return Manifest{}, err
	}
	root, err := tree.Parse(data)
	if err != nil {
		return Manifest{}, document.Malformed(file, err)
	}
	m := Manifest{File: file, Root: root}
	if len(tree.Elements(tree.Get(root, "instance_groups"))) == 0 {
		return Manifest{}, document.Problems{{File: file, Field: "instance_groups", Want: "is missing; give the whole manifest that the platform is deployed with"}}
	}
	problems := m.names()
	if m.Name() == "" {
		problems = append(problems, m.Problem(nil, "name", "is missing; give the whole manifest that the platform is deployed with"))
	}
	return m, append(problems, m.secrets()...).Err()
}

// names are the problems of groups, and of jobs within a group, that have no name or another's.
func (m Manifest) names() document.Problems {
	var out document.Problems
	check := func(list *yaml.Node, field string) {
		seen := map[string]bool{}
		for _, n := range tree.Elements(list) {
			switch name := tree.Text(n, "name"); {
			case name == "":
				out = append(out, m.Problem(n, field, "has an element without a name; give it one"))
			case seen[name]:
				out = append(out, m.Problem(n, field, "has %s twice; give each a name of its own", name))
			default:
				seen[name] = true
			}
		}
	}
	check(tree.Get(m.Root, "instance_groups"), "instance_groups")
	for _, g := range m.Groups() {
		check(tree.Get(g.Node, "jobs"), g.Name+".jobs")
	}
	return out
}

// Name is the deployment's name.
func (m Manifest) Name() string { return tree.Text(m.Root, "name") }

// Groups are the manifest's instance groups.
func (m Manifest) Groups() []Group {
	var out []Group
	for _, n := range tree.Elements(tree.Get(m.Root, "instance_groups")) {
		out = append(out, Group{Name: tree.Text(n, "name"), Node: n})
	}
	return out
}

// Group finds an instance group.
func (m Manifest) Group(name string) (Group, bool) {
	n := tree.Named(tree.Get(m.Root, "instance_groups"), name)
	return Group{Name: name, Node: n}, n != nil
}

// Variable finds a variable's definition; nil if there is none.
func (m Manifest) Variable(name string) *yaml.Node {
	return tree.Named(tree.Get(m.Root, "variables"), name)
}

// ReleaseEntry is the manifest's entry for a release; nil if there is none.
func (m Manifest) ReleaseEntry(name string) *yaml.Node {
	return tree.Named(tree.Get(m.Root, "releases"), name)
}

// Stemcell is the manifest's entry for a stemcell by its alias; nil if there is none.
func (m Manifest) Stemcell(alias string) *yaml.Node {
	for _, entry := range tree.Elements(tree.Get(m.Root, "stemcells")) {
		if tree.Text(entry, "alias") == alias {
			return entry
		}
	}
	return nil
}

// Problem is a problem of a place in the manifest.
func (m Manifest) Problem(n *yaml.Node, field, format string, args ...any) document.Problem {
	p := document.Problem{File: m.File, Field: field, Want: fmt.Sprintf(format, args...)}
	if n != nil {
		p.Line = n.Line
	}
	return p
}

// Jobs are the group's jobs.
func (g Group) Jobs() []Job {
	var out []Job
	for _, n := range tree.Elements(tree.Get(g.Node, "jobs")) {
		out = append(out, Job{Group: g.Name, Name: tree.Text(n, "name"), Node: n})
	}
	return out
}

// Job finds a job of the group.
func (g Group) Job(name string) (Job, bool) {
	n := tree.Named(tree.Get(g.Node, "jobs"), name)
	return Job{Group: g.Name, Name: name, Node: n}, n != nil
}

// Org is the link by which the group belongs to an org's private network; empty for the platform's own
// groups.
func (g Group) Org() string {
	for _, job := range g.Jobs() {
		if tree.Text(job.Node, "release") != Release {
			continue
		}
		if link := tree.Text(job.Node, "provides", "private-network", "as"); link != "" {
			return link
		}
		if link := tree.Text(job.Node, "consumes", "private-network", "from"); link != "" {
			return link
		}
	}
	return ""
}

// activePSK is the gateway's property that names one of its keys.
const activePSK = "active_psk"

// secretKey are names of properties whose value is a secret, and never its name or place.
var secretKey = regexp.MustCompile(`(^|[_-])(password|passwd|secret|secrets|private_key|passphrase|psk|psk_a|psk_b|api_key|secret_key|secret_access_key)$`)

func (m Manifest) secrets() document.Problems {
	var out document.Problems
	tree.Walk(m.Root, func(path []string, scalar *yaml.Node) {
		if len(path) == 0 || scalar.Value == "" || strings.Contains(scalar.Value, "((") || scalar.Tag == "!!bool" || scalar.Tag == "!!null" {
			return
		}
		name := path[len(path)-1]
		if strings.Contains(scalar.Value, "PRIVATE KEY-----") || name != activePSK && secretKey.MatchString(name) {
			out = append(out, m.Problem(scalar, strings.Join(path, "."),
				"holds a literal secret; write a ((variable)) in its place, so that no secret is copied into a file"))
		}
	})
	return out
}
