// Package artefact makes of a deployment's manifest what its VMs are given: for each gateway swanctl.conf,
// for each enforcer the rules as iptables-restore takes them, and the routes. It renders with the same
// packages as the jobs, from the same JSON as the jobs' templates make.
//
// It reads nothing from a VM: what it shows is what the manifest deploys. Pre-shared keys take no part.
package artefact

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"

	"privnet/connection"
	"privnet/document"
	"privnet/egress"
	"privnet/egress/iptables"
	"privnet/ipsec"
	"privnet/onboard/manifest"
	"privnet/onboard/tree"
)

// Network is a network of a group, with the addresses that the manifest gives.
type Network struct {
	Name      string
	Addresses []netip.Addr
}

// Group is what matters of an instance group to somebody's isolation.
type Group struct {
	// File is the manifest that has it.
	File, Name string
	Networks   []Network
	// Link is the private network's link that its jobs of this release provide or consume. Links has more
	// where they disagree.
	Link  string
	Links []string
	// RunsApps says that the group's VMs are cells. HasRep says that diego places apps there: those of the
	// PlacementTags, or, without any, everybody's.
	RunsApps, HasRep bool
	PlacementTags    []string
	// Role is what the enforcer is told; empty where there is none.
	Role egress.Role
	// IsGateway says that charon runs there.
	IsGateway bool
	// Windows says that the cells have Windows, for which there is no enforcer.
	Windows bool
	// Keys are the variables of a gateway's pre-shared keys. A relative name begins with its deployment's.
	Keys []string
	node manifest.Group
}

// VM is what one VM is given. A group's cells are given the same but for their own addresses, on which no
// rule depends: one VM stands for them all.
type VM struct {
	// Name is as in group/index; that of cells has no index.
	Name  string
	Group Group
	// Rules and Rules6 are what iptables-restore and ip6tables-restore take; empty where there is no enforcer.
	Rules, Rules6 string
	Routes        []egress.Route
	// Callers are who may open a flow to a gateway.
	Callers []netip.Prefix
	// Swanctl is a gateway's swanctl.conf, without keys.
	Swanctl string
	// Config is the jobs' configuration that all this was rendered from, by the file's name.
	Config map[string][]byte
}

// Deployment is all that the manifests deploy.
type Deployment struct {
	Groups []Group
	// Connections are what the links carry, by the link's name.
	Connections map[string]connection.Connection
	// Gateways and Cells belong to the org that their group's Link says; Shared are everybody's cells.
	Gateways, Cells, Shared []VM
}

// Read reads manifests with every ops-file applied. A group is a cell if it has diego's rep or the name that
// the platform gives to its group of cells. The error is document.Problems of what the jobs would refuse.
func Read(manifests []manifest.Manifest, cellGroup string) (Deployment, error) {
	d := Deployment{Connections: map[string]connection.Connection{}}
	var problems error
	for _, m := range manifests {
		for _, g := range m.Groups() {
			group, err := readGroup(m, g, cellGroup)
			problems = document.Join(problems, err)
			d.Groups = append(d.Groups, group)
		}
	}
	properties := map[string]map[string]any{}
	for _, g := range d.Groups {
		if !g.IsGateway {
			continue
		}
		if _, twice := properties[g.Link]; twice || g.Link == "" {
			problems = document.Join(problems, document.Problems{{File: g.File, Field: g.Name + ".ipsec-gateway.provides.private-network",
				Value: g.Link, Want: "must have a name of its own, given by as"}})
			continue
		}
		job, _ := g.node.Job("ipsec-gateway")
		properties[g.Link] = withDefaults(tree.Get(job.Node, "properties"))
	}
	rendered := make([]vms, len(d.Groups))
	var group sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, g := range d.Groups {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			rendered[i] = render(g, properties[g.Link])
		})
	}
	group.Wait()
	for i, g := range d.Groups {
		r := rendered[i]
		problems = document.Join(problems, r.problems)
		switch {
		case g.IsGateway:
			d.Connections[g.Link] = r.connection
			d.Gateways = append(d.Gateways, r.vms...)
		case g.Link != "":
			d.Cells = append(d.Cells, r.vms...)
		default:
			d.Shared = append(d.Shared, r.vms...)
		}
	}
	return d, problems
}

func readGroup(m manifest.Manifest, g manifest.Group, cellGroup string) (Group, error) {
	out := Group{File: m.File, Name: g.Name, Links: links(g), node: g}
	if len(out.Links) > 0 {
		out.Link = out.Links[0]
	}
	var problems document.Problems
	for _, n := range tree.Elements(tree.Get(g.Node, "networks")) {
		network := Network{Name: tree.Text(n, "name")}
		for _, text := range tree.Elements(tree.Get(n, "static_ips")) {
			addresses, err := parseAddresses(text.Value)
			if err != nil && !strings.HasPrefix(text.Value, "((") {
				problems = append(problems, m.Problem(text, g.Name+".networks."+network.Name+".static_ips", "%q is no address and no range of addresses", text.Value))
			}
			network.Addresses = append(network.Addresses, addresses...)
		}
		out.Networks = append(out.Networks, network)
	}
	rep, linux := g.Job("rep")
	if !linux {
		rep, out.Windows = g.Job("rep_windows")
	}
	out.HasRep = linux || out.Windows
	out.RunsApps = out.HasRep || g.Name == cellGroup
	for _, tag := range tree.Elements(tree.Get(rep.Node, "properties", "diego", "rep", "placement_tags")) {
		out.PlacementTags = append(out.PlacementTags, tag.Value)
	}
	var charon manifest.Job
	charon, out.IsGateway = ours(g, "ipsec-gateway")
	for _, name := range []string{"psk_a", "psk_b"} {
		key := strings.Trim(tree.Text(charon.Node, "properties", name), "(!)")
		if key != "" && !strings.HasPrefix(key, "/") {
			key = m.Name() + "/" + key
		}
		if key != "" {
			out.Keys = append(out.Keys, key)
		}
	}
	if enforcer, ok := ours(g, "egress-enforcer"); ok {
		out.Role = egress.Role(tree.Text(enforcer.Node, "properties", "role"))
		out.RunsApps = out.RunsApps || out.Role == egress.RoleCell
	}
	return out, problems.Err()
}

// links are those of all jobs, the gateway's or else the enforcer's first: by them the VM acts.
func links(g manifest.Group) []string {
	var out []string
	add := func(job manifest.Job) {
		for _, end := range []string{tree.Text(job.Node, "provides", "private-network", "as"), tree.Text(job.Node, "consumes", "private-network", "from")} {
			if end != "" && !slices.Contains(out, end) {
				out = append(out, end)
			}
		}
	}
	for _, name := range []string{"ipsec-gateway", "egress-enforcer"} {
		if job, ok := ours(g, name); ok {
			add(job)
		}
	}
	for _, job := range g.Jobs() {
		if tree.Text(job.Node, "release") == manifest.Release {
			add(job)
		}
	}
	return out
}

func ours(g manifest.Group, name string) (manifest.Job, bool) {
	job, ok := g.Job(name)
	return job, ok && tree.Text(job.Node, "release") == manifest.Release
}

// vms is what was rendered for a group.
type vms struct {
	vms        []VM
	connection connection.Connection
	problems   error
}

// render renders a group's VMs. properties are those of the gateway job that provides the group's link.
func render(g Group, properties map[string]any) vms {
	var out vms
	add := func(vm VM, err error) {
		out.vms = append(out.vms, vm)
		out.problems = document.Join(out.problems, err)
	}
	switch {
	case g.IsGateway:
		out.connection, out.problems = readConnection(g.Name, properties)
		for i := range g.instances() {
			name := fmt.Sprintf("%s/%d", g.Name, i)
			vm, err := renderRules(name, g, g.addresses(i), properties)
			add(vm, document.Join(err, vm.renderSwanctl(g.addresses(i), properties)))
			out.vms[i] = vm
		}
	case g.RunsApps && g.Link != "" && properties == nil:
		out.problems = document.Problems{{File: g.File, Field: g.Name, Value: g.Link,
			Want: "is a link that no gateway provides; give the manifest of its deployment, too"}}
	case g.RunsApps && g.Link != "":
		add(renderRules(g.Name, g, someCell(properties), properties))
	case g.RunsApps:
		add(renderRules(g.Name, g, nil, nil))
	}
	return out
}

// instances is the number of a gateway group's VMs: each has a static address in every network.
func (g Group) instances() int {
	n := 0
	for _, network := range g.Networks {
		n = max(n, len(network.Addresses))
	}
	return n
}

func (g Group) addresses(i int) []netip.Addr {
	var out []netip.Addr
	for _, n := range g.Networks {
		if i < len(n.Addresses) {
			out = append(out, n.Addresses[i])
		}
	}
	return out
}

func (vm *VM) renderSwanctl(addresses []netip.Addr, properties map[string]any) error {
	file := gatewayFile(vm.Name, addresses, properties)
	vm.Config["gateway.json"] = file.Data
	config, err := ipsec.Read(file, keyFile)
	if err != nil {
		return err
	}
	rendered, err := ipsec.Render(config, ipsec.Paths{})
	if err != nil {
		return document.Problems{{File: vm.Name, Want: err.Error()}}
	}
	vm.Swanctl = rendered.Swanctl("secrets.conf")
	return nil
}

func renderRules(name string, g Group, addresses []netip.Addr, properties map[string]any) (VM, error) {
	vm := VM{Name: name, Group: g, Config: map[string][]byte{}}
	job, ok := ours(g.node, "egress-enforcer")
	if !ok {
		return vm, nil
	}
	file := enforcerFile(name, g.Role, addresses, tree.Get(job.Node, "properties"), properties)
	vm.Config["enforcer.json"] = file.Data
	doc, err := document.Parse(file.Name, file.Data)
	if err != nil {
		return vm, err
	}
	policy := egress.Read(doc.Root())
	if err := doc.Err(); err != nil {
		return vm, err
	}
	vm.Rules, vm.Rules6 = iptables.Input(policy, egress.IPv4), iptables.Input(policy, egress.IPv6)
	vm.Routes, vm.Callers = policy.Routes(), policy.Callers()
	return vm, nil
}

func readConnection(group string, properties map[string]any) (connection.Connection, error) {
	link := map[string]any{}
	for key, value := range properties {
		if slices.Contains(connection.Fields, key) {
			link[key] = value
		}
	}
	file := jsonFile(group+"/link private-network", link)
	doc, err := document.Parse(file.Name, file.Data)
	if err != nil {
		return connection.Connection{}, err
	}
	c := connection.Read(doc.Root())
	return c, doc.Err()
}
