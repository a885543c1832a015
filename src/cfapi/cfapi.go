// Package cfapi speaks to a Cloud Foundry API, version 3, as a UAA client (grant type client_credentials),
// for programs that an operator runs: it waits where the API asks for it, and says so.
//
// go-cfclient gives the discovery of the UAA, the tokens, a new one after a 401, and the types of the
// resources. Its own client package is not used, because it compiles its specs' test server into whatever
// imports it, and this one holds the platform's credentials.
//
// A request whose answer got lost is sent again, whatever its method. So a caller may only ask for what
// may be done twice: what has a unique name, a relationship, a deployment that supersedes its twin.
package cfapi

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cloudfoundry/go-cfclient/v3/config"
	"github.com/cloudfoundry/go-cfclient/v3/resource"
)

const (
	// Scope is what a client needs in order to change isolation segments and security groups: CF knows
	// nothing smaller.
	Scope = "cloud_controller.admin"
	// ReadScope is what a client needs in order to look.
	ReadScope = "cloud_controller.admin_read_only"
)

const (
	userAgent = "private-network"
	// pageSize is the number of resources asked for at once; CF's limit is 5000.
	pageSize = 100
	// maxAnswer is the size in bytes over which an answer is not read.
	maxAnswer = 64 << 20
	// requestTimeout ends a request with all its repetitions.
	requestTimeout = 2 * time.Hour
	// answerTimeout is how long one request may wait for the beginning of an answer.
	answerTimeout = time.Minute
	jobInterval   = 2 * time.Second
	jobTimeout    = 10 * time.Minute
)

// API says where the API is and who asks.
type API struct {
	// URL is the API's, https always.
	URL string
	// CACertificate is the certificate authority, as PEM, of the API's and the UAA's certificates; empty
	// means those that the system trusts.
	CACertificate string
	ClientID      string
	ClientSecret  string
	// ReadOnly asks the UAA for no more than ReadScope or Scope gives, whichever the client has; otherwise
	// the token gets Scope and nothing else that the client may have.
	ReadOnly bool
}

// Clock is the time, and how it is waited for.
type Clock interface {
	Now() time.Time
	// Sleep returns early, with the context's error, when the context ends.
	Sleep(context.Context, time.Duration) error
}

// Client is a session. It is not for use by several goroutines.
type Client struct {
	config *config.Config
	clock  Clock
}

// Connect finds the UAA. Notice gets a line for each time that the API makes us wait.
func Connect(api API, clock Clock, notice func(string)) (*Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = answerTimeout
	transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	if api.CACertificate != "" {
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM([]byte(api.CACertificate)) {
			return nil, errors.New("reading the API's CA certificate: it holds no PEM certificate")
		}
		transport.TLSClientConfig.RootCAs = pool
	}
	options := []config.Option{
		config.ClientCredentials(api.ClientID, api.ClientSecret),
		config.HttpClient(&http.Client{Transport: &patient{next: transport, clock: clock, notice: notice}}),
		config.RequestTimeout(requestTimeout),
		config.UserAgent(userAgent),
	}
	if !api.ReadOnly {
		options = append(options, config.Scopes(Scope))
	}
	c, err := config.New(api.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("connecting to the API: %w", err)
	}
	return &Client{config: c, clock: clock}, nil
}

// Get reads one resource.
func (c *Client) Get(ctx context.Context, path string, out any) error {
	_, err := c.do(ctx, http.MethodGet, path, nil, nil, out)
	return err
}

// Post creates something, or adds to a relationship; in and out may be nil.
func (c *Client) Post(ctx context.Context, path string, in, out any) error {
	_, err := c.do(ctx, http.MethodPost, path, nil, in, out)
	return err
}

// Patch changes a resource or a relationship; out may be nil.
func (c *Client) Patch(ctx context.Context, path string, in, out any) error {
	_, err := c.do(ctx, http.MethodPatch, path, nil, in, out)
	return err
}

// Delete removes something and waits until it is gone. What is gone already is no error.
func (c *Client) Delete(ctx context.Context, path string) error {
	job, err := c.do(ctx, http.MethodDelete, path, nil, nil, nil)
	switch {
	case StatusOf(err) == http.StatusNotFound:
		return nil
	case err != nil:
		return err
	case job == "":
		return nil
	}
	if err := c.await(ctx, job); err != nil {
		return fmt.Errorf("waiting for DELETE %s: %w", path, err)
	}
	return nil
}

// await waits for a job of the API.
func (c *Client) await(ctx context.Context, path string) error {
	for end := c.clock.Now().Add(jobTimeout); ; {
		var job resource.Job
		if err := c.Get(ctx, path, &job); err != nil {
			return err
		}
		switch job.State {
		case resource.JobStateComplete:
			return nil
		case resource.JobStateFailed:
			return fmt.Errorf("the job failed: %s", details(job.Errors))
		}
		if c.clock.Now().After(end) {
			return fmt.Errorf("the job is still %s after %s", job.State, jobTimeout)
		}
		if err := c.clock.Sleep(ctx, jobInterval); err != nil {
			return err
		}
	}
}

// do sends one request. job is the path of the job that the API answered with, if it did.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, in, out any) (job string, err error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return "", fmt.Errorf("encoding %s %s: %w", method, path, err)
		}
		body = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.config.ApiURL(path), body)
	if err != nil {
		return "", fmt.Errorf("making the request %s %s: %w", method, path, err)
	}
	request.URL.RawQuery = query.Encode()
	request.Header.Set("User-Agent", userAgent)
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := c.config.HTTPAuthClient().Do(request)
	if err != nil {
		return "", fmt.Errorf("asking the API: %w", err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("reading the answer to %s %s: %w", method, path, err)
	}
	if response.StatusCode >= http.StatusBadRequest {
		return "", refusal(method, path, response.StatusCode, data)
	}
	if location, err := response.Location(); err == nil && strings.HasPrefix(location.Path, "/v3/jobs/") {
		return location.Path, nil
	}
	if out == nil {
		return "", nil
	}
	if err := json.Unmarshal(data, out); err != nil {
		return "", fmt.Errorf("reading the answer to %s %s: %w", method, path, err)
	}
	return "", nil
}
