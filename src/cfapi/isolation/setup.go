package isolation

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/cloudfoundry/go-cfclient/v3/resource"

	"privnet/cfapi"
)

// planSetup says what is missing until the org, and it alone, runs in the segment.
func (r *run) planSetup(s state) (plan, error) {
	if err := errors.Join(r.othersHave(s), r.assignedElsewhere(s)); err != nil {
		return plan{}, err
	}
	var p plan
	for _, a := range s.apps {
		if from, found := a.elsewhere(r.config.Name()); found {
			p.moves = append(p.moves, move{a, from})
		}
	}
	if s.segment == nil {
		p.now = append(p.now, step{"create the isolation segment " + r.config.Name(), func(ctx context.Context) error {
			return r.create(ctx, "/v3/isolation_segments", resource.NewIsolationSegmentCreate(r.config.Name()))
		}})
		p.next = append(p.next, r.entitle(s).text, r.makeDefault(s).text)
	} else {
		if !slices.Contains(s.entitled, s.org.GUID) {
			p.now = append(p.now, r.entitle(s))
		}
		if !s.isDefault() {
			p.now = append(p.now, r.makeDefault(s))
		}
	}
	r.planGroup(s, &p)
	return p, nil
}

func (r *run) entitle(s state) step {
	return step{fmt.Sprintf("entitle the org %q to it", s.org.Name), func(ctx context.Context) error {
		return r.client.Post(ctx, "/v3/isolation_segments/"+s.segment.GUID+"/relationships/organizations",
			resource.NewToManyRelationships([]string{s.org.GUID}), nil)
	}}
}

func (r *run) makeDefault(s state) step {
	return step{"make it the org's default", func(ctx context.Context) error {
		return r.client.Patch(ctx, "/v3/organizations/"+s.org.GUID+"/relationships/default_isolation_segment",
			resource.ToOneRelationship{Data: &resource.Relationship{GUID: s.segment.GUID}}, nil)
	}}
}

// planGroup adds what the security group lacks. Spaces are bound only after apps start in the segment,
// which is found by the look after the org's default was set.
func (r *run) planGroup(s state, p *plan) {
	rules := Rules(r.config.Connection)
	var running, staging []string
	switch {
	case s.group == nil:
		p.now = append(p.now, step{
			fmt.Sprintf("create the security group %s with %s", r.config.Name(), count(len(rules), "rule")),
			func(ctx context.Context) error {
				return r.create(ctx, "/v3/security_groups", &resource.SecurityGroupCreate{Name: r.config.Name(), Rules: rules})
			},
		})
	case !sameRules(s.group.Rules, rules):
		p.now = append(p.now, step{
			fmt.Sprintf("change the security group %s to %s", r.config.Name(), count(len(rules), "rule")),
			func(ctx context.Context) error {
				return r.client.Patch(ctx, "/v3/security_groups/"+s.group.GUID, &resource.SecurityGroupUpdate{Rules: rules}, nil)
			},
		})
	}
	if s.group != nil {
		running, staging = guids(s.group.Relationships.RunningSpaces.Data), guids(s.group.Relationships.StagingSpaces.Data)
	}
	moving := func(space *resource.Space) bool {
		return slices.ContainsFunc(p.moves, func(m move) bool { return m.app.spaceGUID == space.GUID })
	}
	still := func(*resource.Space) bool { return false }
	r.bind(s, p, "staging", without(s.spaces, staging), still)
	r.bind(s, p, "running", without(s.spaces, running), moving)
}

// bind adds the binding of those spaces that have no app to move, and names the others.
func (r *run) bind(s state, p *plan, lifecycle string, spaces []*resource.Space, moving func(*resource.Space) bool) {
	text := func(spaces []*resource.Space) string {
		return fmt.Sprintf("bind the security group for %s apps to %s", lifecycle, names(spaces))
	}
	ready, later := split(spaces, moving)
	if len(later) > 0 {
		p.last = append(p.last, text(later))
	}
	switch {
	case len(ready) == 0:
	case s.group == nil || !s.isDefault():
		p.next = append(p.next, text(ready))
	default:
		p.now = append(p.now, step{text(ready), func(ctx context.Context) error {
			return r.client.Post(ctx, "/v3/security_groups/"+s.group.GUID+"/relationships/"+lifecycle+"_spaces",
				resource.NewToManyRelationships(guidsOf(ready)), nil)
		}})
	}
}

func split(spaces []*resource.Space, moving func(*resource.Space) bool) (ready, later []*resource.Space) {
	for _, space := range spaces {
		if moving(space) {
			later = append(later, space)
		} else {
			ready = append(ready, space)
		}
	}
	return ready, later
}

func guidsOf(spaces []*resource.Space) []string {
	out := make([]string, len(spaces))
	for i, space := range spaces {
		out[i] = space.GUID
	}
	return out
}

func without(spaces []*resource.Space, guids []string) []*resource.Space {
	return slices.DeleteFunc(slices.Clone(spaces), func(space *resource.Space) bool { return slices.Contains(guids, space.GUID) })
}

// create makes something of our name. That it is there already means that an earlier answer got lost, or
// that somebody was faster: the next look tells what it is like.
func (r *run) create(ctx context.Context, path string, in any) error {
	err := r.client.Post(ctx, path, in, nil)
	if cfapi.StatusOf(err) != http.StatusUnprocessableEntity {
		return err
	}
	found, listErr := cfapi.List[resource.Resource](ctx, r.client, path, url.Values{"names": {r.config.Name()}})
	if listErr != nil {
		return errors.Join(err, listErr)
	}
	if len(found) == 0 {
		return err
	}
	return nil
}
