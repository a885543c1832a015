package cftest

import (
	"net/http"
	"slices"
)

// deployment replaces an app's web process, instance by instance.
type deployment struct {
	GUID          string
	app           *App
	web           *process
	value, reason string
	questions     int
}

// deploymentQuestions is how often a deployment is asked for before it is done.
const deploymentQuestions = 3

func (d *deployment) guid() string { return d.GUID }

// StartDeployment begins a deployment of somebody else, which ends only when it is asked for.
func (s *Server) StartDeployment(app *App) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deploy(app)
}

func (s *Server) deploy(app *App) *deployment {
	for _, other := range s.deployments {
		if other.app == app && other.value == "ACTIVE" {
			other.value, other.reason = "FINALIZED", "SUPERSEDED"
		}
	}
	web := s.newProcess(app, "web", 1)
	s.desire(web)
	d := &deployment{GUID: newGUID(), app: app, web: web, value: "ACTIVE", reason: "DEPLOYING"}
	s.deployments = append(s.deployments, d)
	return d
}

func (d *deployment) present() map[string]any {
	return map[string]any{
		"guid": d.GUID, "strategy": "rolling", "status": map[string]any{"value": d.value, "reason": d.reason, "details": map[string]any{}},
		"relationships": map[string]any{"app": presentOne(d.app.GUID)},
	}
}

func (s *Server) listDeployments(r *http.Request) answer {
	var rows []row
	for _, d := range s.deployments {
		rows = append(rows, row{d.present(), map[string][]string{"app_guids": {d.app.GUID}, "status_values": {d.value}, "status_reasons": {d.reason}}})
	}
	return s.list(r, rows, "app_guids", "status_values", "status_reasons")
}

func (s *Server) createDeployment(r *http.Request) answer {
	var body struct {
		Strategy      string
		Relationships struct{ App toOne }
	}
	if refused, fine := decode(r, &body); !fine {
		return refused
	}
	if body.Relationships.App.Data == nil || body.Relationships.App.Data.GUID == nil {
		return unprocessable("Relationships 'relationships' must include app")
	}
	app := find(s.apps, *body.Relationships.App.Data.GUID)
	if app == nil {
		return unprocessable("Unable to use app. Ensure that the app exists and you have access to it.")
	}
	if body.Strategy != "" && body.Strategy != "rolling" {
		return unprocessable("Strategy '%s' is not a supported deployment strategy", body.Strategy)
	}
	return created(s.deploy(app).present())
}

// getDeployment lets the deployment go on. One whose app has no web instance never ends, as in the Cloud
// Controller, nor does one whose instances do not come up.
func (s *Server) getDeployment(r *http.Request) answer {
	d := find(s.deployments, r.PathValue("guid"))
	if d == nil {
		return notFound("Deployment")
	}
	if d.value == "ACTIVE" {
		d.questions++
		if d.questions >= deploymentQuestions && d.web.state == "RUNNING" && s.webInstances(d) > 0 {
			s.finish(d)
		}
	}
	return ok(d.present())
}

// webInstances are those that the app had before the deployment.
func (s *Server) webInstances(d *deployment) int {
	instances := 0
	for _, p := range s.of(d.app) {
		if p.kind == "web" && p != d.web {
			instances += p.instances
		}
	}
	return instances
}

// finish leaves the new web process alone and restarts the others.
func (s *Server) finish(d *deployment) {
	d.web.instances = s.webInstances(d)
	s.processes = slices.DeleteFunc(s.processes, func(p *process) bool { return p.app == d.app && p.kind == "web" && p != d.web })
	for _, p := range s.of(d.app) {
		if p != d.web {
			s.desire(p)
		}
	}
	d.value, d.reason = "FINALIZED", "DEPLOYED"
}

func (s *Server) cancelDeployment(r *http.Request) answer {
	d := find(s.deployments, r.PathValue("guid"))
	if d == nil {
		return notFound("Deployment")
	}
	if d.value != "ACTIVE" {
		return unprocessable("Cannot cancel a FINALIZED deployment")
	}
	s.processes = slices.DeleteFunc(s.processes, func(p *process) bool { return p == d.web })
	d.value, d.reason = "FINALIZED", "CANCELED"
	return ok(nil)
}
