package isolation

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudfoundry/go-cfclient/v3/resource"

	"privnet/cfapi"
)

// othersHave says what others have of ours. Nothing of theirs is changed: a person decides.
func (r *run) othersHave(s state) error {
	var found []error
	if len(s.otherOrgs) > 0 {
		found = append(found, fmt.Errorf("the isolation segment %s is for the org %q alone, but entitled are also: %s; "+
			"take it from them (cf disable-org-isolation), restart their apps, which stay on its cells until then, and run the errand again", r.config.Name(), r.config.Org, quoted(s.otherOrgs)))
	}
	if len(s.otherSpaces) > 0 {
		found = append(found, fmt.Errorf("the security group %s is bound to spaces outside of the org %q: %s; "+
			"unbind it (cf unbind-security-group) and run the errand again", r.config.Name(), r.config.Org, quoted(s.otherSpaces)))
	}
	if s.group != nil && (isTrue(s.group.GloballyEnabled.Running) || isTrue(s.group.GloballyEnabled.Staging)) {
		found = append(found, fmt.Errorf("the security group %s holds for every space of the platform; "+
			"unbind it (cf unbind-running-security-group, cf unbind-staging-security-group) and run the errand again", r.config.Name()))
	}
	return errors.Join(found...)
}

// assignedElsewhere says what somebody decided to run outside of the segment.
func (r *run) assignedElsewhere(s state) error {
	var found []error
	ours := ""
	if s.segment != nil {
		ours = s.segment.GUID
	}
	if s.orgDefault != "" && s.orgDefault != sharedSegment && s.orgDefault != ours {
		found = append(found, fmt.Errorf("the org %q has another default isolation segment, %s; "+
			"take it away (cf reset-org-default-isolation-segment) and run the errand again", r.config.Org, s.segmentName(s.orgDefault)))
	}
	for _, space := range s.spaces {
		if segment := s.assigned[space.GUID]; segment != "" && segment != ours {
			found = append(found, fmt.Errorf("the space %q is assigned to the isolation segment %s; "+
				"reset it (cf reset-space-isolation-segment) and run the errand again", space.Name, s.segmentName(segment)))
		}
	}
	return errors.Join(found...)
}

func (s state) segmentName(guid string) string {
	if name := s.segments[guid]; name != "" {
		return name
	}
	return guid
}

// maxNamed is how many others are looked up in order to name them.
const maxNamed = 20

// readOthers finds the names of the orgs and spaces that have what is ours. What has no name any more was
// deleted meanwhile.
func (r *run) readOthers(ctx context.Context, s *state) error {
	var orgs, spaces []string
	for _, guid := range s.entitled {
		if s.org == nil || guid != s.org.GUID {
			orgs = append(orgs, guid)
		}
	}
	if s.group != nil {
		for _, bound := range slices.Concat(s.group.Relationships.RunningSpaces.Data, s.group.Relationships.StagingSpaces.Data) {
			if s.space(bound.GUID) == nil && !slices.Contains(spaces, bound.GUID) {
				spaces = append(spaces, bound.GUID)
			}
		}
	}
	var err error
	if s.otherOrgs, err = r.namesOf(ctx, "/v3/organizations", orgs); err != nil {
		return fmt.Errorf("asking which orgs are entitled to the isolation segment: %w", err)
	}
	if s.otherSpaces, err = r.namesOf(ctx, "/v3/spaces", spaces); err != nil {
		return fmt.Errorf("asking to which spaces the security group is bound: %w", err)
	}
	return nil
}

func (r *run) namesOf(ctx context.Context, path string, guids []string) ([]string, error) {
	if len(guids) == 0 {
		return nil, nil
	}
	list := strings.Join(guids[:min(len(guids), maxNamed)], ",")
	found, err := cfapi.List[struct{ Name string }](ctx, r.client, path, url.Values{"guids": {list}})
	if err != nil {
		return nil, err
	}
	var out []string
	for _, one := range found {
		out = append(out, one.Name)
	}
	return out, nil
}

func quoted(names []string) string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = strconv.Quote(name)
	}
	return strings.Join(out, ", ")
}

func names(spaces []*resource.Space) string {
	out := make([]string, len(spaces))
	for i, space := range spaces {
		out[i] = space.Name
	}
	return quoted(out)
}

func isTrue(value *bool) bool { return value != nil && *value }
