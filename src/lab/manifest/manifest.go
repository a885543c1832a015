// Package manifest turns an interpolated deployment manifest into the instances that a director would
// make of it: addresses, properties with the defaults of the jobs' specs, and links.
//
// It is no director. One stemcell, one availability zone a group, links by explicit `as` and `from` with
// IP addresses; whatever else a manifest asks for ends with an error that says so. Errand groups get no
// instance.
package manifest

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
	"gopkg.in/yaml.v3"

	"privnet/lab/compile"
)

// Instance is one VM of the deployment.
type Instance struct {
	Deployment string
	Group      string
	Index      int
	// ID is the same whenever the same manifest is read, unlike a director's.
	ID string
	AZ string
	// Networks maps a network's name to the instance's address in it.
	Networks map[string]netip.Addr
	// Address is the one in the network that is the instance's default, by which links name it.
	Address netip.Addr
	Jobs    []JobPlacement
}

// JobPlacement is one job on an instance.
type JobPlacement struct {
	Name, Release string
	// Properties are those of the job's spec that have a value or a default.
	Properties map[string]any
	// Links are the resolved ones, by the name that the job consumes them under.
	Links map[string]Link
}

// Link is what a job learns of the provider of a link.
type Link struct {
	Instances  []LinkInstance `json:"instances"`
	Properties map[string]any `json:"properties"`
}

// LinkInstance is one instance of the group that provides a link.
type LinkInstance struct {
	Name      string `json:"name"`
	ID        string `json:"id"`
	Index     int    `json:"index"`
	AZ        string `json:"az"`
	Address   string `json:"address"`
	Bootstrap bool   `json:"bootstrap"`
}

// Allocate gives an instance its address in a network for which the manifest has no static_ips.
type Allocate func(group string, index int, network string) (netip.Addr, error)

// file is the part of a manifest that the lab does; Rest is what it does not.
type file struct {
	Name      string
	Releases  []any
	Stemcells []any
	Update    any
	Variables any
	Tags      any
	Groups    []group        `yaml:"instance_groups"`
	Rest      map[string]any `yaml:",inline"`
}

type group struct {
	Name         string
	AZs          []string `yaml:"azs"`
	Instances    int
	Lifecycle    string
	Stemcell     any
	VMType       any `yaml:"vm_type"`
	VMExtensions any `yaml:"vm_extensions"`
	Update       any
	Networks     []network
	Jobs         []job
	Rest         map[string]any `yaml:",inline"`
}

type network struct {
	Name      string
	StaticIPs []string `yaml:"static_ips"`
	Default   []string
	Rest      map[string]any `yaml:",inline"`
}

type job struct {
	Name, Release string
	Properties    map[string]any
	Provides      map[string]any
	Consumes      map[string]any
	Rest          map[string]any `yaml:",inline"`
}

// reader carries one call of Instances and the problems found so far.
type reader struct {
	release  compile.Release
	ignored  []string
	problems []error
	links    map[string]offer
}

// Instances reads a manifest that was made for the release. Jobs of the ignored releases are left out;
// any other release's are an error. All problems are reported at once.
func Instances(data []byte, release compile.Release, ignored []string, allocate Allocate) ([]Instance, error) {
	var f file
	if err := yaml.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("reading the manifest: %w", err)
	}
	r := reader{release: release, ignored: ignored, links: map[string]offer{}}
	r.lacks("", f.Rest)
	if len(f.Stemcells) > 1 {
		r.refuse("several stemcells")
	}
	if variables := unresolved(data); len(variables) > 0 {
		r.refuse("variables that the manifest leaves open (%s)", strings.Join(variables, ", "))
	}
	members := make([][]Instance, len(f.Groups))
	for i, g := range f.Groups {
		if g.Lifecycle != "errand" {
			members[i] = r.members(f.Name, g, allocate)
		}
		r.offers(g, members[i])
	}
	var out []Instance
	for i, g := range f.Groups {
		placed := r.placements(g)
		for _, instance := range members[i] {
			instance.Jobs = placed
			out = append(out, instance)
		}
	}
	return out, errors.Join(r.problems...)
}

func (r *reader) problem(format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf(format, args...))
}

func (r *reader) refuse(format string, args ...any) {
	r.problem("the lab does not do "+format, args...)
}

// lacks refuses every key that is not done.
func (r *reader) lacks(where string, rest map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(rest)) {
		r.refuse("%s%s", key, where)
	}
}

var placeholder = regexp.MustCompile(`\(\(!?[-/\.\w]+\)\)`)

func unresolved(manifest []byte) []string {
	var names []string
	for _, name := range placeholder.FindAll(manifest, -1) {
		names = append(names, string(name))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// members makes a group's instances, still without jobs.
func (r *reader) members(deployment string, g group, allocate Allocate) []Instance {
	where := " in instance group " + g.Name
	r.lacks(where, g.Rest)
	if len(g.AZs) > 1 {
		r.refuse("several availability zones%s", where)
	}
	if g.Lifecycle != "" && g.Lifecycle != "service" {
		r.refuse("the lifecycle %q%s", g.Lifecycle, where)
	}
	out := make([]Instance, g.Instances)
	for i := range out {
		name := fmt.Sprintf("%s/%s/%d", deployment, g.Name, i)
		out[i] = Instance{
			Deployment: deployment, Group: g.Name, Index: i, Networks: map[string]netip.Addr{},
			ID: uuid.NewSHA1(uuid.NameSpaceURL, []byte(name)).String(),
		}
		if len(g.AZs) > 0 {
			out[i].AZ = g.AZs[0]
		}
	}
	for _, n := range g.Networks {
		r.lacks(" in network "+n.Name+where, n.Rest)
		isDefault := len(g.Networks) == 1 || slices.Contains(n.Default, "gateway")
		r.addresses(g, n, func(i int, address netip.Addr) {
			out[i].Networks[n.Name] = address
			if isDefault {
				out[i].Address = address
			}
		}, allocate)
	}
	for _, instance := range out {
		if !instance.Address.IsValid() {
			r.problem("%s/%d has no address in a default network: give it a network, and with several say `default: [dns, gateway]` at one", g.Name, instance.Index)
		}
	}
	return out
}

func (r *reader) addresses(g group, n network, set func(int, netip.Addr), allocate Allocate) {
	if len(n.StaticIPs) > 0 && len(n.StaticIPs) != g.Instances {
		r.problem("network %s in instance group %s has %d static_ips for %d instances", n.Name, g.Name, len(n.StaticIPs), g.Instances)
		return
	}
	for i := range g.Instances {
		var address netip.Addr
		var err error
		if len(n.StaticIPs) > 0 {
			address, err = netip.ParseAddr(n.StaticIPs[i])
		} else {
			address, err = allocate(g.Name, i, n.Name)
		}
		if err != nil {
			r.problem("giving %s/%d an address in network %s: %w", g.Name, i, n.Name, err)
			continue
		}
		set(i, address)
	}
}
