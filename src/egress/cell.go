package egress

import "privnet/connection"

// Realm marks the routes that are ours. The rules on a cell ask for it, because on a VM with one
// interface nothing else tells a packet for the gateway from one for the default router. It is "pn" in
// ASCII.
const Realm uint16 = 0x706e

func (p Policy) cellRules() []Chain {
	c := p.Connection
	toChain := Chain{Family: IPv4, Name: chainTo}
	if c.Routing == connection.RoutingHost {
		toChain.Rules = append(toChain.Rules, drop(Match{NotRealm: Realm}))
	}
	toChain.Rules = append(toChain.Rules, outgoing(c)...)
	fromChain := Chain{Family: IPv4, Name: chainFrom, Rules: incoming(c)}

	input := Chain{Family: IPv4, Name: chainInput, Hook: Input}
	forward := Chain{Family: IPv4, Name: chainForward, Hook: Forward}
	output := Chain{Family: IPv4, Name: chainOutput, Hook: Output}
	// Somebody's DNAT in OUTPUT turns a packet to a private network after our rules there; only here is
	// the destination final.
	postrouting := Chain{Family: IPv4, Name: chainPostrouting, Hook: Postrouting}
	for _, network := range c.PrivateNetworks {
		input.Rules = append(input.Rules, jump(from(network), chainFrom))
		forward.Rules = append(forward.Rules, jump(from(network), chainFrom), jump(to(network), chainTo))
		output.Rules = append(output.Rules, drop(from(network)), jump(to(network), chainTo))
		postrouting.Rules = append(postrouting.Rules, jump(from(network), chainFrom), jump(to(network), chainTo))
	}
	forward6 := Chain{Family: IPv6, Name: chainForward, Hook: Forward, Rules: []Rule{drop(Match{})}}
	return []Chain{toChain, fromChain, input, forward, output, postrouting, forward6}
}
