package isolation

import (
	"context"
	"fmt"
	"slices"

	"github.com/cloudfoundry/go-cfclient/v3/resource"
)

// planRemoval says what is left to undo. The security group goes first, so that no app takes it along to
// the shared cells; the segment goes last, after the last app has left it, so that a run that was stopped
// finds its place again. The org itself may be gone.
func (r *run) planRemoval(s state) (plan, error) {
	if err := r.othersHave(s); err != nil {
		return plan{}, err
	}
	var p plan
	for _, a := range s.apps {
		if a.in(r.config.Name()) {
			p.moves = append(p.moves, move{a, cells(r.config.Name())})
		}
	}
	if s.group != nil {
		p.now = append(p.now, step{"delete the security group " + s.group.Name, func(ctx context.Context) error {
			return r.client.Delete(ctx, "/v3/security_groups/"+s.group.GUID)
		}})
	}
	if s.segment == nil {
		return p, nil
	}
	for _, space := range s.spaces {
		if s.assigned[space.GUID] == s.segment.GUID {
			p.now = append(p.now, r.reset(fmt.Sprintf("take the space %q out of the isolation segment", space.Name),
				"/v3/spaces/"+space.GUID+"/relationships/isolation_segment"))
		}
	}
	if s.isDefault() {
		p.now = append(p.now, r.reset("take the isolation segment from the org as its default",
			"/v3/organizations/"+s.org.GUID+"/relationships/default_isolation_segment"))
	}
	last := r.deleteSegment(s)
	if len(p.now) == 0 && len(p.moves) == 0 {
		p.now = last
		return p, nil
	}
	for _, step := range last {
		p.last = append(p.last, step.text)
	}
	return p, nil
}

func (r *run) reset(text, path string) step {
	return step{text, func(ctx context.Context) error {
		return r.client.Patch(ctx, path, resource.ToOneRelationship{}, nil)
	}}
}

func (r *run) deleteSegment(s state) []step {
	var out []step
	if s.org != nil && slices.Contains(s.entitled, s.org.GUID) {
		out = append(out, step{fmt.Sprintf("take the entitlement from the org %q", r.config.Org), func(ctx context.Context) error {
			return r.client.Delete(ctx, "/v3/isolation_segments/"+s.segment.GUID+"/relationships/organizations/"+s.org.GUID)
		}})
	}
	return append(out, step{"delete the isolation segment " + s.segment.Name, func(ctx context.Context) error {
		return r.client.Delete(ctx, "/v3/isolation_segments/"+s.segment.GUID)
	}})
}
