package egress

import "privnet/connection"

// PlatformPort is a port on cells in a segment that shared cells have business with.
type PlatformPort struct {
	Protocol connection.Protocol
	Port     uint16
	Why      string
}

// PlatformPorts is all that a shared cell's own processes may open towards a segment. Containers may open
// nothing: a container that could send to the VXLAN port would inject packets into the overlay. The
// ports by which the routers reach apps (61001 and up) are not among them, because routers are no cells.
var PlatformPorts = []PlatformPort{
	{connection.UDP, 4789, "silk's VXLAN (RFC 7348): the overlay spans all cells"},
	{connection.TCP, 8853, "bosh-dns asks the instances that it names whether they are healthy"},
}

func (p Policy) sharedCellRules() []Chain {
	answers := []Rule{allow(Match{Flow: FlowReply}), allow(icmpErrors), drop(Match{})}
	var own []Rule
	for _, platform := range PlatformPorts {
		own = append(own, allow(Match{Protocol: string(platform.Protocol), Ports: port(platform.Port)}))
	}
	forwarded := Chain{Family: IPv4, Name: chainEnter, Rules: answers}
	ownTo := Chain{Family: IPv4, Name: chainOwnTo, Rules: append(own, answers...)}

	forward := Chain{Family: IPv4, Name: chainForward, Hook: Forward}
	output := Chain{Family: IPv4, Name: chainOutput, Hook: Output}
	// Somebody's DNAT in OUTPUT comes after our rules there; only here is the destination final.
	postrouting := Chain{Family: IPv4, Name: chainPostrouting, Hook: Postrouting}
	for _, segments := range p.SegmentsPool {
		forward.Rules = append(forward.Rules, jump(to(segments), chainEnter))
		output.Rules = append(output.Rules, jump(to(segments), chainOwnTo))
		postrouting.Rules = append(postrouting.Rules, jump(to(segments), chainOwnTo))
	}
	for _, detour := range p.Detours {
		forward.Rules = append(forward.Rules, drop(to(detour)))
	}
	return []Chain{forwarded, ownTo, forward, output, postrouting}
}
