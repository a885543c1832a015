package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"privnet/lab/host"
)

// Machine is one host's part of the map.
type Machine struct {
	Host string
	// Links are lines for ip -batch, Rules for iptables-restore.
	Links, Rules []string
	// Forwards makes the kernel forward packets.
	Forwards bool
}

// Wire is a cable between two hosts; both ends are named before anything else is applied.
type Wire struct {
	A, InterfaceA, B, InterfaceB string
}

// Describe turns a map into wires and machines.
func Describe(m Map) ([]Wire, []Machine) {
	d := &description{m: m}
	d.fabric()
	d.internet()
	for _, o := range m.Orgs {
		d.customer(o)
	}
	d.vm(VM{Host: RouterHost, Addresses: []netip.Addr{Router}})
	d.vm(VM{Host: SharedHost, Addresses: []netip.Addr{SharedService}})
	for _, vm := range m.VMs {
		d.vm(vm)
	}
	return d.wires, d.machines
}

type description struct {
	m        Map
	wires    []Wire
	machines []Machine
}

func (d *description) wire(a, interfaceA, b, interfaceB string) {
	d.wires = append(d.wires, Wire{a, interfaceA, b, interfaceB})
}

// add adds to what the host has already.
func (d *description) add(m Machine) {
	i := slices.IndexFunc(d.machines, func(known Machine) bool { return known.Host == m.Host })
	if i < 0 {
		d.machines = append(d.machines, m)
		return
	}
	d.machines[i].Links = append(d.machines[i].Links, m.Links...)
}

func up(name, address string, more ...string) []string {
	return append([]string{"addr add " + address + " dev " + name, "link set " + name + " up"}, more...)
}

func on(address netip.Addr, network netip.Prefix) string {
	return netip.PrefixFrom(address, network.Bits()).String()
}

// lan is a network that VMs are in: a bridge on the host that is its router.
type lan struct {
	network      netip.Prefix
	hop          netip.Addr
	host, bridge string
}

func (d *description) lans() []lan {
	out := []lan{{Public, internetHop, Internet, "public"}, {Platform, platformHop, Fabric, "platform"}}
	for _, o := range d.m.Orgs {
		out = append(out, lan{o.Segment, o.SegmentHop, Fabric, o.Bridge()})
	}
	return out
}

// bridges are a host's own ends of the networks that it is the router of. Each has an address of its own: a
// bridge without one has that of a port, and another one when the port's VM is deleted, which its neighbours
// notice after half a minute.
func (d *description) bridges(host string) []string {
	var out []string
	for _, l := range d.lans() {
		if l.host == host {
			hop := l.hop.As4()
			out = append(out, fmt.Sprintf("link add %s address 02:00:%02x:%02x:%02x:%02x type bridge", l.bridge, hop[0], hop[1], hop[2], hop[3]))
			out = append(out, up(l.bridge, on(l.hop, l.network))...)
		}
	}
	return out
}

// fabric is the IaaS: the router of the platform's network and of the segments, with its way out, and a
// 1:1 NAT for each gateway's public address if that is not on the gateway itself.
func (d *description) fabric() {
	links := append(d.bridges(Fabric), up("uplink", on(Egress, Public), fmt.Sprintf("route add default via %s", internetHop))...)
	rules := []string{
		"*nat",
		fmt.Sprintf("-A PREROUTING -i uplink -d %s -p tcp --dport 80 -j DNAT --to-destination %s", Egress, Router),
	}
	for _, o := range d.m.Orgs {
		if d.m.GatewayNAT {
			links = append(links, fmt.Sprintf("addr add %s/32 dev uplink", o.GatewayPublic))
			rules = append(rules,
				fmt.Sprintf("-A PREROUTING -i uplink -d %s -j DNAT --to-destination %s", o.GatewayPublic, o.Gateway),
				fmt.Sprintf("-A POSTROUTING -o uplink -s %s -j SNAT --to-source %s", o.Gateway, o.GatewayPublic))
		}
		rules = append(rules, fmt.Sprintf("-A POSTROUTING -o uplink -s %s -j SNAT --to-source %s", o.Segment, Egress))
	}
	rules = append(rules, fmt.Sprintf("-A POSTROUTING -o uplink -s %s -j SNAT --to-source %s", Platform, Egress), "COMMIT")
	d.wire(Fabric, "uplink", Internet, "fabric")
	d.add(Machine{Host: Fabric, Links: links, Rules: rules, Forwards: true})
}

func (d *description) internet() {
	links := append(d.bridges(Internet), "link set fabric up master public")
	d.add(Machine{Host: Internet, Links: links, Forwards: true})
}

// customer is a customer's site: its endpoint, perhaps a NAT before it, a service in each network.
func (d *description) customer(o Org) {
	port, endpoint := fmt.Sprintf("customer%d", o.Number), o.EndpointHost()
	d.add(Machine{Host: Internet, Links: up(port, customerHop.String()+"/32", fmt.Sprintf("route add %s/32 dev %s", o.Endpoint, port))})
	wan := up("wan", o.Endpoint.String()+"/32",
		fmt.Sprintf("route add %s/32 dev wan", customerHop), fmt.Sprintf("route add default via %s", customerHop))
	links := wan
	if d.m.CustomerNAT {
		d.wire(Internet, port, o.natHost(), "wan")
		d.wire(o.natHost(), "site", endpoint, "wan")
		d.add(Machine{
			Host: o.natHost(), Forwards: true, Links: append(wan, up("site", siteHop.String()+"/30")...),
			Rules: []string{"*nat", "-A POSTROUTING -o wan -j MASQUERADE", "COMMIT"},
		})
		links = up("wan", siteAddress.String()+"/30", fmt.Sprintf("route add default via %s", siteHop))
	} else {
		d.wire(Internet, port, endpoint, "wan")
	}
	for i, s := range o.Services {
		port := fmt.Sprintf("lan%d", i+1)
		d.wire(endpoint, port, s.Host, "eth0")
		links = append(links, up(port, on(s.Hop, s.Network))...)
		service := Machine{
			Host: s.Host, Links: up("eth0", on(s.Address, s.Network), fmt.Sprintf("route add default via %s", s.Hop)),
			// Counters only: what the org's segment delivers, and what anybody else does.
			Rules: []string{
				"*filter", "-A INPUT -i lo -j ACCEPT",
				fmt.Sprintf("-A INPUT -s %s -j ACCEPT", o.Segment), "-A INPUT -j ACCEPT", "COMMIT",
			},
		}
		for _, address := range s.Probed {
			service.Links = append(service.Links, fmt.Sprintf("addr add %s dev eth0", on(address, s.Network)))
		}
		d.add(service)
	}
	// As a VPN device does: what was meant for the tunnel does not go out beside it.
	rule := fmt.Sprintf("-A FORWARD -o wan -d %s -m policy --dir out --pol none -j DROP", o.Segment)
	d.add(Machine{Host: endpoint, Links: links, Rules: []string{"*filter", rule, "COMMIT"}, Forwards: true})
}

// vm wires a VM by the networks that its addresses are in.
func (d *description) vm(vm VM) {
	machine := Machine{Host: vm.Host, Forwards: vm.App != ""}
	var hops []netip.Addr
	for i, address := range vm.Addresses {
		lans := d.lans()
		l := lans[slices.IndexFunc(lans, func(l lan) bool { return l.network.Contains(address) })]
		nic, port := fmt.Sprintf("eth%d", i), fmt.Sprintf("port%d", len(d.wires))
		d.wire(vm.Host, nic, l.host, port)
		d.add(Machine{Host: l.host, Links: []string{"link set " + port + " up master " + l.bridge}})
		machine.Links = append(machine.Links, up(nic, on(address, l.network))...)
		hops = append(hops, l.hop)
	}
	machine.Links = append(machine.Links, fmt.Sprintf("route add default via %s", hops[len(hops)-1]))
	if len(hops) > 1 {
		// The platform is behind the IaaS's router, whatever the default.
		machine.Links = append(machine.Links, fmt.Sprintf("route add %s via %s", Platform, hops[0]))
	}
	if vm.App != "" {
		d.container(&machine, vm)
	}
	d.add(machine)
}

// container does what garden and silk do for an app: a veth pair with addresses of their kind, the
// chains of silk-cni in their places, a mapped port. The security group allows everything, as the
// platform's own defaults nearly do: it must not be what keeps a promise.
func (d *description) container(cell *Machine, vm VM) {
	const hop = "169.254.0.1"
	address := vm.Overlay.As4()
	port := fmt.Sprintf("s-%03d%03d%03d%03d", address[0], address[1], address[2], address[3])
	d.wire(vm.Host, port, vm.App, "eth0")
	cell.Links = append(cell.Links, up(port, hop+" peer "+vm.Overlay.String())...)
	d.add(Machine{Host: vm.App, Links: up("eth0", vm.Overlay.String()+" peer "+hop, "route add default via "+hop)})
	in, out := "netin--"+vm.Overlay.String(), "netout--"+vm.Overlay.String()
	cell.Rules = []string{
		"*nat", ":" + in + " - [0:0]",
		"-A PREROUTING -j " + in,
		fmt.Sprintf("-A %s -d %s -p tcp --dport %d -j DNAT --to-destination %s:%d", in, vm.Addresses[0], CellPort, vm.Overlay, AppPort),
		fmt.Sprintf("-A POSTROUTING -s %s ! -o silk-vtep -j MASQUERADE", vm.Overlay),
		"COMMIT",
		"*filter", ":vpa--1 - [0:0]", ":" + out + " - [0:0]",
		"-A FORWARD -j vpa--1",
		fmt.Sprintf("-A FORWARD -s %s -o eth0 -j %s", vm.Overlay, out),
		"-A " + out + " -m state --state RELATED,ESTABLISHED -j ACCEPT",
		"-A " + out + " -m iprange --dst-range 0.0.0.0-255.255.255.255 -j ACCEPT",
		"-A " + out + " -j REJECT --reject-with icmp-port-unreachable",
		"COMMIT",
	}
}

// kernel sets what a stemcell sets; the lab carries no IPv6.
const kernel = `set -e; cd /proc/sys/net
for d in all default; do
echo 1 >ipv6/conf/$d/disable_ipv6; echo 1 >ipv4/conf/$d/rp_filter; echo 0 >ipv4/conf/$d/send_redirects
done
echo 0 >ipv4/ip_forward
`

// Apply wires the hosts. They must run and be bare.
func Apply(ctx context.Context, hosts map[string]host.Host, wires []Wire, machines []Machine) error {
	for _, m := range machines {
		script := kernel
		if m.Forwards {
			script += "echo 1 >ipv4/ip_forward\n"
		}
		if _, err := hosts[m.Host].Run(ctx, "sh", "-c", script); err != nil {
			return fmt.Errorf("setting the kernel: %w", err)
		}
	}
	for _, w := range wires {
		if err := host.Wire(ctx, hosts[w.A], w.InterfaceA, hosts[w.B], w.InterfaceB); err != nil {
			return err
		}
	}
	for _, m := range machines {
		if err := feed(ctx, hosts[m.Host], m.Links, "ip", "-batch", "-"); err != nil {
			return fmt.Errorf("setting up the network: %w", err)
		}
		if err := feed(ctx, hosts[m.Host], m.Rules, "iptables-restore", "-w"); err != nil {
			return fmt.Errorf("setting the rules: %w", err)
		}
	}
	return nil
}

func feed(ctx context.Context, h host.Host, lines []string, name string, args ...string) error {
	if len(lines) == 0 {
		return nil
	}
	cmd := h.Command(ctx, name, args...)
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("running %s in %s: %w: %s", name, h.Name, err, out)
	}
	return nil
}
