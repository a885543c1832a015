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
	var listed []Rule
	for _, platform := range PlatformPorts {
		listed = append(listed, allow(Match{Protocol: string(platform.Protocol), Ports: port(platform.Port)}))
	}
	forwarded := Chain{Family: IPv4, Name: chainEnter, Rules: answers}
	ownTo := Chain{Family: IPv4, Name: chainOwnTo, Rules: append(listed, answers...)}

	own := []Rule{jump(to(p.SegmentsPool), chainOwnTo)}
	forward := Chain{Family: IPv4, Name: chainForward, Hook: Forward, Rules: []Rule{jump(to(p.SegmentsPool), chainEnter)}}
	output := Chain{Family: IPv4, Name: chainOutput, Hook: Output, Rules: own}
	// Somebody's DNAT in OUTPUT comes after our rules there; only here is the destination final.
	postrouting := Chain{Family: IPv4, Name: chainPostrouting, Hook: Postrouting, Rules: own}
	if len(p.Detours) > 0 {
		forward.Rules = append(forward.Rules, drop(to(p.Detours)))
	}
	return []Chain{forwarded, ownTo, forward, output, postrouting}
}
