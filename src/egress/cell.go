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

	networks := c.PrivateNetworks
	both := []Rule{jump(from(networks), chainFrom), jump(to(networks), chainTo)}
	input := Chain{Family: IPv4, Name: chainInput, Hook: Input, Rules: both[:1]}
	forward := Chain{Family: IPv4, Name: chainForward, Hook: Forward, Rules: both}
	output := Chain{Family: IPv4, Name: chainOutput, Hook: Output, Rules: []Rule{drop(from(networks)), jump(to(networks), chainTo)}}
	// Somebody's DNAT in OUTPUT turns a packet to a private network after our rules there; only here is
	// the destination final.
	postrouting := Chain{Family: IPv4, Name: chainPostrouting, Hook: Postrouting, Rules: both}
	if len(p.Withdrawn) > 0 {
		// What is left of a flow must not go on by another route: it was meant for the tunnel. Nor must the kernel
		// answer it.
		sent := drop(Match{Destinations: p.Withdrawn, Flow: FlowStray})
		received := drop(Match{Sources: p.Withdrawn, Flow: FlowStray})
		input.Rules = append([]Rule{received}, input.Rules...)
		forward.Rules = append([]Rule{received, sent}, forward.Rules...)
		output.Rules = append(output.Rules, sent)
	}
	forward6 := Chain{Family: IPv6, Name: chainForward, Hook: Forward, Rules: []Rule{drop(Match{})}}
	return []Chain{toChain, fromChain, input, forward, output, postrouting, forward6}
}
