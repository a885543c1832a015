package cftest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	admin         = "cloud_controller.admin"
	adminReadOnly = "cloud_controller.admin_read_only"
)

// clients are the UAA's clients by name, with their authorities. The first may also do what CF's API never
// asks for, as clients in real life do.
var clients = map[string][]string{
	ClientID: {admin, "clients.write"},
	ReaderID: {adminReadOnly},
}

type token struct {
	scopes []string
	until  time.Time
}

// token is the UAA's endpoint for tokens, for the grant type client_credentials (RFC 6749, 4.4).
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, why, text string) {
		answer{status: status, body: map[string]any{"error": why, "error_description": text}}.write(w)
	}
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	scopes, known := clients[id]
	switch {
	case !known || secret != ClientSecret:
		refuse(http.StatusUnauthorized, "unauthorized", "Bad credentials")
		return
	case r.FormValue("grant_type") != "client_credentials":
		refuse(http.StatusUnauthorized, "invalid_client", "Unauthorized grant type")
		return
	}
	if asked := strings.Fields(r.FormValue("scope")); len(asked) > 0 {
		scopes = slices.DeleteFunc(slices.Clone(scopes), func(scope string) bool { return !slices.Contains(asked, scope) })
		if len(scopes) == 0 {
			refuse(http.StatusBadRequest, "invalid_scope", "This client is not allowed any of the requested scopes")
			return
		}
	}
	value := newGUID()
	s.mu.Lock()
	s.tokens[value] = token{scopes: scopes, until: s.Clock.Now().Add(tokenLifetime)}
	s.mu.Unlock()
	ok(map[string]any{
		"access_token": value, "token_type": "bearer", "expires_in": int(tokenLifetime.Seconds()), "scope": strings.Join(scopes, " "),
	}).write(w)
}

// Scopes are those of the tokens that were given so far.
func (s *Server) Scopes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, token := range s.tokens {
		out = append(out, token.scopes...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// authorized lets those in who may do what they ask for, and does it under the lock.
func (s *Server) authorized(handle handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		value, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		given, known := s.tokens[value]
		reads := r.Method == http.MethodGet
		switch {
		case value == "":
			failure(http.StatusUnauthorized, 10002, "CF-NotAuthenticated", "Authentication error").write(w)
		case !known || !s.Clock.Now().Before(given.until):
			failure(http.StatusUnauthorized, 1000, "CF-InvalidAuthToken", "Invalid Auth Token").write(w)
		case !slices.Contains(given.scopes, admin) && !(reads && slices.Contains(given.scopes, adminReadOnly)):
			failure(http.StatusForbidden, 10003, "CF-NotAuthorized", "You are not authorized to perform the requested action").write(w)
		default:
			handle(r).write(w)
		}
	}
}
