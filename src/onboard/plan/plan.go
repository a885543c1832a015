// Package plan allocates what an org's request needs from the platform's pools: a segment, addresses, a
// number of cells, names. It is pure: the same request, platform and ledger give the same plan, and what
// an org already holds it keeps. Package ledger keeps plans in files.
package plan

import (
	"fmt"
	"net/netip"
	"strings"

	"go4.org/netipx"

	"privnet/connection"
	"privnet/document"
	"privnet/onboard/platform"
)

// Plan is what one org holds.
type Plan struct {
	// Org is the org's name as the customer wrote it, Name the same as a DNS label.
	Org, Name string
	// Segment holds one subnet an AZ.
	Segment  []Subnet
	Gateways []Gateway
	// Cells is the number of dedicated cells.
	Cells   int
	Routing connection.Routing
	// GatewayDeployment says which deployment has the gateways.
	GatewayDeployment platform.GatewayDeployment
	// Source is where the ledger has the plan; it is empty for a new one.
	Source document.Value
}

// Subnet is the segment's part in one AZ.
type Subnet struct {
	AZ   string
	CIDR netip.Prefix
}

// Gateway is one VPN VM.
type Gateway struct {
	AZ string
	connection.Gateway
}

// How a subnet is divided, counted from its network address: the IaaS's router and what AWS and Azure
// keep for themselves, then the gateways, then the cells. The last two are the broadcast address and
// one that GCP keeps.
const (
	routerOffset = 1
	firstStatic  = 4
	lastStatic   = 7
	keptAtEnd    = 2
)

// Router is the address of the IaaS's own router in the subnet, the cells' default gateway.
func (s Subnet) Router() netip.Addr { return s.at(routerOffset) }

// Reserved are the addresses that no VM may have.
func (s Subnet) Reserved() []netipx.IPRange {
	last := netipx.PrefixLastIP(s.CIDR)
	return []netipx.IPRange{
		netipx.IPRangeFrom(s.at(routerOffset), s.at(firstStatic-1)),
		netipx.IPRangeFrom(last.Prev(), last.Prev()),
	}
}

// Static are the addresses for gateways.
func (s Subnet) Static() netipx.IPRange {
	return netipx.IPRangeFrom(s.at(firstStatic), s.at(lastStatic))
}

// Room is the number of cells that the subnet has addresses for.
func (s Subnet) Room() int {
	return 1<<(32-s.CIDR.Bits()) - lastStatic - 1 - keptAtEnd
}

func (s Subnet) at(offset int) netip.Addr {
	address := s.CIDR.Addr()
	for range offset {
		address = address.Next()
	}
	return address
}

// CIDRs are the segment's subnets.
func (p Plan) CIDRs() []netip.Prefix {
	out := make([]netip.Prefix, len(p.Segment))
	for i, s := range p.Segment {
		out[i] = s.CIDR
	}
	return out
}

// AZs are the ones that the segment spans.
func (p Plan) AZs() []string {
	out := make([]string, len(p.Segment))
	for i, s := range p.Segment {
		out[i] = s.AZ
	}
	return out
}

// OwnGatewayDeployment is the name of the deployment that holds the org's gateways and nothing else;
// empty if they are in the platform's.
func (p Plan) OwnGatewayDeployment() string {
	if p.GatewayDeployment != platform.GatewayOwn {
		return ""
	}
	return p.Names().GatewayGroup
}

// Names are what an org's things are called in BOSH and Cloud Foundry.
type Names struct {
	Network           string `yaml:"network"`
	PublicNetwork     string `yaml:"public_network"`
	Link              string `yaml:"link"`
	IsolationSegment  string `yaml:"isolation_segment"`
	PlacementTag      string `yaml:"placement_tag"`
	CellGroup         string `yaml:"cell_group"`
	GatewayGroup      string `yaml:"gateway_group"`
	GatewayExtension  string `yaml:"gateway_vm_extension"`
	PSKVariable       string `yaml:"psk_variable"`
	CellCertificate   string `yaml:"cell_certificate"`
	CloudConfig       string `yaml:"cloud_config"`
	SecurityGroupName string `yaml:"security_group"`
}

// publicSuffix makes of the name of an org's segment that of the network of its public address.
const publicSuffix = "-public"

// Rivals are the names of orgs that cannot be beside an org of this name: the segment of the one would have the
// name of the other's public network.
func Rivals(name string) []string {
	out := []string{name + publicSuffix}
	if base, found := strings.CutSuffix(name, publicSuffix); found {
		out = append(out, base)
	}
	return out
}

// Names returns the plan's names, all made of its Name.
func (p Plan) Names() Names {
	of := func(pattern string) string { return fmt.Sprintf(pattern, p.Name) }
	return Names{
		Network:           of("private-network-%s"),
		PublicNetwork:     of("private-network-%s") + publicSuffix,
		Link:              of("private-network-%s"),
		IsolationSegment:  of("private-network-%s"),
		PlacementTag:      of("private-network-%s"),
		CellGroup:         of("isolated-diego-cell-%s"),
		GatewayGroup:      of("vpn-gateway-%s"),
		GatewayExtension:  of("private-network-%s-gateway"),
		PSKVariable:       of("private-network-%s-psk"),
		CellCertificate:   of("private-network-%s-cell"),
		CloudConfig:       of("private-network-%s"),
		SecurityGroupName: of("private-network-%s"),
	}
}
