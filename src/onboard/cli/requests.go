package cli

import (
	"privnet/connection"
	"privnet/document"
	"privnet/onboard/ledger"
	"privnet/onboard/plan"
	"privnet/onboard/platform"
)

// asked is what one request file asks for.
type asked struct {
	doc     *document.Document
	data    []byte
	request connection.Request
	// earlier is what the ledger has of the org, if anything.
	earlier *ledger.Entry
}

// checkRequests reads the requests and checks them against the platform, the ledger and one another. The
// error has everything that is wrong in all of them.
func checkRequests(files []source, p platform.Platform, entries []ledger.Entry) ([]asked, error) {
	var out []asked
	var problems error
	networks := ledger.PrivateNetworks(entries)
	readFrom := map[string]string{}
	for _, file := range files {
		doc, err := document.Parse(file.name, file.data)
		if err != nil {
			problems = document.Join(problems, err)
			continue
		}
		a := asked{doc: doc, data: file.data, request: connection.ReadRequest(doc.Root())}
		name, org := a.request.Name, doc.Root().Get("org")
		if entry := ledger.Find(entries, name); entry != nil {
			a.earlier = entry
			if other := entry.Plan.Org; other != a.request.Org {
				org.Problem("has the same name %s as org %q, which is in the ledger; rename one", name, other)
			}
			if entry.Removal.Begun() {
				org.Problem("is leaving; finish it with privnet remove --org %s, or bring it back with --undo", name)
			}
			if had := entry.Request.PSK.Generation; a.request.PSK.Generation < had {
				doc.Root().Get("psk").Get("generation").Problem("is before %d, which the endpoint has already; a key is never used again, so give %d or more", had, had)
			}
		}
		if other := readFrom[name]; name != "" && other != "" {
			org.Problem("has the same name %s as the org of %s; rename one", name, other)
		}
		readFrom[name], networks[name] = file.name, a.request.PrivateNetworks
		plan.CheckRequest(doc.Root(), p)
		out = append(out, a)
	}
	for _, a := range out {
		for _, rival := range plan.Rivals(a.request.Name) {
			if _, there := networks[rival]; there {
				a.doc.Root().Get("org").Problem("and the org %s make the same name for a segment and for a public network; rename one", rival)
			}
		}
		plan.CheckRoutes(a.doc.Root(), p, a.request, networks)
		problems = document.Join(problems, a.doc.Err())
	}
	return out, problems
}
