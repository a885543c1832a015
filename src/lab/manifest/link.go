package manifest

import (
	"maps"
	"slices"

	"privnet/lab/compile"
)

// offer is a link that some job provides under an alias.
type offer struct {
	kind string // the link's type
	link Link
}

// job finds a job in the release; ok is false for one that is left out or that is a problem.
func (r *reader) job(g group, j job) (compile.Job, bool) {
	if slices.Contains(r.ignored, j.Release) {
		return compile.Job{}, false
	}
	if j.Release != r.release.Name {
		r.refuse("jobs of other releases (%s of %q in instance group %s)", j.Name, j.Release, g.Name)
		return compile.Job{}, false
	}
	found, ok := r.release.Jobs[j.Name]
	if !ok {
		r.problem("release %s has no job %s, which instance group %s names", r.release.Name, j.Name, g.Name)
	}
	return found, ok
}

// offers notes the links that a group's jobs provide under an alias of their own. A link without an
// alias is not noted: only a consumer without `from` could find it.
func (r *reader) offers(g group, members []Instance) {
	var instances []LinkInstance
	for _, m := range members {
		instances = append(instances, LinkInstance{
			Name: m.Group, ID: m.ID, Index: m.Index, AZ: m.AZ, Address: m.Address.String(), Bootstrap: m.Index == 0,
		})
	}
	for _, j := range g.Jobs {
		// What is wrong with the job itself is reported where it is placed.
		if j.Release != r.release.Name {
			continue
		}
		spec := r.release.Jobs[j.Name]
		for _, provide := range spec.Provides {
			where := "link " + provide.Name + " of job " + j.Name + " in instance group " + g.Name
			settings, ok := j.Provides[provide.Name].(map[string]any)
			alias, _ := settings["as"].(string)
			r.lacks(" at "+where, without(settings, "as"))
			if !ok || alias == "" {
				continue
			}
			if _, twice := r.links[alias]; twice {
				r.problem("%s is provided as %s, a name that another link has", where, alias)
			}
			r.links[alias] = offer{
				kind: provide.Type,
				link: Link{Instances: instances, Properties: provide.Pick(spec.Values(j.Properties))},
			}
		}
	}
}

// placements are a group's jobs with their properties and links; they are the same on all its instances.
func (r *reader) placements(g group) []JobPlacement {
	var out []JobPlacement
	for _, j := range g.Jobs {
		spec, ok := r.job(g, j)
		if !ok {
			continue
		}
		r.lacks(" of job "+j.Name+" in instance group "+g.Name, j.Rest)
		placement := JobPlacement{
			Name: j.Name, Release: j.Release, Properties: spec.Values(j.Properties), Links: map[string]Link{},
		}
		for _, consume := range spec.Consumes {
			if link, ok := r.resolve(g, j, consume); ok {
				placement.Links[consume.Name] = link
			}
		}
		out = append(out, placement)
	}
	return out
}

func (r *reader) resolve(g group, j job, consume compile.Consume) (Link, bool) {
	where := "link " + consume.Name + " of job " + j.Name + " in instance group " + g.Name
	setting := j.Consumes[consume.Name]
	if setting == "nil" {
		if !consume.Optional {
			r.problem("%s is nil, but the job cannot do without", where)
		}
		return Link{}, false
	}
	settings, _ := setting.(map[string]any)
	from, _ := settings["from"].(string)
	switch {
	case from == "":
		r.refuse("implicit links: say `from` or `nil` for %s", where)
		return Link{}, false
	case settings["ip_addresses"] != true:
		r.refuse("links by DNS name: say `ip_addresses: true` for %s", where)
		return Link{}, false
	}
	r.lacks(" at "+where, without(settings, "from", "ip_addresses"))
	found, ok := r.links[from]
	switch {
	case !ok:
		r.problem("%s is from %s, which no job provides", where, from)
	case found.kind != consume.Type:
		r.problem("%s is from %s, which is of type %s and not %s", where, from, found.kind, consume.Type)
	}
	return found.link, ok
}

func without(settings map[string]any, keys ...string) map[string]any {
	rest := maps.Clone(settings)
	for _, key := range keys {
		delete(rest, key)
	}
	return rest
}
