package egress_test

import (
	"net/netip"

	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/egress"
)

// packet is what the rules can ask of a packet. The zero Flow is one that no flow knows: the first of its
// own, or one out of place.
type packet struct {
	source, destination string
	protocol            string
	sourcePort, port    uint16
	// originalPort is the port before translation, if it differs.
	originalPort      uint16
	flow              egress.Flow
	realm             uint16
	cameIn, goesOut   string
	protected, sealed bool // came through IPsec, will leave through it
}

// judge sends a packet through the chain of a hook and says what becomes of it, and the MSS it got.
func judge(chains []egress.Chain, family egress.Family, hook egress.Hook, p packet) (egress.Verdict, int) {
	byName := map[string]egress.Chain{}
	entry := ""
	for _, chain := range chains {
		if chain.Family == family {
			byName[chain.Name] = chain
			if chain.Hook == hook {
				entry = chain.Name
			}
		}
	}
	if entry == "" {
		return egress.Return, 0
	}
	mss := 0
	var walk func(string) egress.Verdict
	walk = func(name string) egress.Verdict {
		chain, known := byName[name]
		Expect(known).To(BeTrue(), "no chain "+name)
		for _, rule := range chain.Rules {
			if !p.fits(rule.Match) {
				continue
			}
			switch {
			case rule.MSS > 0:
				mss = rule.MSS
			case rule.Jump != "":
				if walk(rule.Jump) == egress.Drop {
					return egress.Drop
				}
			case rule.Goto != "":
				return walk(rule.Goto)
			default:
				return rule.Verdict
			}
		}
		return egress.Return
	}
	return walk(entry), mss
}

func (p packet) fits(m egress.Match) bool {
	in := func(networks []netip.Prefix, address string) bool {
		return len(networks) == 0 || (address != "" && connection.Contains(networks, netip.MustParseAddr(address)))
	}
	within := func(r connection.PortRange, n uint16) bool { return r.First == 0 || (r.First <= n && n <= r.Last) }
	original := p.originalPort
	if original == 0 {
		original = p.port
		if p.flow == egress.FlowReply {
			original = p.sourcePort
		}
	}
	flow := m.Flow == "" || m.Flow == p.flow || (m.Flow == egress.FlowOriginal && p.flow == "")
	return in(m.Sources, p.source) && in(m.Destinations, p.destination) &&
		(m.Protocol == "" || m.Protocol == p.protocol) &&
		within(m.SourcePorts, p.sourcePort) && within(m.Ports, p.port) && within(m.OriginalPorts, original) &&
		flow && (m.NotRealm == 0 || m.NotRealm != p.realm) && p.stands(m)
}

func (p packet) stands(m egress.Match) bool {
	came, goes := p.protected, p.sealed
	if m.Interface != "" {
		came, goes = p.cameIn == m.Interface, p.goesOut == m.Interface
	}
	switch m.Tunnel {
	case egress.CameInside:
		return came
	case egress.CameOutside:
		return !came
	case egress.GoesOutside:
		return !goes
	default:
		return true
	}
}
