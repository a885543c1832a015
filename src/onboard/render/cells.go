package render

import (
	"net/netip"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"

	"privnet/document"
	"privnet/onboard/jobs"
	"privnet/onboard/manifest"
	"privnet/onboard/plan"
	"privnet/onboard/tree"
)

// cellClone is the org's group of cells and the variables that it needs.
type cellClone struct {
	group     *yaml.Node
	variables []*yaml.Node
	problems  document.Problems
}

// cloneCells copies the platform's group of cells and changes what makes it the org's own.
func cloneCells(in Input, m manifest.Manifest, base manifest.Group) cellClone {
	names := in.Plan.Names()
	g := tree.Copy(base.Node)
	tree.Set(g, names.CellGroup, "name")
	tree.Set(g, in.Plan.AZs(), "azs")
	tree.Set(g, in.Plan.Cells, "instances")
	tree.Set(g, []map[string]string{{"name": names.Network}}, "networks")
	tree.Remove(g, "migrated_from")
	if in.Platform.Cells.VMType != "" {
		tree.Set(g, in.Platform.Cells.VMType, "vm_type")
	}
	renames := renameProviders(g, base, names.CellGroup)
	renameConsumers(g, renames)

	out := cellClone{group: g}
	clone := manifest.Group{Name: names.CellGroup, Node: g}
	if silk, ok := clone.Job("silk-daemon"); ok && tree.Text(silk.Node, "properties", "vxlan_network") != "" {
		tree.Set(silk.Node, names.Network, "properties", "vxlan_network")
	}
	if rep, ok := clone.Job("rep"); ok {
		tree.Set(rep.Node, []string{names.PlacementTag}, "properties", "diego", "rep", "placement_tags")
		out.ownDomain(m, base.Name, rep, names)
	}

	placed := tree.Of(ourCellJobs(in, renames["iptables"]))
	for _, job := range clone.Jobs() {
		if tree.Text(job.Node, "release") != manifest.Release {
			placed.Content = append(placed.Content, job.Node)
		}
	}
	tree.Set(g, placed, "jobs")
	return out
}

// renameProviders gives each link that the clone provides a name of its own, and returns the new names
// by the link's old name in the deployment and, for the types that a director finds without a name, by type.
func renameProviders(g *yaml.Node, base manifest.Group, group string) map[string]string {
	renames := map[string]string{}
	for _, job := range tree.Elements(tree.Get(g, "jobs")) {
		provides := tree.Get(job, "provides")
		if provides == nil {
			continue
		}
		for i := 0; i+1 < len(provides.Content); i += 2 {
			if old := tree.Text(provides.Content[i+1], "as"); old != "" {
				name := manifest.ProviderName(provides.Content[i].Value, group)
				renames[old] = name
				provides.Content[i+1] = tree.Of(map[string]string{"as": name})
			}
		}
	}
	for _, p := range base.Provides() {
		name := manifest.ProviderName(p.Link, group)
		renames[p.Type] = name
		tree.Set(tree.Named(tree.Get(g, "jobs"), p.Job.Name), map[string]string{"as": name}, "provides", p.Link)
	}
	return renames
}

// renameConsumers lets the clone's jobs ask for the clone's own providers.
func renameConsumers(g *yaml.Node, renames map[string]string) {
	for _, c := range (manifest.Group{Node: g}).Consumes() {
		if name := renames[c.Type]; name != "" {
			tree.Set(c.Node, name, "consumes", c.Link, "from")
		}
	}
	for _, job := range tree.Elements(tree.Get(g, "jobs")) {
		consumes := tree.Get(job, "consumes")
		if consumes == nil {
			continue
		}
		for i := 1; i < len(consumes.Content); i += 2 {
			if name := renames[tree.Text(consumes.Content[i], "from")]; name != "" {
				tree.Set(consumes.Content[i], name, "from")
			}
		}
	}
}

// cellDomain is diego's default for the domain at which a rep is found by its cell's id.
const cellDomain = "cell.service.cf.internal"

// wholeVariable is a property that is one field of a variable.
var wholeVariable = regexp.MustCompile(`^\(\(([^.()]+)\.[a-z_]+\)\)$`)

// ownDomain gives the clone's reps a domain of their own, with a DNS alias that the group itself brings
// and a certificate of the same CA. The other way, one more target of _.cell.service.cf.internal in the
// bosh-dns-aliases addon, would render that job anew on every VM of the platform, and drain and restart
// them all for one org.
func (c *cellClone) ownDomain(m manifest.Manifest, base string, rep manifest.Job, names plan.Names) {
	cert := tree.Get(rep.Node, "properties", "tls", "cert")
	if cert == nil {
		return
	}
	parent := tree.Text(rep.Node, "properties", "diego", "rep", "advertise_domain")
	if parent == "" {
		parent = cellDomain
	}
	match := wholeVariable.FindStringSubmatch(cert.Value)
	var definition *yaml.Node
	if match != nil {
		definition = m.Variable(match[1])
	}
	if definition == nil || tree.Text(definition, "options", "ca") == "" {
		c.problems = append(c.problems, m.Problem(cert, base+".rep.properties.tls.cert",
			"is no variable that the manifest defines with a ca, so no certificate for the org's cells can be made; define it under variables"))
		return
	}
	domain := names.IsolationSegment + "." + parent
	own := tree.Copy(definition)
	tree.Set(own, names.CellCertificate, "name")
	// A common name may have 64 characters (RFC 5280), fewer than the domain can have. It is not looked at.
	tree.Set(own, names.CellGroup, "options", "common_name")
	alternatives := []string{"*." + domain, domain}
	for _, name := range tree.Elements(tree.Get(definition, "options", "alternative_names")) {
		if name.Value != parent && !strings.HasSuffix(name.Value, "."+parent) {
			alternatives = append(alternatives, name.Value)
		}
	}
	tree.Set(own, alternatives, "options", "alternative_names")
	c.variables = append(c.variables, own)

	tree.Walk(tree.Get(rep.Node, "properties"), func(_ []string, scalar *yaml.Node) {
		scalar.Value = strings.ReplaceAll(scalar.Value, "(("+match[1]+".", "(("+names.CellCertificate+".")
	})
	tree.Set(rep.Node, domain, "properties", "diego", "rep", "advertise_domain")
	link := manifest.ProviderName("cell-domain", names.CellGroup)
	tree.Set(rep.Node, append(tree.Elements(tree.Get(rep.Node, "custom_provider_definitions")), tree.Of([]map[string]string{
		{"name": link, "type": link},
	}).Content...), "custom_provider_definitions")
	tree.Set(rep.Node, []map[string]string{{"domain": "_." + domain, "placeholder_type": "uuid"}}, "provides", link, "aliases")
}

// job is one of this release's jobs in a manifest.
type job struct {
	Name       string         `yaml:"name"`
	Release    string         `yaml:"release"`
	Provides   map[string]any `yaml:"provides,omitempty"`
	Consumes   map[string]any `yaml:"consumes,omitempty"`
	Properties any            `yaml:"properties,omitempty"`
}

type roleProperties struct {
	Role string `yaml:"role"`
}

// linkFrom asks a named provider; addresses are needed as such in rules and routes, never as DNS names.
type linkFrom struct {
	From        string `yaml:"from"`
	Deployment  string `yaml:"deployment,omitempty"`
	IPAddresses bool   `yaml:"ip_addresses,omitempty"`
}

// dnsProperties are those of the job private-dns.
type dnsProperties struct {
	Domains []dnsDomain `yaml:"domains"`
}

type dnsDomain struct {
	Domain  string       `yaml:"domain"`
	Servers []netip.Addr `yaml:"servers"`
}

// ourCellJobs are the release's jobs on a dedicated cell. They come first, so that after a reboot monit
// starts the enforcer before garden.
func ourCellJobs(in Input, iptables string) []job {
	link := linkFrom{From: in.Plan.Names().Link, Deployment: in.Plan.OwnGatewayDeployment(), IPAddresses: true}
	out := []job{
		{Name: "egress-enforcer", Release: manifest.Release, Properties: roleProperties{jobs.Cell}, Consumes: map[string]any{
			"private-network": link, "iptables": from(iptables),
		}},
		{Name: "tunnel-prober", Release: manifest.Release, Properties: roleProperties{jobs.Cell}, Consumes: map[string]any{
			"private-network": link,
		}},
		{Name: "tunnel-doctor", Release: manifest.Release, Properties: roleProperties{jobs.Cell}, Consumes: map[string]any{
			"private-network": link,
		}},
	}
	if len(in.Request.DNS) == 0 {
		return out
	}
	var dns dnsProperties
	for _, d := range in.Request.DNS {
		dns.Domains = append(dns.Domains, dnsDomain(d))
	}
	return append(out, job{Name: "private-dns", Release: manifest.Release, Properties: dns})
}

// from names a provider, or says that there is none: a director would find another group's.
func from(provider string) any {
	if provider == "" {
		return "nil"
	}
	return linkFrom{From: provider}
}
