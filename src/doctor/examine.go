package doctor

import (
	"fmt"
	"slices"
	"strings"

	"privnet/doctor/advice"
	"privnet/doctor/signature"
)

// The parameters that are not found in charon's log.
const (
	Configuration signature.Parameter = "configuration"
	ServiceHere   signature.Parameter = "service on this VM"
	Rules         signature.Parameter = "egress rules"
	Interface     signature.Parameter = "address of the gateway"
	Forwarding    signature.Parameter = "IP forwarding"
	RouteOut      signature.Parameter = "default route"
	RouteToTunnel signature.Parameter = "route to the gateway"
	NoPackets     signature.Parameter = "IKE packets to the gateway"
	DeadPeer      signature.Parameter = "dead peer detection"
	PairMissing   signature.Parameter = "missing selector pair"
	NoAnswer      signature.Parameter = "return traffic"
	Damage        signature.Parameter = "integrity of ESP"
	ServiceThere  signature.Parameter = "service in the private network"
	MTU           signature.Parameter = "path MTU"
	WayOut        signature.Parameter = "way out of the cell"
	Beyond        signature.Parameter = "tunnel behind the gateway"
	Dedication    signature.Parameter = "dedication of the cell"
	SecurityGroup signature.Parameter = "security group of the apps"
	PrivateDNS    signature.Parameter = "private DNS"
	ResolverHere  signature.Parameter = "resolver of the cell"
)

// examination makes a report, check by check.
type examination struct {
	Evidence
	report Report
	// blocked says that a check has failed before which the later ones cannot be made.
	blocked bool
}

// Examine judges the evidence.
func Examine(e Evidence) Report {
	x := examination{Evidence: e, report: Report{
		Version: ReportVersion, Org: e.Connection.Org, Role: e.Role, At: e.Now,
		Checks: []Check{}, Problems: []Problem{}, UnknownLines: []string{},
	}}
	x.here()
	if e.Role == Gateway {
		x.gatewayNetwork()
		x.ike()
		x.pairs()
	} else {
		x.dedication()
		x.cellNetwork()
		x.securityGroups()
	}
	x.targets()
	x.mtu()
	x.names()
	x.conclude()
	return x.report
}

func (x *examination) check(name, subject string, state State, detail string) {
	x.report.Checks = append(x.report.Checks, Check{name, subject, state, signature.Clean(detail)})
}

// judge adds a check that is ok or failed with a problem.
func (x *examination) judge(name, subject, problem string, p Problem) bool {
	if problem == "" {
		x.check(name, subject, OK, "")
		return true
	}
	x.check(name, subject, Failed, problem)
	if p.What == "" {
		p.What = problem
	}
	x.problem(p)
	return false
}

// problem adds one with what to do about it. A parameter is named once.
func (x *examination) problem(p Problem) {
	if slices.ContainsFunc(x.report.Problems, func(o Problem) bool { return o.Parameter == p.Parameter && o.Got == p.Got }) {
		return
	}
	if p.Side != signature.Platform && len(x.Connection.Endpoints) > 0 && p.Device == "" {
		p.Device = x.Connection.Endpoints[0].Device
	}
	p.What = strings.TrimSuffix(signature.Clean(p.What), ".")
	if p.Change == "" {
		p.Change = advice.For(p.Device, p.Parameter, p.Want)
	}
	if p.Side != signature.Platform && p.Message == "" {
		p.Message = x.sentence(p)
	}
	x.report.Problems = append(x.report.Problems, p)
}

// theirs says our words for our things as the customer's engineer reads them.
var theirs = strings.NewReplacer("the endpoint", "your endpoint", "the gateway", "our gateway")

// sentence is what the customer's engineer needs to know, to be pasted as it is.
func (x *examination) sentence(p Problem) string {
	about := "Your VPN endpoint"
	if len(x.Connection.Endpoints) > 0 {
		about += " " + x.Connection.Endpoints[0].Address.String()
	}
	text := fmt.Sprintf("%s, %s: %s.", about, p.Parameter, p.What)
	if p.Got != "" {
		text += fmt.Sprintf(" Seen: %s.", p.Got)
	}
	if p.Want != "" {
		text += fmt.Sprintf(" Right: %s.", p.Want)
	}
	// The right value is said once.
	change := advice.For(p.Device, p.Parameter, "")
	if change == "" || p.Want == "" {
		change = p.Change
	}
	return theirs.Replace(text + " Please " + change)
}

func (x *examination) here() {
	if !x.judge("configuration", "", x.Evidence.Configuration, Problem{Parameter: Configuration, Side: signature.Platform}) {
		x.blocked = true
	}
	for _, s := range x.Services {
		if !x.judge("service", s.Name, s.Problem, Problem{Parameter: ServiceHere, Side: signature.Platform, Got: s.Name,
			Change: advice.For("", ServiceHere, s.Name)}) && s.Name == "ipsec-gateway" {
			x.blocked = true
		}
	}
	switch x.Enforcement.State {
	case "on":
		x.check("egress rules", "", OK, "")
	case "off":
		x.judge("egress rules", "", "the rules that keep traffic in the tunnel do not stand: "+x.Enforcement.Reason,
			Problem{Parameter: Rules, Side: signature.Platform})
	default:
		x.judge("egress rules", "", "whether the rules stand is not known: "+x.Enforcement.Reason,
			Problem{Parameter: Rules, Side: signature.Platform})
	}
}

func (x *examination) gatewayNetwork() {
	if x.Network.Problem != "" {
		x.check("gateway interface", "", Unknown, x.Network.Problem)
		return
	}
	problem := ""
	if !slices.Contains(x.Network.Addresses, x.Source) {
		problem = fmt.Sprintf("no interface has the gateway's address %s", x.Source)
		x.blocked = true
	}
	x.judge("gateway interface", "", problem, Problem{Parameter: Interface, Side: signature.Platform})
	for _, g := range x.Connection.Gateways {
		if g.Address != x.Source {
			continue
		}
		if slices.Contains(x.Network.Addresses, g.PublicAddress) {
			x.check("public address", "", OK, "on this VM")
		} else {
			x.check("public address", "", OK, fmt.Sprintf("%s is a 1:1 NAT outside this VM: IKE and ESP use UDP 4500", g.PublicAddress))
		}
	}
	problem = ""
	if !x.Network.Forwarding {
		problem = "the kernel forwards nothing: net.ipv4.ip_forward is 0"
	}
	x.judge("forwarding", "", problem, Problem{Parameter: Forwarding, Side: signature.Platform})
	problem = ""
	if !x.Network.DefaultRoute {
		problem = "there is no route to the internet"
	}
	x.judge("default route", "", problem, Problem{Parameter: RouteOut, Side: signature.Platform})
}

// conclude gives the verdict.
func (x *examination) conclude() {
	real := slices.ContainsFunc(x.report.Problems, func(p Problem) bool { return !p.Warning })
	unknown := slices.ContainsFunc(x.report.Checks, func(c Check) bool { return c.State == Unknown })
	switch {
	case real:
		x.report.Verdict = Broken
	case unknown:
		x.report.Verdict = Unclear
	default:
		x.report.Verdict = Healthy
	}
	slices.SortStableFunc(x.report.Problems, func(a, b Problem) int { return order(a) - order(b) })
	if x.IKE != nil {
		for _, l := range x.IKE.Unknown {
			x.report.UnknownLines = append(x.report.UnknownLines, l.Text)
		}
	}
}

func order(p Problem) int {
	if p.Warning {
		return 1
	}
	return 0
}
