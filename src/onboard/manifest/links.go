package manifest

import (
	"slices"

	"gopkg.in/yaml.v3"

	"privnet/document"
	"privnet/onboard/tree"
)

// A director matches a consumer that names no provider by the link's type alone, and fails when two
// provide it. A second group of cells makes a second provider of each of these, so each consumer must
// name its own. What a job provides and consumes is in its release, not in the manifest; this is from
// the job specs of garden-runc-release and silk-release.
var (
	provided = map[string][]link{
		"garden":             {{"iptables", "iptables"}},
		"vxlan-policy-agent": {{"vpa", "policy-agent"}},
		"silk-cni":           {{"cni_config", "cni_config"}},
	}
	consumed = map[string][]link{
		"vxlan-policy-agent": {{"cni_config", "cni_config"}, {"iptables", "iptables"}},
		"silk-daemon":        {{"vpa", "policy-agent"}, {"iptables", "iptables"}},
		"silk-cni":           {{"vpa", "policy-agent"}},
	}
)

type link struct{ name, kind string }

// End is one end of a link: what a job calls it, its type, and the name under which the deployment knows
// the provider. An empty name means that the manifest does not say.
type End struct {
	Job
	Link, Type, Name string
}

// Provides are the links of the known types that the group provides; one that the manifest turns off
// with nil is left out.
func (g Group) Provides() []End {
	var out []End
	for _, job := range g.Jobs() {
		for _, l := range provided[job.Name] {
			entry := tree.Get(job.Node, "provides", l.name)
			if !isNil(entry) {
				out = append(out, End{Job: job, Link: l.name, Type: l.kind, Name: tree.Text(entry, "as")})
			}
		}
	}
	return out
}

// Consumes are the links of the known types that the group consumes.
func (g Group) Consumes() []End {
	var out []End
	for _, job := range g.Jobs() {
		for _, l := range consumed[job.Name] {
			entry := tree.Get(job.Node, "consumes", l.name)
			if !isNil(entry) {
				out = append(out, End{Job: job, Link: l.name, Type: l.kind, Name: tree.Text(entry, "from")})
			}
		}
	}
	return out
}

// isNil says whether a link is turned off. BOSH takes the word, and YAML's null counts as nothing said.
func isNil(entry *yaml.Node) bool {
	return entry != nil && entry.Kind == yaml.ScalarNode && entry.Value == "nil"
}

// ProviderName is the name that a group's provider gets when the operator gave it none.
func ProviderName(link, group string) string { return link + "-" + group }

// Links says by which name each provider of the platform's own groups must be known and each consumer
// must ask for it, so that more groups of cells can come without any of them meeting the wrong one.
// Names that the operator gave are kept. An end whose Name is already what it must be is in the result
// too: the operations are the same before and after they were applied.
func (m Manifest) Links() (providers, consumers []End, err error) {
	var problems document.Problems
	byType := map[string][]End{}
	for _, g := range m.Groups() {
		if g.Org() != "" {
			continue
		}
		for _, p := range g.Provides() {
			ours := ProviderName(p.Link, g.Name)
			if p.Name == "" || p.Name == ours {
				p.Name = ours
				providers = append(providers, p)
			}
			byType[p.Type] = append(byType[p.Type], p)
		}
	}
	for _, g := range m.Groups() {
		if g.Org() != "" {
			continue
		}
		for _, c := range g.Consumes() {
			candidates := byType[c.Type]
			if len(candidates) == 0 {
				continue
			}
			i := slices.IndexFunc(candidates, func(p End) bool { return p.Group == c.Group })
			if i < 0 && len(candidates) == 1 {
				i = 0
			}
			switch {
			case c.Name == "" && i < 0:
				problems = append(problems, m.Problem(c.Node, c.Group+"."+c.Job.Name+".consumes."+c.Link,
					"is provided by %d groups; say from which it comes", len(candidates)))
			case c.Name == "" || i >= 0 && c.Name == candidates[i].Name:
				c.Name = candidates[i].Name
				consumers = append(consumers, c)
			}
		}
	}
	return providers, consumers, problems.Err()
}
