package cfapi

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"time"
)

const (
	// maxAttempts is how often a request is sent before its last answer counts.
	maxAttempts = 8
	// firstPause doubles with every attempt up to maxPause.
	firstPause = time.Second
	maxPause   = 30 * time.Second
	// maxAsked is the longest time for which the API may ask us to wait: CF's rate limit counts by the hour.
	maxAsked = 65 * time.Minute
)

// patient sends a request again when the API is too busy or its answer got lost, after the time that the
// API asks for, else after ever longer ones.
type patient struct {
	next   http.RoundTripper
	clock  Clock
	notice func(string)
}

// RoundTrip implements http.RoundTripper. It refuses what would show the credentials to somebody else: a
// URL that is not https, and a redirect, to whose target the token would be sent.
func (p *patient) RoundTrip(request *http.Request) (*http.Response, error) {
	where := request.Method + " " + request.URL.Host + request.URL.Path
	if request.URL.Scheme != "https" {
		return nil, fmt.Errorf("%s is not https; nothing was sent", request.URL.Redacted())
	}
	for attempt := 1; ; attempt++ {
		sent, err := again(request, attempt)
		if err != nil {
			return nil, fmt.Errorf("repeating %s: %w", where, err)
		}
		response, err := p.next.RoundTrip(sent)
		if err == nil && response.StatusCode >= 300 && response.StatusCode < 400 {
			discard(response)
			return nil, fmt.Errorf("%s is redirected to %q, which is not followed; give the URL of the API itself", where, response.Header.Get("Location"))
		}
		why := reason(request.Context(), response, err)
		if why == "" || attempt == maxAttempts {
			return response, err
		}
		pause := p.pause(response, attempt)
		if pause > maxAsked {
			p.notice(fmt.Sprintf("%s to %s, and the API asks to wait for %s: that is too long", why, where, pause.Round(time.Second)))
			return response, err
		}
		p.notice(fmt.Sprintf("%s to %s: waiting for %s", why, where, pause.Round(time.Millisecond)))
		if response != nil {
			discard(response)
		}
		if err := p.clock.Sleep(request.Context(), pause); err != nil {
			return nil, err
		}
	}
}

// again is the request with its body from the beginning.
func again(request *http.Request, attempt int) (*http.Request, error) {
	if attempt == 1 || request.Body == nil {
		return request, nil
	}
	if request.GetBody == nil {
		return nil, errors.New("its body can be read only once")
	}
	body, err := request.GetBody()
	if err != nil {
		return nil, err
	}
	repeated := request.Clone(request.Context())
	repeated.Body = body
	return repeated, nil
}

// busy are the statuses after which the same request may succeed.
var busy = []int{
	http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
	http.StatusServiceUnavailable, http.StatusGatewayTimeout,
}

// reason says why the request is worth repeating; empty if it is not.
func reason(ctx context.Context, response *http.Response, err error) string {
	var untrusted *tls.CertificateVerificationError
	switch {
	case ctx.Err() != nil || errors.As(err, &untrusted):
		return ""
	case err != nil:
		return fmt.Sprintf("no answer (%v)", err)
	case slices.Contains(busy, response.StatusCode):
		return fmt.Sprintf("answer %d %s", response.StatusCode, http.StatusText(response.StatusCode))
	}
	return ""
}

// pause is how long to wait before the next attempt: never shorter than what the API asks for, and
// spread, so that several errands do not come back together.
func (p *patient) pause(response *http.Response, attempt int) time.Duration {
	pause := min(firstPause<<(attempt-1), maxPause)
	pause += rand.N(pause / 4)
	if response == nil {
		return pause
	}
	return max(pause, retryAfter(response.Header.Get("Retry-After"), p.clock.Now()))
}

// epoch is the number from which Retry-After is no longer a number of seconds to wait: the Cloud
// Controller's rate limiter writes the time itself, as seconds since 1970.
const epoch = 1_000_000_000

// retryAfter understands seconds and dates (RFC 9110, 10.2.3), and the Cloud Controller.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
		if seconds >= epoch {
			return time.Unix(seconds, 0).Sub(now)
		}
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return date.Sub(now)
	}
	return 0
}

// discard reads what is left of an answer, so that its connection can be used again.
func discard(response *http.Response) {
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	_ = response.Body.Close()
}
