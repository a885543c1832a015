package cftest

import (
	"net/http"
	"slices"
)

// App is an app that is started.
type App struct {
	GUID, Name string

	space *Space
	// broken says that no new instance of it comes up.
	broken bool
}

// process is a process of an app, with what Diego was asked for.
type process struct {
	GUID, kind string
	app        *App
	instances  int
	// desired says that Diego knows of it, and placement with which tag.
	desired   bool
	placement string
	state     string
}

func (a *App) guid() string     { return a.GUID }
func (p *process) guid() string { return p.GUID }

// AddApp starts an app with so many instances of each process, as in {"web": 2}, where its space runs now.
func (s *Server) AddApp(space *Space, name string, instances map[string]int) *App {
	s.mu.Lock()
	defer s.mu.Unlock()
	app := &App{GUID: newGUID(), Name: name, space: space}
	s.apps = append(s.apps, app)
	for kind, number := range instances {
		s.desire(s.newProcess(app, kind, number))
	}
	return app
}

// Restart does what the org's own people may do at any time.
func (s *Server) Restart(app *App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.restart(app)
}

func (s *Server) restart(app *App) {
	for _, p := range s.of(app) {
		s.desire(p)
	}
}

// Crash lets all instances of the app crash.
func (s *Server) Crash(app *App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.of(app) {
		p.state = "CRASHED"
	}
}

// Spoil lets no new instance of the app come up any more.
func (s *Server) Spoil(app *App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	app.broken = true
}

// Lose lets Diego forget the app, so that its instances are down.
func (s *Server) Lose(app *App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.of(app) {
		p.desired = false
	}
}

// Placements are the segments of the app's processes by their type; empty is the shared cells.
func (s *Server) Placements(app *App) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string]string{}
	for _, p := range s.of(app) {
		out[p.kind] = p.placement
	}
	return out
}

func (s *Server) newProcess(app *App, kind string, instances int) *process {
	p := &process{GUID: newGUID(), kind: kind, app: app, instances: instances}
	s.processes = append(s.processes, p)
	return p
}

// desire asks Diego to run the process where its space runs now.
func (s *Server) desire(p *process) {
	p.desired, p.placement, p.state = true, s.placement(p.app.space), "RUNNING"
	if p.app.broken {
		p.state = "CRASHED"
	}
}

func (s *Server) of(app *App) []*process {
	return slices.DeleteFunc(slices.Clone(s.processes), func(p *process) bool { return p.app != app })
}

func (s *Server) listApps(r *http.Request) answer {
	var rows []row
	for _, app := range s.apps {
		rows = append(rows, row{
			map[string]any{
				"guid": app.GUID, "name": app.Name, "state": "STARTED",
				"lifecycle":     map[string]any{"type": "buildpack", "data": map[string]any{"buildpacks": []any{}, "stack": "cflinuxfs4"}},
				"relationships": map[string]any{"space": presentOne(app.space.GUID)},
			},
			map[string][]string{"names": {app.Name}, "guids": {app.GUID}, "space_guids": {app.space.GUID}, "organization_guids": {app.space.Org.GUID}},
		})
	}
	return s.list(r, rows, "names", "guids", "space_guids", "organization_guids")
}

func (s *Server) listProcesses(r *http.Request) answer {
	var rows []row
	for _, p := range s.processes {
		rows = append(rows, row{
			map[string]any{
				"guid": p.GUID, "type": p.kind, "instances": p.instances,
				"relationships": map[string]any{"app": presentOne(p.app.GUID)},
			},
			map[string][]string{"guids": {p.GUID}, "types": {p.kind}, "app_guids": {p.app.GUID}, "organization_guids": {p.app.space.Org.GUID}},
		})
	}
	return s.list(r, rows, "guids", "types", "app_guids", "organization_guids")
}

// stats shows each instance. The segment is null on the shared cells, and for an instance that Diego does
// not know of.
func (s *Server) stats(r *http.Request) answer {
	p := find(s.processes, r.PathValue("guid"))
	if p == nil {
		return notFound("Process")
	}
	resources := []any{}
	for index := range p.instances {
		instance := map[string]any{"type": p.kind, "index": index, "state": p.state, "isolation_segment": nil, "details": nil}
		if !p.desired {
			instance["state"] = "DOWN"
		} else if p.placement != "" {
			instance["isolation_segment"] = p.placement
		}
		resources = append(resources, instance)
	}
	return ok(map[string]any{"resources": resources})
}

// restartApp stops everything and starts it again, without a look at whether it comes up.
func (s *Server) restartApp(r *http.Request) answer {
	app := find(s.apps, r.PathValue("guid"))
	if app == nil {
		return notFound("App")
	}
	s.restart(app)
	return ok(map[string]any{"guid": app.GUID, "name": app.Name, "state": "STARTED"})
}
