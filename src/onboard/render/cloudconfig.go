package render

import (
	"net/netip"
	"strings"

	"privnet/connection"
	"privnet/onboard/plan"
	"privnet/onboard/platform"
	"privnet/onboard/tree"
)

type cloudConfig struct {
	Networks     []cloudNetwork `yaml:"networks"`
	VMExtensions []vmExtension  `yaml:"vm_extensions,omitempty"`
}

type cloudNetwork struct {
	Name    string        `yaml:"name"`
	Type    string        `yaml:"type"`
	Subnets []cloudSubnet `yaml:"subnets,omitempty"`
}

type cloudSubnet struct {
	AZ              string         `yaml:"az"`
	Range           netip.Prefix   `yaml:"range"`
	Gateway         netip.Addr     `yaml:"gateway"`
	DNS             []netip.Addr   `yaml:"dns,omitempty"`
	Reserved        []string       `yaml:"reserved"`
	Static          []string       `yaml:"static"`
	CloudProperties map[string]any `yaml:"cloud_properties,omitempty"`
}

type vmExtension struct {
	Name            string         `yaml:"name"`
	CloudProperties map[string]any `yaml:"cloud_properties"`
}

const cloudConfigHeading = `# The segment of %ORG%. Written by "privnet render"; render again instead of editing.
#
#   bosh update-config --type=cloud --name=%NAME% THIS-FILE
`

// CloudConfig is the org's named cloud-config.
func CloudConfig(in Input) []byte {
	names := in.Plan.Names()
	segment := cloudNetwork{Name: names.Network, Type: "manual"}
	for _, s := range in.Plan.Segment {
		pool := in.pool(s.AZ)
		segment.Subnets = append(segment.Subnets, cloudSubnet{
			AZ: s.AZ, Range: s.CIDR, Gateway: s.Router(), DNS: pool.DNS,
			Reserved: plan.Ranges(s.Reserved()...), Static: plan.Ranges(s.Static()),
			CloudProperties: pool.CloudProperties,
		})
	}
	out := cloudConfig{Networks: []cloudNetwork{segment}}
	if in.Platform.GatewayAddress == platform.GatewayVIP {
		out.Networks = append(out.Networks, cloudNetwork{Name: names.PublicNetwork, Type: "vip"})
	}
	if properties := gatewayCloudProperties(in); properties != nil {
		out.VMExtensions = []vmExtension{{Name: names.GatewayExtension, CloudProperties: properties}}
	}
	heading := strings.NewReplacer("%ORG%", in.Plan.Name, "%NAME%", names.CloudConfig).Replace(cloudConfigHeading)
	return tree.Write(heading, out)
}

// gatewayCloudProperties let a VM forward packets that are not its own, in the words of each CPI; nil
// where nothing stops it.
func gatewayCloudProperties(in Input) map[string]any {
	switch in.Platform.IaaS {
	case platform.AWS:
		out := map[string]any{"source_dest_check": false}
		if in.Plan.Routing == connection.RoutingIaaS {
			out["advertised_routes"] = advertisedRoutes(in)
		}
		return out
	case platform.Azure, platform.GCP:
		return map[string]any{"ip_forwarding": true}
	case platform.OpenStack:
		// The CPI takes one pair; Neutron takes a CIDR as its address.
		pair := "0.0.0.0/0"
		if len(in.Request.PrivateNetworks) == 1 {
			pair = in.Request.PrivateNetworks[0].String()
		}
		return map[string]any{"allowed_address_pairs": pair}
	}
	return nil
}

type advertisedRoute struct {
	TableID     string       `yaml:"table_id"`
	Destination netip.Prefix `yaml:"destination"`
}

// advertisedRoutes let the CPI point the route tables of the segment's subnets at the gateway.
func advertisedRoutes(in Input) []advertisedRoute {
	var out []advertisedRoute
	seen := map[string]bool{}
	for _, s := range in.Plan.Segment {
		pool := in.pool(s.AZ)
		if seen[pool.RouteTable] {
			continue
		}
		seen[pool.RouteTable] = true
		for _, destination := range in.Request.PrivateNetworks {
			out = append(out, advertisedRoute{pool.RouteTable, destination})
		}
	}
	return out
}
