package isolation

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/cloudfoundry/go-cfclient/v3/resource"

	"privnet/cfapi"
)

// States of CF that matter here.
const (
	appStarted      = "STARTED"
	instanceRunning = "RUNNING"
	instanceDown    = "DOWN"
	processWeb      = "web"
)

// app is an app that is started.
type app struct {
	guid, name       string
	spaceGUID, space string
	// placements are the segments in which it has instances; the empty one is the shared cells.
	placements []string
	// serving says whether a web instance of it runs, which a restart must not interrupt.
	serving bool
}

// String names the app with its space.
func (a app) String() string { return fmt.Sprintf("app %q in space %q", a.name, a.space) }

// elsewhere is a placement of the app outside of the segment.
func (a app) elsewhere(segment string) (from string, found bool) {
	i := slices.IndexFunc(a.placements, func(placement string) bool { return placement != segment })
	if i < 0 {
		return "", false
	}
	return cells(a.placements[i]), true
}

func (a app) in(segment string) bool { return slices.Contains(a.placements, segment) }

func cells(segment string) string {
	if segment == "" {
		return "the shared cells"
	}
	return "the cells of the isolation segment " + segment
}

// readApps finds the started apps of the org and where their instances are.
func (r *run) readApps(ctx context.Context, s *state) error {
	if s.org == nil {
		return nil
	}
	apps, err := cfapi.List[*resource.App](ctx, r.client, "/v3/apps", s.ofOrg())
	if err != nil {
		return fmt.Errorf("listing the org's apps: %w", err)
	}
	processes, err := cfapi.List[*resource.Process](ctx, r.client, "/v3/processes", s.ofOrg())
	if err != nil {
		return fmt.Errorf("listing the processes of the org's apps: %w", err)
	}
	of := map[string][]*resource.Process{}
	for _, process := range processes {
		if process.Relationships.App.Data != nil {
			guid := process.Relationships.App.Data.GUID
			of[guid] = append(of[guid], process)
		}
	}
	for _, found := range apps {
		if found.State != appStarted || found.Relationships.Space.Data == nil {
			continue
		}
		space := s.space(found.Relationships.Space.Data.GUID)
		if space == nil {
			return fmt.Errorf("the app %q is in a space that was made while this was read; run the errand again", found.Name)
		}
		a := app{guid: found.GUID, name: found.Name, spaceGUID: space.GUID, space: space.Name}
		if err := r.place(ctx, &a, of[a.guid]); err != nil {
			return err
		}
		s.apps = append(s.apps, a)
	}
	return nil
}

// place reads where the processes run. CF answers with the placement tag with which Diego was asked to run
// them; the org's and the space's segment of today say nothing of apps that were started before.
func (r *run) place(ctx context.Context, a *app, processes []*resource.Process) error {
	for _, process := range processes {
		if process.Instances == 0 {
			continue
		}
		var stats resource.ProcessStats
		switch err := r.client.Get(ctx, "/v3/processes/"+process.GUID+"/stats", &stats); {
		case cfapi.StatusOf(err) == http.StatusNotFound:
			continue
		case err != nil:
			return fmt.Errorf("asking where %s runs: %w", *a, err)
		}
		for _, instance := range stats.Stats {
			segment := ""
			if instance.IsolationSegment != nil {
				segment = *instance.IsolationSegment
			}
			// CF makes up an instance that Diego does not know of. One that waits for room has details.
			if instance.State == instanceDown && segment == "" && instance.Details == nil {
				continue
			}
			if !a.in(segment) {
				a.placements = append(a.placements, segment)
			}
			if process.Type == processWeb && instance.State == instanceRunning {
				a.serving = true
			}
		}
	}
	return nil
}

// placeNow reads anew where one app runs.
func (r *run) placeNow(ctx context.Context, a app) (app, error) {
	a.placements, a.serving = nil, false
	processes, err := cfapi.List[*resource.Process](ctx, r.client, "/v3/processes", url.Values{"app_guids": {a.guid}})
	if err != nil {
		return a, fmt.Errorf("listing the processes of %s: %w", a, err)
	}
	return a, r.place(ctx, &a, processes)
}
