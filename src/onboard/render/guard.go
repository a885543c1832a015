package render

import (
	"net/netip"

	"privnet/document"
	"privnet/onboard/manifest"
	"privnet/onboard/platform"
	"privnet/onboard/tree"
)

const guardHeading = `# Keeps apps on the platform's shared cells out of every segment. Written by "privnet render
# --shared-cell-guard"; it depends on the platform's pools, not on the orgs, so a new org changes nothing.
#
#   bosh -d DEPLOYMENT deploy MANIFEST -o THIS-FILE
`

type guardProperties struct {
	Role         string         `yaml:"role"`
	SegmentsPool []netip.Prefix `yaml:"segments_pool"`
}

const decommissionHeading = `# Adds the errand that takes the guard off the platform's shared cells, once no org is left. Written by
# "privnet render --decommission-guard". After the errand, deploy without the guard and without this file.
#
#   bosh -d DEPLOYMENT deploy MANIFEST -o shared-cell-guard.yml -o THIS-FILE
#   bosh -d DEPLOYMENT run-errand egress-decommission
`

type decommissionProperties struct {
	Confirm string `yaml:"confirm"`
}

// DecommissionGuard is the ops-file for the errand that leaves the shared cells as they were before the guard,
// on each group that has it. It is applied after SharedCellGuard's.
func DecommissionGuard(p platform.Platform, m manifest.Manifest) ([]byte, error) {
	var ops []operation
	for _, g := range guardedGroups(p, m) {
		ops = append(ops, replace(jobPath(g.Name, "egress-decommission")+"?", job{
			Name: "egress-decommission", Release: manifest.Release, Properties: decommissionProperties{sharedCell},
		}))
	}
	if len(ops) == 0 {
		return nil, noCells(p, m)
	}
	return tree.Write(decommissionHeading, ops), nil
}

// guardedGroups are the groups of cells that are no org's own.
func guardedGroups(p platform.Platform, m manifest.Manifest) []manifest.Group {
	var out []manifest.Group
	for _, g := range m.Groups() {
		if _, hasRep := g.Job("rep"); g.Org() == "" && (hasRep || g.Name == p.CellGroup) {
			out = append(out, g)
		}
	}
	return out
}

func noCells(p platform.Platform, m manifest.Manifest) error {
	return document.Problems{m.Problem(nil, "instance_groups",
		"has no group with the job rep and no group %s; name the group of the platform's cells as cell_group in the platform file", p.CellGroup)}
}

// sharedCell is the enforcer's role on the platform's own cells.
const sharedCell = "shared-cell"

// SharedCellGuard is the ops-file that puts the enforcer on each group of cells that is no org's own. It
// consumes no org's link: the platform's whole pool of segments is one static property.
func SharedCellGuard(p platform.Platform, m manifest.Manifest) ([]byte, error) {
	ops, err := links(m)
	if err != nil {
		return nil, err
	}
	providers, consumers, err := m.Links()
	if err != nil {
		return nil, err
	}
	iptables := map[string]string{}
	for _, end := range append(providers, consumers...) {
		if end.Type == "iptables" {
			iptables[end.Group] = end.Name
		}
	}
	guarded := guardedGroups(p, m)
	for _, g := range guarded {
		provider := iptables[g.Name]
		for _, end := range g.Provides() {
			if end.Type == "iptables" && end.Name != "" {
				provider = end.Name
			}
		}
		ops = append(ops, replace(jobPath(g.Name, "egress-enforcer")+"?", job{
			Name: "egress-enforcer", Release: manifest.Release,
			Consumes:   map[string]any{"private-network": "nil", "iptables": from(provider)},
			Properties: guardProperties{Role: sharedCell, SegmentsPool: p.Prefixes()},
		}))
	}
	if len(guarded) == 0 {
		return nil, noCells(p, m)
	}
	return tree.Write(guardHeading, append(ops, release(m))), nil
}
