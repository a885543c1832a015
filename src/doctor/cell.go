package doctor

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"privnet/connection"
	"privnet/doctor/signature"
)

// dedication says whether the cell takes the org's apps and nobody else's: a cell knows its tags only.
func (x *examination) dedication() {
	want := "private-network-" + x.Connection.Org
	switch {
	case x.Cell == nil:
	case x.Cell.TagsProblem != "":
		x.check("dedication of the cell", "", Unknown, x.Cell.TagsProblem)
	case x.Cell.Tags == nil:
		x.check("dedication of the cell", "", NotReached, "no rep on this VM")
	case slices.Equal(x.Cell.Tags, []string{want}):
		x.check("dedication of the cell", "", OK, want)
	default:
		got := strings.Join(x.Cell.Tags, ", ")
		if got == "" {
			got = "none: it takes everybody's apps"
		}
		x.judge("dedication of the cell", "", "the cell's placement tags are not the org's alone: "+got, Problem{
			Parameter: Dedication, Side: signature.Platform, Got: got, Want: want,
		})
	}
}

func (x *examination) cellNetwork() {
	if x.Network.Problem != "" {
		x.check("route", "", Unknown, x.Network.Problem)
		return
	}
	for _, route := range x.Network.Routes {
		name := route.PrivateNetwork.String()
		problem := route.Problem
		switch {
		case problem != "" || x.Connection.Routing != connection.RoutingHost:
		case !route.NextHop.IsValid():
			problem = "the kernel would send packets for it straight to the link"
		case !x.Connection.HasGateway(route.NextHop):
			problem = fmt.Sprintf("the kernel would send packets for it to %s, which is no gateway of this connection", route.NextHop)
		case !route.Heard:
			problem = fmt.Sprintf("the gateway %s does not answer on the link", route.NextHop)
		}
		if !x.judge("route", name, problem, Problem{Parameter: RouteToTunnel, Side: signature.Platform, Got: name}) {
			x.blocked = true
			continue
		}
		x.seen(route)
	}
}

// seen judges whether a gateway has the packets that this cell sends for a private network.
func (x *examination) seen(route Route) {
	const name = "gateway sees the packets"
	network := route.PrivateNetwork.String()
	answered := slices.ContainsFunc(x.Probes, func(p Probe) bool { return p.Pair.PrivateNetwork == route.PrivateNetwork && p.Result.Reached })
	switch {
	case x.Connection.HasGateway(route.Seen):
		x.check(name, network, OK, fmt.Sprintf("%s has them", route.Seen))
	case answered:
		x.check(name, network, OK, "a target answers")
	case route.Seen.IsValid():
		// A gateway whose answer is filtered on its way looks the same.
		x.check(name, network, Unknown, fmt.Sprintf("the router %s names itself on the way, and no gateway after it", route.Seen))
	default:
		x.check(name, network, Unknown, "no router on the way names itself")
	}
}

// securityGroups says whether the apps on the cell may open connections to the private networks.
func (x *examination) securityGroups() {
	if x.Cell == nil {
		return
	}
	for _, network := range x.Connection.PrivateNetworks {
		var barred []string
		for _, app := range x.Cell.Apps {
			if !slices.ContainsFunc(app.Open, RangeOf(network).overlaps) {
				barred = append(barred, app.Container)
			}
		}
		const name = "security groups"
		switch {
		case x.Cell.AppsProblem != "":
			x.check(name, network.String(), Unknown, x.Cell.AppsProblem)
		case len(x.Cell.Apps) == 0:
			x.check(name, network.String(), NotReached, "no app runs on this cell")
		case len(barred) == 0:
			x.check(name, network.String(), OK, fmt.Sprintf("%d containers", len(x.Cell.Apps)))
		default:
			what := fmt.Sprintf("%d of %d containers have no security group that lets them out to %s: %s",
				len(barred), len(x.Cell.Apps), network, strings.Join(barred[:min(3, len(barred))], ", "))
			// One that was started before the group was bound keeps what it had until it is restarted.
			x.judge(name, network.String(), what, Problem{
				Parameter: SecurityGroup, Side: signature.Platform, Got: network.String(), Warning: len(barred) < len(x.Cell.Apps),
			})
		}
	}
}

// cutOff says whether no traffic reaches a server's network.
func (x *examination) cutOff(server netip.Addr) bool {
	return slices.ContainsFunc(x.Connection.Pairs(), func(p connection.Pair) bool {
		return p.PrivateNetwork.Contains(server) && x.failed("traffic", fmt.Sprintf("%s = %s", p.Segment, p.PrivateNetwork))
	})
}

// names judges the private domains, where the cell has any.
func (x *examination) names() {
	if x.Cell == nil {
		return
	}
	if x.Cell.NamesProblem != "" {
		x.check("private DNS", "", Unknown, x.Cell.NamesProblem)
	}
	for _, n := range x.Cell.Names {
		subject := fmt.Sprintf("%s at %s", n.Domain, n.Server)
		answers := slices.ContainsFunc(x.Cell.Names, func(o Name) bool { return o.Domain == n.Domain && !o.Here && o.Problem == "" })
		switch {
		case n.Problem == "":
			x.check("private DNS", subject, OK, "")
		case x.blocked, n.Here && !answers, !n.Here && x.cutOff(n.Server):
			x.check("private DNS", subject, NotReached, "")
		case n.Here:
			x.judge("private DNS", subject, "the cell's own resolver does not pass on what the domain's servers answer: "+n.Problem, Problem{
				Parameter: ResolverHere, Side: signature.Platform, Got: n.Domain,
			})
		default:
			x.judge("private DNS", subject, n.Problem, Problem{
				Parameter: PrivateDNS, Side: signature.Customer, Got: n.Domain, Want: n.Server.String(),
				What: fmt.Sprintf("the DNS server %s does not answer questions for %s: %s", n.Server, n.Domain, n.Problem),
			})
		}
	}
}
