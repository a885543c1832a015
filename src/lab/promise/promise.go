// Package promise measures, with real packets on the running lab, what the product promises.
//
// A promise that holds says what was measured. Where a promise is that something does not happen, the
// same measurement has to see what does happen, so that a blind one cannot pass.
package promise

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"privnet/lab/host"
	"privnet/lab/network"
)

// Promise is the outcome for one of them.
type Promise struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Evidence string `json:"evidence"`
}

// World is the lab that is measured.
type World struct {
	Dir   string
	Map   network.Map
	Hosts map[string]host.Host
}

// site is the world as one org has it.
type site struct {
	World
	org network.Org
}

// promised is what every org is promised.
var promised = []struct {
	name    string
	measure func(site, context.Context) (string, error)
}{
	{"an isolated app reaches the private service in every private network", site.reach},
	{"only IKE and ESP cross the internet between gateway and endpoint", site.wire},
	{"a shared app reaches nothing private", site.sharedApp},
	{"the private network cannot call into the segment", site.inbound},
	{"the isolated app still reaches the shared service, and the router reaches the app", site.shared},
	{"the customer closes the tunnel while apps keep sending: no access, nothing in clear, no initiation; re-opens it: access", site.closing},
}

// Check measures every promise, one after the other, for every org. It leaves the lab as it was.
func Check(ctx context.Context, w World) []Promise {
	var out []Promise
	var sites []site
	for _, org := range w.Map.Orgs {
		sites = append(sites, site{w, org})
	}
	for _, s := range sites {
		for _, p := range promised {
			name := p.name
			if len(sites) > 1 {
				name = s.org.Name + ": " + name
			}
			evidence, err := p.measure(s, ctx)
			out = append(out, outcome(name, evidence, err))
		}
	}
	if len(sites) > 1 {
		evidence, err := apart(ctx, sites)
		out = append(out, outcome("each org reaches its own private network and never another's", evidence, err))
	}
	return out
}

func outcome(name, evidence string, err error) Promise {
	if err != nil {
		evidence = err.Error()
	}
	return Promise{Name: name, OK: err == nil, Evidence: evidence}
}

// isolated are the org's own cells, sharedCells those of everybody.
func (s site) isolated() []network.VM    { return s.Map.Cells(s.org.Segment) }
func (s site) sharedCells() []network.VM { return s.Map.Cells(network.Platform) }

// doors are the ways from the cells' apps to the org's private services.
func (s site) doors(cells []network.VM) []door {
	var out []door
	for _, cell := range cells {
		for _, service := range s.org.Services {
			out = append(out, door{cell.App, netip.AddrPortFrom(service.Address, 80)})
		}
	}
	return out
}

// ask lets every isolated app ask every private service, each until the answer comes or the limit is over,
// and says what they answered. An answer by anybody else is an error.
func (s site) ask(ctx context.Context, limit time.Duration) ([]string, error) {
	var found []string
	for _, cell := range s.isolated() {
		for _, service := range s.org.Services {
			answer, err := persist(ctx, limit, func(ctx context.Context) (string, error) {
				return get(ctx, s.Hosts[cell.App], service.Address, service.Host)
			})
			if err != nil {
				return nil, fmt.Errorf("%s does not reach %s: %w", cell.App, service.Network, err)
			}
			if !answers(answer, service.Host) {
				return nil, fmt.Errorf("%s reaches another service at %s: %s", cell.App, service.Address, answer)
			}
			found = append(found, fmt.Sprintf("%s → %s in %s: %s", cell.App, service.Address, service.Network, answer))
		}
	}
	return found, nil
}

// answers tells by the page, which begins with the name of the host that serves it.
func answers(page, host string) bool { return strings.HasPrefix(page, `"`+host+" ") }
