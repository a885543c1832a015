package render

import (
	"fmt"
	"net/netip"

	"privnet/connection"
	"privnet/onboard/jobs"
	"privnet/onboard/manifest"
	"privnet/onboard/plan"
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
	PathMTU         int            `yaml:"path_mtu,omitempty"`
	PSKA            string         `yaml:"psk_a,omitempty"`
	PSKB            string         `yaml:"psk_b,omitempty"`
	ActivePSK       string         `yaml:"active_psk,omitempty"`
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
	}
	for _, j := range ourGatewayJobs(in) {
		out.Jobs = append(out.Jobs, j)
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

// ourGatewayJobs are the release's jobs on a gateway.
func ourGatewayJobs(in Input) []job {
	names := in.Plan.Names()
	link := map[string]any{"private-network": linkFrom{From: names.Link, IPAddresses: true}}
	return []job{
		{Name: "ipsec-gateway", Release: manifest.Release, Properties: connectionProperties(in),
			Provides: map[string]any{"private-network": providedLink{names.Link, in.Plan.OwnGatewayDeployment() != ""}}},
		{Name: "egress-enforcer", Release: manifest.Release, Properties: roleProperties{jobs.Gateway}, Consumes: map[string]any{
			"private-network": link["private-network"], "iptables": "nil",
		}},
		{Name: "tunnel-prober", Release: manifest.Release, Properties: roleProperties{jobs.Gateway}, Consumes: link},
		{Name: "tunnel-doctor", Release: manifest.Release, Properties: roleProperties{jobs.Gateway}, Consumes: link},
	}
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
		Allow: flows(r.Allow), Inbound: flows(r.Inbound),
	}
	// The generations take turns in the gateway's two places for keys.
	for _, generation := range generations(r) {
		if key := "((" + PSKVariable(p, generation) + "))"; generation%2 == 1 {
			out.PSKA = key
		} else {
			out.PSKB = key
		}
	}
	if r.PSK.Generation%2 == 0 {
		out.ActivePSK = "b"
	}
	if r.PathMTU != connection.DefaultPathMTU {
		out.PathMTU = r.PathMTU
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

// generations are the keys that count.
func generations(r connection.Request) []int {
	if r.PSK.Next {
		return []int{r.PSK.Generation, r.PSK.Generation + 1}
	}
	return []int{r.PSK.Generation}
}

// PSKVariable is the manifest's variable of a generation of the org's key.
func PSKVariable(p plan.Plan, generation int) string {
	name := p.Names().PSKVariable
	if generation > 1 {
		name = fmt.Sprintf("%s-%d", name, generation)
	}
	return name
}

func flows(in []connection.Flow) []flow {
	var out []flow
	for _, f := range in {
		out = append(out, flow{Protocol: string(f.Protocol), Ports: f.PortList()})
	}
	return out
}

// GatewayProperties are the properties of the org's job ipsec-gateway as they are rendered, by name; what has
// its default value is absent.
func GatewayProperties(in Input) map[string]any {
	out := map[string]any{}
	if err := tree.Of(connectionProperties(in)).Decode(&out); err != nil {
		panic(err) // what was just encoded
	}
	return out
}
