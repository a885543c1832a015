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
	guarded := 0
	for _, g := range m.Groups() {
		_, hasRep := g.Job("rep")
		if g.Org() != "" || !hasRep && g.Name != p.CellGroup {
			continue
		}
		guarded++
		provider := iptables[g.Name]
		for _, end := range g.Provides() {
			if end.Type == "iptables" && end.Name != "" {
				provider = end.Name
			}
		}
		ops = append(ops, replace(jobPath(g.Name, "egress-enforcer")+"?", job{
			Name: "egress-enforcer", Release: manifest.Release,
			Consumes:   map[string]any{"private-network": "nil", "iptables": from(provider)},
			Properties: guardProperties{Role: "shared-cell", SegmentsPool: p.Prefixes()},
		}))
	}
	if guarded == 0 {
		return nil, document.Problems{m.Problem(nil, "instance_groups",
			"has no group with the job rep and no group %s; name the group of the platform's cells as cell_group in the platform file", p.CellGroup)}
	}
	return tree.Write(guardHeading, append(ops, release(m))), nil
}
