// Package serve is what listens on the lab's hosts: a page that says who answers and whom it saw, or what
// stands for the platform's shared router.
package serve

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"
)

// Page says the host's name and the address that the request came from.
func Page() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, err := os.Hostname()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "%s answers %s\n", name, r.RemoteAddr)
	})
}

// Router passes a request on by the name that it is for, as the platform's router does.
func Router(routes map[string]*url.URL) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		to, ok := routes[r.Host]
		if !ok {
			http.Error(w, "no route for "+r.Host, http.StatusNotFound)
			return
		}
		httputil.NewSingleHostReverseProxy(to).ServeHTTP(w, r)
	})
}

// Run serves until the context ends or the listener fails.
func Run(ctx context.Context, address string, handler http.Handler) error {
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	return server.ListenAndServe()
}
