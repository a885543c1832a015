// Package page draws what a prober knows as one HTML page: the way from an app to the private network with the
// state of each hop, the last day of every pair and target, and the last failure in plain words.
//
// The page is one file that needs nothing else: no script, no font, no image, and a content security policy
// that lets nothing else in. Names, reasons and charon's words come from strangers: html/template escapes
// them. It shows no secret, because a Status has none.
package page

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"time"

	"privnet/probe"
)

var (
	//go:embed page.html.tmpl
	html string
	//go:embed page.css
	css string

	// Policy is the page's content security policy: the page's own style, and nothing else at all.
	Policy = "default-src 'none'; style-src 'sha256-" + hash(css) + "'; base-uri 'none'; form-action 'none'"

	page = template.Must(template.New("page").Parse(html))
)

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// Options say how a page is to be used.
type Options struct {
	// Refresh is after how many seconds a browser asks again; 0 for never.
	Refresh int
	// Exported says that the page is a file: it has no links to the prober.
	Exported bool
}

// Render draws the page.
func Render(o probe.Overview, options Options) ([]byte, error) {
	v := newView(o)
	v.Options, v.CSS, v.Policy = options, template.CSS(css), Policy
	var out bytes.Buffer
	if err := page.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("drawing the page: %w", err)
	}
	return out.Bytes(), nil
}

// The shortest and the longest time in seconds in which a browser may be told to ask again.
const (
	minRefresh = 5
	maxRefresh = 600
)

// Source is who knows what is to be drawn.
type Source interface {
	Overview(context.Context) (probe.Overview, error)
}

// Handler serves the page. The parameter refresh, in seconds, makes the browser ask again; export leaves out
// what only a served page can have.
func Handler(source Source) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
		defer cancel()
		overview, err := source.Overview(ctx)
		if err != nil {
			http.Error(w, "the prober does not watch", http.StatusServiceUnavailable)
			return
		}
		options := Options{Exported: r.URL.Query().Has("export")}
		if seconds, err := strconv.Atoi(r.URL.Query().Get("refresh")); err == nil {
			options.Refresh = min(max(seconds, minRefresh), maxRefresh)
		}
		content, err := Render(overview, options)
		if err != nil {
			http.Error(w, "the page cannot be drawn", http.StatusInternalServerError)
			return
		}
		for name, value := range map[string]string{
			"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": Policy + "; frame-ancestors 'none'",
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			w.Header().Set(name, value)
		}
		_, _ = w.Write(content) // fails only if the client has gone
	})
}
