package render

import (
	"net/netip"

	"privnet/connection"
	"privnet/onboard/manifest"
	"privnet/onboard/platform"
	"privnet/onboard/tree"
)

type instanceGroup struct {
	Name         string    `yaml:"name"`
	AZs          []string  `yaml:"azs"`
	Instances    int       `yaml:"instances"`
	VMType       string    `yaml:"vm_type"`
	VMExtensions []string  `yaml:"vm_extensions,omitempty"`
	Stemcell     string    `yaml:"stemcell"`
	Networks     []network `yaml:"networks"`
	Jobs         []any     `yaml:"jobs"`
}

type network struct {
	Name      string       `yaml:"name"`
	StaticIPs []netip.Addr `yaml:"static_ips"`
	Default   []string     `yaml:"default,omitempty"`
}

// gatewayProperties are those of the job ipsec-gateway, without the ones that have their default value.
type gatewayProperties struct {
	Org             string         `yaml:"org"`
	Segment         []netip.Prefix `yaml:"segment"`
	PrivateNetworks []netip.Prefix `yaml:"private_networks"`
	Gateways        []gateway      `yaml:"gateways"`
	Endpoints       []endpoint     `yaml:"endpoints"`
	IKE             string         `yaml:"ike,omitempty"`
	Policy          string         `yaml:"policy,omitempty"`
	Routing         string         `yaml:"routing,omitempty"`
	Allow           []flow         `yaml:"allow,omitempty"`
	Inbound         []flow         `yaml:"inbound,omitempty"`
	Probes          []target       `yaml:"probes,omitempty"`
	PSK             string         `yaml:"psk_a"`
}

type gateway struct {
	Address       netip.Addr `yaml:"address"`
	PublicAddress netip.Addr `yaml:"public_address"`
}

type endpoint struct {
	Address netip.Addr `yaml:"address"`
	Device  string     `yaml:"device"`
	ID      string     `yaml:"id,omitempty"`
}

type flow struct {
	Protocol string `yaml:"protocol"`
	Ports    string `yaml:"ports,omitempty"`
}

type target struct {
	Address netip.Addr `yaml:"address"`
	Check   string     `yaml:"check"`
	Port    uint16     `yaml:"port,omitempty"`
	Path    string     `yaml:"path,omitempty"`
}

// providedLink may be consumed by other deployments if it is shared.
type providedLink struct {
	As     string `yaml:"as"`
	Shared bool   `yaml:"shared,omitempty"`
}

// gatewayGroup takes the stemcell from the group of cells, and bpm where that group brings it itself and
// no addon does.
func gatewayGroup(in Input, base manifest.Group) instanceGroup {
	names := in.Plan.Names()
	out := instanceGroup{
		Name:      names.GatewayGroup,
		Instances: len(in.Plan.Gateways),
		VMType:    in.Platform.GatewayVMType,
		Stemcell:  tree.Text(base.Node, "stemcell"),
		Networks:  gatewayNetworks(in),
		Jobs: []any{
			job{Name: "ipsec-gateway", Release: manifest.Release, Properties: connectionProperties(in),
				Provides: map[string]any{"private-network": providedLink{names.Link, in.Plan.OwnGatewayDeployment() != ""}}},
			job{Name: "egress-enforcer", Release: manifest.Release, Properties: roleProperties{"gateway"}, Consumes: map[string]any{
				"private-network": linkFrom{From: names.Link, IPAddresses: true}, "iptables": "nil",
			}},
			job{Name: "tunnel-prober", Release: manifest.Release, Properties: roleProperties{"gateway"}, Consumes: map[string]any{
				"private-network": linkFrom{From: names.Link, IPAddresses: true},
			}},
		},
	}
	if bpm, ok := base.Job("bpm"); ok {
		out.Jobs = append([]any{bpm.Node}, out.Jobs...)
	}
	seen := map[string]bool{}
	for _, g := range in.Plan.Gateways {
		if !seen[g.AZ] {
			out.AZs = append(out.AZs, g.AZ)
		}
		seen[g.AZ] = true
	}
	if gatewayCloudProperties(in) != nil {
		out.VMExtensions = []string{names.GatewayExtension}
	}
	return out
}

// gatewayNetworks are the segment and, where BOSH is to give the VM its public address, the network
// that has it. With a NIC there the default route goes out by it, since the endpoint is behind it.
func gatewayNetworks(in Input) []network {
	names := in.Plan.Names()
	segment := network{Name: names.Network, Default: []string{"dns", "gateway"}}
	public := network{}
	for _, g := range in.Plan.Gateways {
		segment.StaticIPs = append(segment.StaticIPs, g.Address)
		public.StaticIPs = append(public.StaticIPs, g.PublicAddress)
	}
	switch in.Platform.GatewayAddress {
	case platform.GatewayVIP:
		public.Name = names.PublicNetwork
	case platform.GatewayNIC:
		public.Name = in.Platform.PublicNetwork
		segment.Default, public.Default = []string{"dns"}, []string{"gateway"}
	default:
		segment.Default = nil
		return []network{segment}
	}
	return []network{segment, public}
}

func connectionProperties(in Input) gatewayProperties {
	r, p := in.Request, in.Plan
	out := gatewayProperties{
		Org: p.Name, Segment: p.CIDRs(), PrivateNetworks: r.PrivateNetworks, Policy: r.Policy,
		Allow: flows(r.Allow), Inbound: flows(r.Inbound), PSK: "((" + p.Names().PSKVariable + "))",
	}
	for _, g := range p.Gateways {
		out.Gateways = append(out.Gateways, gateway{g.Address, g.PublicAddress})
	}
	e := endpoint{Address: r.Endpoint.Address, Device: r.Endpoint.Device}
	if r.Endpoint.ID != r.Endpoint.Address.String() {
		e.ID = r.Endpoint.ID
	}
	out.Endpoints = []endpoint{e}
	if r.IKE != connection.IKEv2 {
		out.IKE = string(r.IKE)
	}
	if p.Routing != connection.RoutingHost {
		out.Routing = string(p.Routing)
	}
	for _, t := range r.Probes {
		out.Probes = append(out.Probes, target{t.Address, string(t.Check), t.Port, t.Path})
	}
	return out
}

func flows(in []connection.Flow) []flow {
	var out []flow
	for _, f := range in {
		out = append(out, flow{Protocol: string(f.Protocol), Ports: f.PortList()})
	}
	return out
}
