package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"privnet/connection"
	"privnet/doctor/advice"
	"privnet/doctor/signature"
	"privnet/ipsec/vici"
	"privnet/probe/coverage"
)

// targets are the checks of what passes through the tunnel.
func (x *examination) targets() {
	for _, pair := range x.Connection.Pairs() {
		var probes []Probe
		for _, p := range x.Probes {
			if p.Pair == pair {
				probes = append(probes, p)
			}
		}
		if x.Role == Cell && !pair.Segment.Contains(x.Source) {
			continue
		}
		x.pairTraffic(pair, probes)
	}
}

func (x *examination) pairTraffic(pair connection.Pair, probes []Probe) {
	name := fmt.Sprintf("%s = %s", pair.Segment, pair.PrivateNetwork)
	switch {
	case x.blocked || x.failed("phase 2", name):
		x.check("traffic", name, NotReached, "")
		return
	case x.Role == Gateway:
		if !x.bothWays(pair, name, probes) {
			return
		}
	case len(probes) == 0:
		x.check("traffic", name, Unknown, "no probe target declared: a cell cannot see the tunnel")
		return
	case !slices.ContainsFunc(probes, func(p Probe) bool { return p.Result.Reached }):
		x.silent(pair, name, probes[0].Result.Detail)
		return
	default:
		x.check("traffic", name, OK, "")
	}
	for _, p := range probes {
		switch {
		case p.Result.Served:
			x.check("service", p.Name, OK, p.Result.Took.Round(10*time.Microsecond).String())
		case !p.Result.Asked:
			x.check("service", p.Name, Unknown, p.Result.Detail)
		default:
			x.judge("service", p.Name, p.Result.Detail, Problem{
				Parameter: ServiceThere, Side: signature.Customer, Got: p.Name,
				What: "the tunnel carries traffic of this network, and the service does not answer as it should: " + p.Result.Detail,
			})
		}
	}
}

// silent is what a cell knows where no target answers: whether the gateway has its packets.
func (x *examination) silent(pair connection.Pair, name, detail string) {
	p := Problem{Parameter: WayOut, Side: signature.Platform, Got: name}
	for _, route := range x.Network.Routes {
		switch {
		case route.PrivateNetwork != pair.PrivateNetwork:
		case x.Connection.HasGateway(route.Seen):
			p.Parameter = Beyond
			p.What = "the gateway has this cell's packets, and no target answers: the tunnel or what is behind it does not carry them"
		case route.Seen.IsValid():
			p.Parameter = RouteToTunnel
			p.What = fmt.Sprintf("no target answers: packets pass the router %s, and no gateway of this connection names itself after it", route.Seen)
		}
	}
	x.judge("traffic", name, "no target answers this cell: "+detail, p)
}

// bothWays judges a pair by what the tunnel counted, and says whether its services can be judged.
func (x *examination) bothWays(pair connection.Pair, name string, probes []Probe) bool {
	in, out, totalIn, totalOut := x.traffic(pair)
	reached := slices.ContainsFunc(probes, func(p Probe) bool { return p.Result.Reached })
	asked := slices.ContainsFunc(probes, func(p Probe) bool { return p.Result.Asked })
	counts := fmt.Sprintf("%d packets in, %d out", totalIn, totalOut)
	switch {
	case reached:
		x.check("traffic", name, OK, counts)
		return true
	case asked && out == 0:
		x.judge("traffic", name, "the gateway's own packets do not enter the tunnel", Problem{
			Parameter: Rules, Side: signature.Platform, Got: name,
			Change: "see where the kernel sends them (ip route get, ip rule, ip xfrm policy) and what /var/vcap/sys/run/egress-enforcer/status.json says; then monit restart ipsec-gateway",
		})
	case asked && in == 0:
		if problem, p := x.lostHere(pair); problem != "" {
			x.judge("traffic", name, problem, p)
		} else {
			x.judge("traffic", name, counts+": packets leave through the tunnel, and none comes back", x.noAnswer(pair))
		}
	case asked && x.sharesTunnel(pair):
		p := x.noAnswer(pair)
		p.What = fmt.Sprintf("packets from %s to %s leave through the tunnel and no target answers, while other networks answer through the same tunnel: a route or a rule for this network is missing behind the device, or all its targets are down", pair.Segment, pair.PrivateNetwork)
		x.judge("traffic", name, "no target answers; others do through the same tunnel", p)
	case asked:
		x.check("traffic", name, OK, counts+"; something comes back, but no answer of a target")
		return true
	case totalIn > 0:
		x.check("traffic", name, OK, counts)
	case totalOut > 0:
		x.judge("traffic", name, counts+": packets leave through the tunnel, and none comes back", x.noAnswer(pair))
	default:
		x.check("traffic", name, OK, "the tunnel stands; nothing was sent yet, and no probe target is declared")
	}
	return false
}

// sharesTunnel says whether a CHILD_SA of the pair brought the answers of another pair's targets: then its
// counters do not tell of this one.
func (x *examination) sharesTunnel(pair connection.Pair) bool {
	return slices.ContainsFunc(x.children(pair), func(child vici.Child) bool {
		return slices.ContainsFunc(x.Probes, func(p Probe) bool {
			return p.Pair != pair && p.Result.Reached && coverage.Touches(p.Pair, child)
		})
	})
}

// lostHere says what becomes of a pair's ESP on this VM: the wire has it and the tunnel does not, or the other way
// round. The problem is empty if nothing is lost here.
func (x *examination) lostHere(pair connection.Pair) (string, Problem) {
	var in, out Heard
	cuttable := true
	for _, child := range x.children(pair) {
		in.Packets, in.Cut = in.Packets+x.IKE.SPIs[child.SPIIn].Packets, in.Cut+x.IKE.SPIs[child.SPIIn].Cut
		out.Packets += x.IKE.SPIs[child.SPIOut].Packets
		cuttable = cuttable && strings.HasPrefix(child.Algorithms.Encryption, "AES_CBC") && child.Algorithms.Integrity == "HMAC_SHA2_256_128"
	}
	firewall := Problem{Parameter: signature.GatewayFirewall, Side: signature.Platform, Got: fmt.Sprintf("%s = %s", pair.Segment, pair.PrivateNetwork)}
	switch {
	case x.IKE.SPIs == nil:
	case in.Packets > 0 && in.Cut == in.Packets && cuttable:
		return "the endpoint's ESP comes with a hash of 96 bits", Problem{
			Parameter: signature.ESPHash, Side: signature.Customer, Got: "SHA-256 cut to 96 bits", Want: "SHA-256 with 128 bits (RFC 4868)",
			What: "the endpoint cuts the hash of SHA-256 to 96 bits, as before RFC 4868, so that each side drops the other's packets",
		}
	case in.Packets > 0 && x.IKE.Damaged > 0:
		return fmt.Sprintf("%d packets with ESP failed the integrity check", x.IKE.Damaged), Problem{Parameter: Damage, Side: signature.Between,
			What: "the endpoint's ESP arrives and fails its integrity check: something on the way changes it, or the endpoint computes the hash otherwise"}
	case in.Packets > 0:
		return fmt.Sprintf("%d packets with ESP of this tunnel reach the interface and none reaches the tunnel: a rule on this VM drops them", in.Packets), firewall
	case out.Packets == 0:
		return "packets enter the tunnel and no ESP leaves the interface: a rule on this VM drops it", firewall
	}
	return "", Problem{}
}

// children carry the pair, now or before the probes were sent.
func (x *examination) children(pair connection.Pair) []vici.Child {
	return append(coverage.Of(pair, x.Connection.Endpoints, x.IKE.Before).Children, coverage.Of(pair, x.Connection.Endpoints, x.IKE.SAs).Children...)
}

// esp is how ESP travels, as a firewall has it.
func (x *examination) esp(pair connection.Pair) string {
	inUDP, children := 0, x.children(pair)
	for _, child := range children {
		if child.Encap {
			inUDP++
		}
	}
	switch {
	case len(children) == 0:
		return "IP protocol 50 or UDP 4500"
	case inUDP == 0:
		return "IP protocol 50"
	}
	return "in UDP 4500"
}

// noAnswer is what is known where packets leave and none comes back: not yet which of three it is.
func (x *examination) noAnswer(pair connection.Pair) Problem {
	device := ""
	if len(x.Connection.Endpoints) > 0 {
		device = x.Connection.Endpoints[0].Device
	}
	return Problem{
		Parameter: NoAnswer, Side: signature.Customer, Device: device,
		What: fmt.Sprintf("packets from %s to %s leave through the tunnel and nothing comes back; if the device counts no decrypted packets, ESP (%s) is blocked before it, and else a route or a rule is missing behind it",
			pair.Segment, pair.PrivateNetwork, x.esp(pair)),
		Change: advice.For(device, NoAnswer, pair.Segment.String()),
	}
}

func (x *examination) failed(name, subject string) bool {
	return slices.ContainsFunc(x.report.Checks, func(c Check) bool {
		return c.Name == name && c.Subject == subject && c.State == Failed
	})
}

func (x *examination) mtu() {
	m := x.PathMTU
	switch {
	case m == nil && x.blocked:
		x.check("path MTU", "", NotReached, "")
	case m == nil:
		// Without a target that answers echo requests there is no way to measure it.
		x.check("path MTU", "", NotReached, "no ICMP target answers by which to measure it")
	case m.Lost == 0:
		x.check("path MTU", "", OK, fmt.Sprintf("packets of %d bytes pass inside the tunnel", m.Passes))
	default:
		x.judge("path MTU", "", fmt.Sprintf("packets of %d bytes pass inside the tunnel, packets of %d bytes vanish and nobody says so", m.Passes, m.Lost), Problem{
			Parameter: MTU, Side: signature.Between, Got: fmt.Sprintf("%d bytes", m.Passes), Want: fmt.Sprintf("%d bytes inside the tunnel", m.Lost),
		})
	}
}
