// Package cftest is a Cloud Foundry API, version 3, with its UAA, for specs: the part of it that deals with
// isolation segments, security groups and where apps run, served over TLS on a loopback address.
//
// It keeps state and answers as the API documents and the Cloud Controller does: pages, filters, jobs that
// take time, 422 for what contradicts the state, scopes, tokens that expire, rate limits. Time is its
// Clock's, which specs move; what takes time goes on a little with each question for it. Specs may break
// it, see Break. It is no Cloud Foundry: roles, quotas, staging and everything else are not there.
package cftest

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

const (
	// ClientID and ClientSecret are the credentials of the UAA client that may do everything.
	ClientID     = "org-isolation"
	ClientSecret = "the-client's secret+&"
	// ReaderID has the same secret and may only look.
	ReaderID = "org-isolation-reader"
	// SharedSegment is the GUID of the segment that every platform has.
	SharedSegment = "933b4c58-120b-499a-b85d-4b6fc9e2903b"
	// tokenLifetime is how long a token is valid.
	tokenLifetime = 10 * time.Minute
)

// Server is the platform. Its methods may be called while it serves.
type Server struct {
	// URL is the API's.
	URL string
	// CA is the certificate authority of its certificate, as PEM.
	CA    string
	Clock *Clock

	mu          sync.Mutex
	orgs        []*Org
	spaces      []*Space
	segments    []*Segment
	groups      []*Group
	apps        []*App
	processes   []*process
	deployments []*deployment
	jobs        map[string]*job
	tokens      map[string]token
	faults      []*Fault
	limit       int
	limited     time.Time
	requests    []string
	stop        func()
}

// Start serves a platform that has only the shared segment. Stop ends it.
func Start() *Server {
	s := &Server{Clock: &Clock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}, jobs: map[string]*job{}, tokens: map[string]token{}, limit: -1}
	s.segments = []*Segment{{GUID: SharedSegment, Name: "shared"}}
	server := httptest.NewUnstartedServer(s.routes())
	server.Config.ErrorLog = discardLog
	server.StartTLS()
	s.URL, s.stop = server.URL, server.Close
	s.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	return s
}

// routes are the endpoints. The UAA and the API's root ask for no token.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.root)
	mux.HandleFunc("POST /oauth/token", s.token)
	for pattern, handle := range map[string]handler{
		"GET /v3/organizations": s.listOrgs,
		"GET /v3/organizations/{guid}/relationships/default_isolation_segment":   s.getDefault,
		"PATCH /v3/organizations/{guid}/relationships/default_isolation_segment": s.setDefault,
		"GET /v3/spaces": s.listSpaces,
		"PATCH /v3/spaces/{guid}/relationships/isolation_segment":                    s.assignSpace,
		"GET /v3/isolation_segments":                                                 s.listSegments,
		"POST /v3/isolation_segments":                                                s.createSegment,
		"DELETE /v3/isolation_segments/{guid}":                                       s.deleteSegment,
		"GET /v3/isolation_segments/{guid}/relationships/organizations":              s.segmentOrgs,
		"POST /v3/isolation_segments/{guid}/relationships/organizations":             s.entitle,
		"DELETE /v3/isolation_segments/{guid}/relationships/organizations/{orgGUID}": s.revoke,
		"GET /v3/isolation_segments/{guid}/relationships/spaces":                     s.segmentSpaces,
		"GET /v3/security_groups":                                                    s.listGroups,
		"POST /v3/security_groups":                                                   s.createGroup,
		"PATCH /v3/security_groups/{guid}":                                           s.updateGroup,
		"DELETE /v3/security_groups/{guid}":                                          s.deleteGroup,
		"POST /v3/security_groups/{guid}/relationships/running_spaces":               s.bindRunning,
		"POST /v3/security_groups/{guid}/relationships/staging_spaces":               s.bindStaging,
		"GET /v3/apps":                               s.listApps,
		"POST /v3/apps/{guid}/actions/restart":       s.restartApp,
		"GET /v3/processes":                          s.listProcesses,
		"GET /v3/processes/{guid}/stats":             s.stats,
		"GET /v3/deployments":                        s.listDeployments,
		"POST /v3/deployments":                       s.createDeployment,
		"GET /v3/deployments/{guid}":                 s.getDeployment,
		"POST /v3/deployments/{guid}/actions/cancel": s.cancelDeployment,
		"GET /v3/jobs/{guid}":                        s.getJob,
	} {
		mux.HandleFunc(pattern, s.authorized(handle))
	}
	mux.HandleFunc("/", s.authorized(func(*http.Request) answer {
		return failure(http.StatusNotFound, 10000, "CF-NotFound", "Unknown request")
	}))
	return s.faulty(mux)
}

// handler answers one request, under the server's lock.
type handler func(*http.Request) answer

// answer is what is sent: a status, a header or two, and a body that becomes JSON.
type answer struct {
	status   int
	location string
	body     any
}

func ok(body any) answer      { return answer{status: http.StatusOK, body: body} }
func created(body any) answer { return answer{status: http.StatusCreated, body: body} }

func failure(status, code int, title, detail string) answer {
	return answer{status: status, body: map[string]any{"errors": []any{map[string]any{"code": code, "title": title, "detail": detail}}}}
}

func unprocessable(format string, args ...any) answer {
	return failure(http.StatusUnprocessableEntity, 10008, "CF-UnprocessableEntity", fmt.Sprintf(format, args...))
}

func notFound(what string) answer {
	return failure(http.StatusNotFound, 10010, "CF-ResourceNotFound", what+" not found")
}

func (a answer) write(w http.ResponseWriter) {
	if a.location != "" {
		w.Header().Set("Location", a.location)
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(a.status)
	if a.body != nil {
		_ = json.NewEncoder(w).Encode(a.body)
	}
}

// root is the API's entry point, which says where the UAA is.
func (s *Server) root(w http.ResponseWriter, _ *http.Request) {
	href := map[string]any{"href": s.URL}
	ok(map[string]any{"links": map[string]any{"self": href, "uaa": href, "login": href, "app_ssh": map[string]any{"meta": map[string]any{}}}}).write(w)
}

// decode reads a request's body and refuses fields that the API does not know.
func decode(r *http.Request, into any) (answer, bool) {
	decoder := json.NewDecoder(r.Body)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return unprocessable("Unknown field(s) or wrong type: %v", err), false
	}
	return answer{}, true
}

type relation struct {
	GUID *string `json:"guid"`
}

type toOne struct {
	Data *relation `json:"data"`
}

type toMany struct {
	Data []struct {
		GUID string `json:"guid"`
	} `json:"data"`
}

func (m toMany) guids() []string {
	var out []string
	for _, one := range m.Data {
		out = append(out, one.GUID)
	}
	return out
}

func presentMany(guids []string) map[string]any {
	data := []any{}
	for _, guid := range guids {
		data = append(data, map[string]any{"guid": guid})
	}
	return map[string]any{"data": data}
}

func presentOne(guid string) map[string]any {
	if guid == "" {
		return map[string]any{"data": nil}
	}
	return map[string]any{"data": map[string]any{"guid": guid}}
}

func newGUID() string { return uuid.NewString() }

// find is the element with that GUID, or nil.
func find[T interface{ guid() string }](all []T, guid string) (found T) {
	if i := slices.IndexFunc(all, func(one T) bool { return one.guid() == guid }); i >= 0 {
		return all[i]
	}
	return found
}

func fold(a string) func(string) bool { return func(b string) bool { return strings.EqualFold(a, b) } }

// Stop ends it.
func (s *Server) Stop() { s.stop() }
