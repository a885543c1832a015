package isolation

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cloudfoundry/go-cfclient/v3/resource"

	"privnet/cfapi"
)

// sharedSegment is the GUID of CF's own segment "shared", which every platform has. An org or a space that
// names it runs where it would run without any segment.
const sharedSegment = "933b4c58-120b-499a-b85d-4b6fc9e2903b"

// state is what one look found.
type state struct {
	// org is nil when there is none of that name.
	org    *resource.Organization
	spaces []*resource.Space
	// segment and group are nil when there is none of our name.
	segment *resource.IsolationSegment
	group   *resource.SecurityGroup
	// entitled are the orgs that may use our segment.
	entitled []string
	// orgDefault is the GUID of the org's default segment, or empty.
	orgDefault string
	// segments are the names of the segments that the org may use.
	segments map[string]string
	// assigned are the segments of the spaces that have one of their own.
	assigned map[string]string
	// otherOrgs and otherSpaces are the names of those who have our segment and our group.
	otherOrgs, otherSpaces []string
	apps                   []app
}

// observe reads everything that a run decides on.
func (r *run) observe(ctx context.Context) (state, error) {
	s := state{segments: map[string]string{}, assigned: map[string]string{}}
	for _, read := range []func(context.Context, *state) error{
		r.readOrg, r.readSegment, r.readGroup, r.readOthers, r.readAssignments, r.readApps,
	} {
		if err := read(ctx, &s); err != nil {
			return state{}, err
		}
	}
	return s, nil
}

func (r *run) readOrg(ctx context.Context, s *state) error {
	orgs, err := cfapi.List[*resource.Organization](ctx, r.client, "/v3/organizations", url.Values{"names": {cfapi.Filter(r.config.Org)}})
	if err != nil {
		return fmt.Errorf("looking for the org: %w", err)
	}
	// The filter may not care for case.
	i := slices.IndexFunc(orgs, func(o *resource.Organization) bool { return o.Name == r.config.Org })
	switch {
	case i < 0 && r.config.Remove:
		return nil
	case i < 0:
		return fmt.Errorf("there is no org %q; the property org says what it is called in Cloud Foundry", r.config.Org)
	}
	s.org = orgs[i]
	if s.spaces, err = cfapi.List[*resource.Space](ctx, r.client, "/v3/spaces", s.ofOrg()); err != nil {
		return fmt.Errorf("listing the org's spaces: %w", err)
	}
	return nil
}

func (s state) ofOrg() url.Values {
	return url.Values{"organization_guids": {s.org.GUID}}
}

func (r *run) readSegment(ctx context.Context, s *state) error {
	segments, err := cfapi.List[*resource.IsolationSegment](ctx, r.client, "/v3/isolation_segments", url.Values{"names": {r.config.Name()}})
	if err != nil {
		return fmt.Errorf("looking for the isolation segment: %w", err)
	}
	// The placement tag of the cells is the name letter by letter, but names are unique without case.
	for _, segment := range segments {
		if segment.Name != r.config.Name() {
			return fmt.Errorf("there is an isolation segment %q; the cells are tagged %q, and CF allows only one of the two: rename or delete it", segment.Name, r.config.Name())
		}
		s.segment = segment
		if s.entitled, err = r.related(ctx, "/v3/isolation_segments/"+segment.GUID+"/relationships/organizations"); err != nil {
			return fmt.Errorf("reading who is entitled to the isolation segment: %w", err)
		}
	}
	return nil
}

func (r *run) readGroup(ctx context.Context, s *state) error {
	groups, err := cfapi.List[*resource.SecurityGroup](ctx, r.client, "/v3/security_groups", url.Values{"names": {r.config.Name()}})
	if err != nil {
		return fmt.Errorf("looking for the security group: %w", err)
	}
	for _, group := range groups {
		if strings.EqualFold(group.Name, r.config.Name()) {
			s.group = group
		}
	}
	return nil
}

// readAssignments finds where the org and its spaces run by decree. A space can only be assigned to a
// segment that the org is entitled to, so a few lists tell of all spaces.
func (r *run) readAssignments(ctx context.Context, s *state) error {
	if s.org == nil {
		return nil
	}
	var relation resource.ToOneRelationship
	if err := r.client.Get(ctx, "/v3/organizations/"+s.org.GUID+"/relationships/default_isolation_segment", &relation); err != nil {
		return fmt.Errorf("reading the org's default isolation segment: %w", err)
	}
	if relation.Data != nil {
		s.orgDefault = relation.Data.GUID
	}
	segments, err := cfapi.List[*resource.IsolationSegment](ctx, r.client, "/v3/isolation_segments", s.ofOrg())
	if err != nil {
		return fmt.Errorf("listing the org's isolation segments: %w", err)
	}
	for _, segment := range segments {
		s.segments[segment.GUID] = segment.Name
		spaces, err := r.related(ctx, "/v3/isolation_segments/"+segment.GUID+"/relationships/spaces")
		if err != nil {
			return fmt.Errorf("reading the spaces of the isolation segment %s: %w", segment.Name, err)
		}
		for _, guid := range spaces {
			if s.space(guid) != nil {
				s.assigned[guid] = segment.GUID
			}
		}
	}
	return nil
}

// related reads a relationship to many, which has no pages. What is gone is related to nothing.
func (r *run) related(ctx context.Context, path string) ([]string, error) {
	var relation resource.ToManyRelationships
	if err := r.client.Get(ctx, path, &relation); err != nil && cfapi.StatusOf(err) != http.StatusNotFound {
		return nil, err
	}
	return guids(relation.Data), nil
}

func guids(related []resource.Relationship) []string {
	out := make([]string, len(related))
	for i, one := range related {
		out[i] = one.GUID
	}
	return out
}

// space is the org's space of that GUID, or nil.
func (s state) space(guid string) *resource.Space {
	if i := slices.IndexFunc(s.spaces, func(space *resource.Space) bool { return space.GUID == guid }); i >= 0 {
		return s.spaces[i]
	}
	return nil
}

// isDefault says whether our segment is the org's default.
func (s state) isDefault() bool {
	return s.segment != nil && s.orgDefault == s.segment.GUID
}
