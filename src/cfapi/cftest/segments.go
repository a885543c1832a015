package cftest

import (
	"net/http"
	"slices"
	"strings"
)

// Org is an org. Default is the GUID of its default isolation segment, or empty.
type Org struct{ GUID, Name, Default string }

// Space is a space. Segment is the GUID of its own isolation segment, or empty.
type Space struct {
	GUID, Name, Segment string
	Org                 *Org
}

// Segment is an isolation segment. Orgs are the GUIDs of those that are entitled to it.
type Segment struct {
	GUID, Name string
	Orgs       []string
}

func (o *Org) guid() string     { return o.GUID }
func (s *Space) guid() string   { return s.GUID }
func (s *Segment) guid() string { return s.GUID }

// AddOrg makes an org.
func (s *Server) AddOrg(name string) *Org {
	s.mu.Lock()
	defer s.mu.Unlock()
	org := &Org{GUID: newGUID(), Name: name}
	s.orgs = append(s.orgs, org)
	return org
}

// AddSpace makes a space.
func (s *Server) AddSpace(org *Org, name string) *Space {
	s.mu.Lock()
	defer s.mu.Unlock()
	space := &Space{GUID: newGUID(), Name: name, Org: org}
	s.spaces = append(s.spaces, space)
	return space
}

// AddSegment makes an isolation segment to which the orgs are entitled.
func (s *Server) AddSegment(name string, orgs ...*Org) *Segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	segment := &Segment{GUID: newGUID(), Name: name}
	for _, org := range orgs {
		segment.Orgs = append(segment.Orgs, org.GUID)
	}
	s.segments = append(s.segments, segment)
	return segment
}

// DeleteSpace deletes a space, with no app in it.
func (s *Server) DeleteSpace(space *Space) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deleteSpace(space)
}

func (s *Server) deleteSpace(space *Space) {
	for _, group := range s.groups {
		group.Running, group.Staging = remove(group.Running, space.GUID), remove(group.Staging, space.GUID)
	}
	s.spaces = slices.DeleteFunc(s.spaces, func(one *Space) bool { return one == space })
}

// DeleteOrg deletes an org with all that it has.
func (s *Server) DeleteOrg(org *Org) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, segment := range s.segments {
		segment.Orgs = remove(segment.Orgs, org.GUID)
	}
	s.apps = slices.DeleteFunc(s.apps, func(a *App) bool { return a.space.Org == org })
	s.processes = slices.DeleteFunc(s.processes, func(p *process) bool { return p.app.space.Org == org })
	for _, space := range slices.Clone(s.spaces) {
		if space.Org == org {
			s.deleteSpace(space)
		}
	}
	s.orgs = slices.DeleteFunc(s.orgs, func(o *Org) bool { return o == org })
}

// Segment is the segment of that name as it is now, or nil.
func (s *Server) Segment(name string) *Segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, segment := range s.segments {
		if segment.Name == name {
			copied := *segment
			return &copied
		}
	}
	return nil
}

func remove(all []string, one string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(is string) bool { return is == one })
}

// placement is the name of the segment in which the space's apps are started; empty is the shared cells.
func (s *Server) placement(space *Space) string {
	guid := space.Segment
	if guid == "" {
		guid = space.Org.Default
	}
	if segment := find(s.segments, guid); segment != nil && guid != SharedSegment {
		return segment.Name
	}
	return ""
}

func (s *Server) listOrgs(r *http.Request) answer {
	var rows []row
	for _, org := range s.orgs {
		rows = append(rows, row{map[string]any{"guid": org.GUID, "name": org.Name}, map[string][]string{"names": {org.Name}, "guids": {org.GUID}}})
	}
	return s.list(r, rows, "names", "guids")
}

func (s *Server) listSpaces(r *http.Request) answer {
	var rows []row
	for _, space := range s.spaces {
		rows = append(rows, row{
			map[string]any{"guid": space.GUID, "name": space.Name, "relationships": map[string]any{"organization": presentOne(space.Org.GUID)}},
			map[string][]string{"names": {space.Name}, "guids": {space.GUID}, "organization_guids": {space.Org.GUID}},
		})
	}
	return s.list(r, rows, "names", "guids", "organization_guids")
}

func (s *Server) getDefault(r *http.Request) answer {
	org := find(s.orgs, r.PathValue("guid"))
	if org == nil {
		return notFound("Organization")
	}
	return ok(presentOne(org.Default))
}

func (s *Server) setDefault(r *http.Request) answer {
	org := find(s.orgs, r.PathValue("guid"))
	if org == nil {
		return notFound("Organization")
	}
	guid, refused, allowed := s.wanted(r, org)
	if !allowed {
		return refused
	}
	org.Default = guid
	return ok(presentOne(guid))
}

func (s *Server) assignSpace(r *http.Request) answer {
	space := find(s.spaces, r.PathValue("guid"))
	if space == nil {
		return notFound("Space")
	}
	guid, refused, allowed := s.wanted(r, space.Org)
	if !allowed {
		return refused
	}
	space.Segment = guid
	return ok(presentOne(guid))
}

// wanted is the segment that a request names for the org; empty means none.
func (s *Server) wanted(r *http.Request, org *Org) (guid string, refused answer, allowed bool) {
	var body toOne
	if refused, fine := decode(r, &body); !fine {
		return "", refused, false
	}
	if body.Data == nil || body.Data.GUID == nil {
		return "", answer{}, true
	}
	segment := find(s.segments, *body.Data.GUID)
	if segment == nil || !slices.Contains(segment.Orgs, org.GUID) {
		return "", unprocessable("Unable to assign isolation segment with guid '%s'. Ensure it has been entitled to the organization.", *body.Data.GUID), false
	}
	return segment.GUID, answer{}, true
}

func (s *Server) listSegments(r *http.Request) answer {
	var rows []row
	for _, segment := range s.segments {
		rows = append(rows, row{
			map[string]any{"guid": segment.GUID, "name": segment.Name},
			map[string][]string{"names": {segment.Name}, "guids": {segment.GUID}, "organization_guids": segment.Orgs},
		})
	}
	return s.list(r, rows, "names", "guids", "organization_guids")
}

func (s *Server) createSegment(r *http.Request) answer {
	var body struct{ Name string }
	if refused, fine := decode(r, &body); !fine {
		return refused
	}
	if slices.ContainsFunc(s.segments, func(segment *Segment) bool { return strings.EqualFold(segment.Name, body.Name) }) {
		return unprocessable("Isolation Segment names are case insensitive and must be unique")
	}
	segment := &Segment{GUID: newGUID(), Name: body.Name}
	s.segments = append(s.segments, segment)
	return created(map[string]any{"guid": segment.GUID, "name": segment.Name})
}

func (s *Server) deleteSegment(r *http.Request) answer {
	segment := find(s.segments, r.PathValue("guid"))
	if segment == nil {
		return notFound("Isolation segment")
	}
	if len(segment.Orgs) > 0 {
		return unprocessable("Revoke the Organization entitlements for your Isolation Segment.")
	}
	s.segments = slices.DeleteFunc(s.segments, func(one *Segment) bool { return one == segment })
	return answer{status: http.StatusNoContent}
}

func (s *Server) segmentOrgs(r *http.Request) answer {
	segment := find(s.segments, r.PathValue("guid"))
	if segment == nil {
		return notFound("Isolation segment")
	}
	return ok(presentMany(segment.Orgs))
}

func (s *Server) segmentSpaces(r *http.Request) answer {
	segment := find(s.segments, r.PathValue("guid"))
	if segment == nil {
		return notFound("Isolation segment")
	}
	var guids []string
	for _, space := range s.spaces {
		if space.Segment == segment.GUID {
			guids = append(guids, space.GUID)
		}
	}
	return ok(presentMany(guids))
}

func (s *Server) entitle(r *http.Request) answer {
	segment := find(s.segments, r.PathValue("guid"))
	if segment == nil {
		return notFound("Isolation segment")
	}
	var body toMany
	if refused, fine := decode(r, &body); !fine {
		return refused
	}
	for _, guid := range body.guids() {
		if find(s.orgs, guid) == nil {
			return unprocessable("Unable to entitle organizations [%s] for isolation segment. Ensure the organizations exist and that you have access to them.", guid)
		}
		if !slices.Contains(segment.Orgs, guid) {
			segment.Orgs = append(segment.Orgs, guid)
		}
	}
	return created(presentMany(segment.Orgs))
}

func (s *Server) revoke(r *http.Request) answer {
	segment, org := find(s.segments, r.PathValue("guid")), find(s.orgs, r.PathValue("orgGUID"))
	if segment == nil || org == nil {
		return notFound("Isolation segment or organization")
	}
	if org.Default == segment.GUID {
		return unprocessable("Cannot remove the entitlement while this Isolation Segment is assigned as the Default Isolation Segment for the Organization.")
	}
	for _, space := range s.spaces {
		if space.Org == org && space.Segment == segment.GUID {
			return unprocessable("Cannot remove the entitlement while this Isolation Segment is assigned to any Spaces. Currently assigned to: ['%s']", space.Name)
		}
	}
	segment.Orgs = remove(segment.Orgs, org.GUID)
	return answer{status: http.StatusNoContent}
}
