package plan

import (
	"fmt"
	"maps"
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
	}
	address := v.Get("endpoint").Get("address")
	if a, err := netip.ParseAddr(address.Text()); err == nil && slices.Contains(p.PublicAddresses, a) {
		address.Problem("is one of the platform's own gateway addresses; give the address of the customer's endpoint")
	}
	if dns := v.Get("dns"); dns.Present() {
		dns.Problem("is not carried out by this version; leave it out")
	}
}

// CheckRoutes records in the request's document that the IaaS cannot route to two gateways: where orgs
// share a route table, only one of them can have a private network. others are the private networks of the
// other orgs, by name.
func CheckRoutes(v document.Value, p platform.Platform, own connection.Request, others map[string][]netip.Prefix) {
	if p.Routing != connection.RoutingIaaS || p.IaaS != platform.AWS {
		return
	}
	for _, other := range slices.Sorted(maps.Keys(others)) {
		mine, theirs, found := connection.Overlap(own.PrivateNetworks, others[other])
		for _, pool := range p.Pools {
			if table := pool.For(own.Name).RouteTable; found && table == pool.For(other).RouteTable {
				v.Get("private_networks").Problem("%s overlaps %s of %s, and both orgs use the route table %s; give each org its own, with {org} in the platform file's route_table",
					mine, theirs, other, table)
				break
			}
		}
	}
}

// Allocate makes the plan for a request. earlier is what the org already holds, if anything, and is
// kept; others are the plans of the other orgs. The error is document.Problems that say which pool has
// no room and how much is left where.
func Allocate(request connection.Request, p platform.Platform, earlier *Plan, others []Plan) (Plan, error) {
	a := allocation{platform: p, others: others}
	out := Plan{Org: request.Org, Name: request.Name, Routing: p.Routing, Cells: Size(request.Apps, p.Cells)}
	if earlier != nil {
		out.Segment = slices.Clone(earlier.Segment)
		out.Gateways = slices.Clone(earlier.Gateways)
	}
	for _, az := range p.AZs {
		if slices.Contains(out.AZs(), az) {
			continue
		}
		if subnet, ok := a.subnet(az, out); ok {
			out.Segment = append(out.Segment, subnet)
		}
	}
	if len(out.Gateways) == 0 && len(out.Segment) > 0 {
		if public, ok := a.publicAddress(); ok {
			first := out.Segment[0]
			out.Gateways = []Gateway{{
				AZ:      first.AZ,
				Gateway: connection.Gateway{Address: first.Static().From(), PublicAddress: public},
			}}
		}
	}
	a.checkRoom(out, earlier != nil)
	if out.Routing == connection.RoutingHost && len(out.Segment) > 1 {
		a.problems = append(a.problems, p.Pools[0].Source.Wrong(
			"the segment spans %s, and routing: host works in one AZ only; set routing: iaas", strings.Join(out.AZs(), ", ")))
	}
	if err := a.problems.Err(); err != nil {
		return Plan{}, err
	}
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

type allocation struct {
	platform platform.Platform
	others   []Plan
	problems document.Problems
}

// subnet is the first one of the AZ's pool that no org has.
func (a *allocation) subnet(az string, own Plan) (Subnet, bool) {
	pool, _ := a.platform.Pool(az)
	taken := own.CIDRs()
	for _, other := range a.others {
		taken = append(taken, other.CIDRs()...)
	}
	free := freePrefixes(pool.CIDR, a.platform.PrefixLength, taken)
	if free.count > 0 {
		return Subnet{AZ: az, CIDR: free.first}, true
	}
	var left []string
	for _, other := range a.platform.Pools {
		f := freePrefixes(other.CIDR, a.platform.PrefixLength, taken)
		left = append(left, fmt.Sprintf("%s has %d of %d", other.AZ, f.count, f.total))
	}
	a.problems = append(a.problems, pool.Source.Wrong("has no /%d left for another segment (left: %s); give a larger pool for %s",
		a.platform.PrefixLength, strings.Join(left, ", "), az))
	return Subnet{}, false
}

type freeSpace struct {
	first        netip.Prefix
	count, total int
}

func freePrefixes(pool netip.Prefix, bits int, taken []netip.Prefix) freeSpace {
	var out freeSpace
	inPool := slices.DeleteFunc(slices.Clone(taken), func(t netip.Prefix) bool { return !t.Overlaps(pool) })
	set := connection.Set(inPool...)
	for p := netip.PrefixFrom(pool.Addr(), bits); pool.Contains(p.Addr()); p = next(p) {
		out.total++
		if set.OverlapsPrefix(p) {
			continue
		}
		if out.count == 0 {
			out.first = p
		}
		out.count++
	}
	return out
}

func next(p netip.Prefix) netip.Prefix {
	return netip.PrefixFrom(netipx.PrefixLastIP(p).Next(), p.Bits())
}

func (a *allocation) publicAddress() (netip.Addr, bool) {
	taken := map[netip.Addr]bool{}
	for _, other := range a.others {
		for _, g := range other.Gateways {
			taken[g.PublicAddress] = true
		}
	}
	for _, address := range a.platform.PublicAddresses {
		if !taken[address] {
			return address, true
		}
	}
	a.problems = append(a.problems, a.platform.PublicSource.Wrong(
		"has no address left for another gateway (left: 0 of %d); add some", len(a.platform.PublicAddresses)))
	return netip.Addr{}, false
}

// checkRoom refuses more cells than the smallest subnet has addresses for; BOSH spreads them evenly.
func (a *allocation) checkRoom(p Plan, live bool) {
	if len(p.Segment) == 0 {
		return
	}
	perAZ := ceil(p.Cells, len(p.Segment))
	for _, s := range p.Segment {
		if perAZ <= s.Room() {
			continue
		}
		advice := "lower prefix_length or raise cells.memory"
		if live {
			advice = "the segment is in use and cannot grow: raise cells.memory"
		}
		a.problems = append(a.problems, a.source(s.AZ).Wrong("gives %s the segment %s with room for %d cells, and %d are needed; %s",
			p.Name, s.CIDR, s.Room(), perAZ, advice))
	}
}

// source is where the platform file has the AZ's pool, or its first one if the AZ's is gone.
func (a *allocation) source(az string) document.Value {
	if pool, ok := a.platform.Pool(az); ok {
		return pool.Source
	}
	return a.platform.Pools[0].Source
}
