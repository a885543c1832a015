package plan

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"privnet/connection"
	"privnet/document"
	"privnet/onboard/platform"
)

// CheckRequest records in the request's document what is wrong with it on this platform.
func CheckRequest(v document.Value, p platform.Platform) {
	ours := slices.Concat(p.PublicAddresses, p.EgressAddresses)
	for _, element := range v.Get("private_networks").List() {
		network, err := netip.ParsePrefix(element.Text())
		if err != nil || !network.Addr().Is4() {
			continue
		}
		one := []netip.Prefix{network}
		if _, used, found := connection.Overlap(one, p.Networks); found {
			element.Problem("overlaps %s, which the platform itself uses; an app could not tell them apart, so give another network", used)
		}
		if _, pool, found := connection.Overlap(one, p.Prefixes()); found {
			element.Problem("overlaps %s, from which the platform takes segments; give another network", pool)
		}
		if i := slices.IndexFunc(ours, network.Contains); i >= 0 {
			element.Problem("holds %s, a public address of the platform; give another network", ours[i])
		}
	}
	for _, field := range []string{"address", "id"} {
		value := v.Get("endpoint").Get(field)
		if a, err := netip.ParseAddr(value.Text()); err == nil && slices.Contains(ours, a) {
			value.Problem("is one of the platform's own public addresses; give that of the customer's endpoint")
		}
	}
	checkDNS(v, p.Domains)
}

// CheckRoutes records in the request's document that the IaaS cannot route to two gateways: where orgs
// share a route table, only one of them can have a private network. others are the private networks of all
// orgs, by name; the org's own entry is passed over.
func CheckRoutes(v document.Value, p platform.Platform, own connection.Request, others map[string][]netip.Prefix) {
	// Azure's tables are the segment's own, GCP's routes are for the org's own network tag.
	if p.Routing != connection.RoutingIaaS || p.IaaS == platform.Azure || p.IaaS == platform.GCP {
		return
	}
	var overlapping []string
	for other, networks := range others {
		if _, _, found := connection.Overlap(own.PrivateNetworks, networks); found && other != own.Name {
			overlapping = append(overlapping, other)
		}
	}
	slices.Sort(overlapping)
	for _, other := range overlapping {
		mine, theirs, _ := connection.Overlap(own.PrivateNetworks, others[other])
		for _, pool := range p.Pools {
			if table := pool.TableFor(own.Name); table == pool.TableFor(other) {
				v.Get("private_networks").Problem("%s overlaps %s of %s, and both orgs use the route table %q; give each org its own, with {org} in the platform file's route_table",
					mine, theirs, other, table)
				break
			}
		}
	}
}

// Allocator gives out what is free in the platform's pools, to one request after the other.
type Allocator struct {
	platform platform.Platform
	segments netipx.IPSetBuilder
	public   map[netip.Addr]bool
	// quarantined is what of it is nobody's, and may not be given to anybody yet.
	quarantined []Quarantined
}

// Quarantined is what an org held that has left, and the first day on which another may have it.
type Quarantined struct {
	Plan
	Until string
}

// NewAllocator knows what the plans of all orgs hold, and what those that have left keep from others.
func NewAllocator(p platform.Platform, plans []Plan, quarantined ...Quarantined) *Allocator {
	a := &Allocator{platform: p, public: map[netip.Addr]bool{}, quarantined: quarantined}
	for _, made := range plans {
		a.take(made)
	}
	for _, left := range quarantined {
		a.take(left.Plan)
	}
	return a
}

// soonest says when quarantine gives something back; empty if nothing is in it.
func (a *Allocator) soonest() string {
	until := ""
	for _, q := range a.quarantined {
		if until == "" || q.Until < until {
			until = q.Until
		}
	}
	if until == "" {
		return ""
	}
	return fmt.Sprintf("; what %d orgs had that have left is in quarantine, the first until %s", len(a.quarantined), until)
}

func (a *Allocator) take(p Plan) {
	for _, s := range p.Segment {
		a.segments.AddPrefix(s.CIDR)
	}
	for _, g := range p.Gateways {
		a.public[g.PublicAddress] = true
	}
}

// Allocate makes the plan for a request. earlier is what the org already holds, if anything, and is
// kept. The error is document.Problems that say which pool has no room and how much is left where; then
// nothing is given out.
func (a *Allocator) Allocate(request connection.Request, earlier *Plan) (Plan, error) {
	p := a.platform
	var problems document.Problems
	out := Plan{Org: request.Org, Name: request.Name, Routing: p.Routing, Cells: Size(request.Apps, p.Cells), GatewayDeployment: p.GatewayDeployment}
	if earlier != nil {
		out.GatewayDeployment = earlier.GatewayDeployment
		out.Segment = slices.Clone(earlier.Segment)
		out.Gateways = slices.Clone(earlier.Gateways)
	}
	taken, err := a.segments.IPSet()
	if err != nil {
		// The builder only fails on ranges, and it was given prefixes.
		panic(err)
	}
	// A subnet more would change the customer's selectors: a platform that grows is for orgs to come.
	azs := p.AZs
	if earlier != nil {
		azs = nil
	}
	for _, az := range azs {
		pool, _ := p.Pool(az)
		if cidr, ok := firstFree(pool.CIDR, p.PrefixLength, taken); ok {
			out.Segment = append(out.Segment, Subnet{AZ: az, CIDR: cidr})
		} else {
			problems = append(problems, pool.Source.Wrong("has no /%d left for another segment (left: %s%s); give a larger pool for %s",
				p.PrefixLength, a.left(taken), a.soonest(), az))
		}
	}
	if len(out.Gateways) == 0 && len(out.Segment) > 0 {
		first := out.Segment[0]
		if public, ok := a.publicAddress(); ok {
			out.Gateways = []Gateway{{
				AZ:      first.AZ,
				Gateway: connection.Gateway{Address: first.Static().From(), PublicAddress: public},
			}}
		} else {
			problems = append(problems, p.PublicSource.Wrong(
				"has no address left for another gateway (left: 0 of %d%s); add some", len(p.PublicAddresses), a.soonest()))
		}
	}
	problems = append(problems, a.checkRoom(out, earlier != nil)...)
	if out.Routing == connection.RoutingHost && len(out.Segment) > 1 {
		problems = append(problems, p.Pools[0].Source.Wrong(
			"the segment spans %s, and routing: host works in one AZ only; set routing: iaas", strings.Join(out.AZs(), ", ")))
	}
	if err := problems.Err(); err != nil {
		return Plan{}, err
	}
	a.take(out)
	return out, nil
}

// Size is the number of cells for a number of app instances: enough for their memory and their
// containers, and the spare ones.
func Size(apps int, c platform.Cells) int {
	byMemory := ceil(apps*c.AppMemory, c.Memory)
	byCount := ceil(apps, c.AppsPerCell)
	return max(byMemory, byCount) + c.Spare
}

func ceil(a, b int) int { return (a + b - 1) / b }

// firstFree is the first prefix of the length in the pool that overlaps nothing taken.
func firstFree(pool netip.Prefix, bits int, taken *netipx.IPSet) (netip.Prefix, bool) {
	for p := range prefixes(pool, bits) {
		if !taken.OverlapsPrefix(p) {
			return p, true
		}
	}
	return netip.Prefix{}, false
}

// left says for each pool how many segments it still has room for.
func (a *Allocator) left(taken *netipx.IPSet) string {
	var out []string
	for _, pool := range a.platform.Pools {
		free, total := 0, 0
		for p := range prefixes(pool.CIDR, a.platform.PrefixLength) {
			total++
			if !taken.OverlapsPrefix(p) {
				free++
			}
		}
		out = append(out, fmt.Sprintf("%s has %d of %d", pool.AZ, free, total))
	}
	return strings.Join(out, ", ")
}

// prefixes are the pool's parts of the length, in order.
func prefixes(pool netip.Prefix, bits int) iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for p := netip.PrefixFrom(pool.Addr(), bits); pool.Contains(p.Addr()); p = next(p) {
			if !yield(p) {
				return
			}
		}
	}
}

func next(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(netipx.PrefixLastIP(p).Next(), p.Bits())
}

func (a *Allocator) publicAddress() (netip.Addr, bool) {
	i := slices.IndexFunc(a.platform.PublicAddresses, func(address netip.Addr) bool { return !a.public[address] })
	if i < 0 {
		return netip.Addr{}, false
	}
	return a.platform.PublicAddresses[i], true
}

// checkRoom refuses more cells than the smallest subnet has addresses for; BOSH spreads them evenly.
func (a *Allocator) checkRoom(p Plan, live bool) document.Problems {
	if len(p.Segment) == 0 {
		return nil
	}
	var out document.Problems
	perAZ := ceil(p.Cells, len(p.Segment))
	for _, s := range p.Segment {
		if perAZ <= s.Room() {
			continue
		}
		advice := "lower prefix_length or raise cells.memory"
		if live {
			advice = "the segment is in use and cannot grow: raise cells.memory"
		}
		out = append(out, a.source(s.AZ).Wrong("gives %s the segment %s with room for %d cells, and %d are needed; %s",
			p.Name, s.CIDR, s.Room(), perAZ, advice))
	}
	return out
}

// source is where the platform file has the AZ's pool, or its first one if the AZ's is gone.
func (a *Allocator) source(az string) document.Value {
	if pool, ok := a.platform.Pool(az); ok {
		return pool.Source
	}
	return a.platform.Pools[0].Source
}
