package cftest

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// discardLog keeps what Go's server says of refused handshakes out of the specs' output.
var discardLog = log.New(io.Discard, "", 0)

// Fault is what goes wrong.
type Fault struct {
	// Method and Path say of which requests; an empty method is any, Path is the beginning of a path.
	Method, Path string
	// Status is the HTTP status of the answer; 0 cuts the connection.
	Status int
	Header http.Header
	// Done says that the request is carried out all the same: only its answer gets lost.
	Done bool
	// Skip is how many of these requests go well first.
	Skip int
	// Times is how often; 0 means always.
	Times int
	// Meanwhile is what somebody else does just before; the request itself goes well.
	Meanwhile func()

	met int
}

// Break lets requests fail from now on.
func (s *Server) Break(fault Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &fault)
}

// Limit lets the rate limiter answer 429 after that many requests, until the clock has gone on by the time.
func (s *Server) Limit(requests int, reset time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit, s.limited = requests, s.Clock.Now().Add(reset)
}

// RevokeTokens makes every token that was given so far invalid.
func (s *Server) RevokeTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for value := range s.tokens {
		s.tokens[value] = token{}
	}
}

// Requests are the API's requests so far, as in "GET /v3/spaces".
func (s *Server) Requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Changes are the requests that were not questions.
func (s *Server) Changes() []string {
	return slices.DeleteFunc(s.Requests(), func(request string) bool { return strings.HasPrefix(request, "GET ") })
}

// Secrets are what nobody may print: the client's secret and every token.
func (s *Server) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []string{ClientSecret, url.QueryEscape(ClientSecret)}
	for value := range s.tokens {
		out = append(out, value)
	}
	return out
}

func (s *Server) faulty(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fault := s.next(r)
		if fault == nil {
			next.ServeHTTP(w, r)
			return
		}
		if fault.Meanwhile != nil {
			fault.Meanwhile()
			next.ServeHTTP(w, r)
			return
		}
		if fault.Done {
			next.ServeHTTP(httptest.NewRecorder(), r)
		}
		if fault.Status == 0 {
			panic(http.ErrAbortHandler)
		}
		for name, values := range fault.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(fault.Status)
	})
}

// next is the fault that this request meets, if it does.
func (s *Server) next(r *http.Request) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/v3/") {
		s.requests = append(s.requests, r.Method+" "+r.URL.Path)
		if s.limit == 0 && s.Clock.Now().Before(s.limited) {
			// The Cloud Controller's limiter gives the time of the reset, not the time until then.
			reset := strconv.FormatInt(s.limited.Unix(), 10)
			return &Fault{Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {reset}, "X-Ratelimit-Reset": {reset}}}
		}
		if s.limit > 0 {
			s.limit--
		}
	}
	for _, fault := range s.faults {
		if (fault.Method != "" && fault.Method != r.Method) || !strings.HasPrefix(r.URL.Path, fault.Path) {
			continue
		}
		fault.met++
		if fault.met > fault.Skip && (fault.Times == 0 || fault.met <= fault.Skip+fault.Times) {
			return fault
		}
	}
	return nil
}
