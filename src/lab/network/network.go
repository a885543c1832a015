// Package network is the lab's map: which hosts there are, how they are wired, and what each one's
// kernel is told. It stands for the IaaS, the internet and the customer's site; on the platform's VMs it
// does what an IaaS, a stemcell, garden and silk do there, and nothing of what our own jobs do.
//
// Describe is pure. Apply works in the hosts' networks only; the machine's own is never touched.
package network

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"

	"privnet/connection"
	"privnet/lab/host"
)

// The addresses of the lab that do not come from a plan. The public ones are for documentation
// (RFC 5737), the link to the customer for benchmarks (RFC 2544).
var (
	Platform      = netip.MustParsePrefix("10.0.16.0/24")
	Public        = netip.MustParsePrefix("203.0.113.0/24")
	platformHop   = netip.MustParseAddr("10.0.16.1")
	Router        = netip.MustParseAddr("10.0.16.10")
	SharedService = netip.MustParseAddr("10.0.16.20")
	firstVM       = netip.MustParseAddr("10.0.16.100")
	internetHop   = netip.MustParseAddr("203.0.113.1")
	// Egress is the platform's own public address: of what apps send, and of the shared router.
	Egress      = netip.MustParseAddr("203.0.113.2")
	customerHop = netip.MustParseAddr("198.18.0.1")
	siteHop     = netip.MustParseAddr("198.18.1.1")
	siteAddress = netip.MustParseAddr("198.18.1.2")
)

// AppPort is where an app listens in its container, CellPort where its cell maps it to.
const (
	AppPort  = 8080
	CellPort = 61001
)

// The hosts that every lab has, besides the deployment's VMs.
const (
	Fabric        = "fabric"
	Internet      = "internet"
	Endpoint      = "endpoint"
	CustomerNAT   = "customer-nat"
	RouterHost    = "router"
	SharedHost    = "shared-service"
	SegmentBridge = "segment"
)

// VM is one instance of the deployment.
type VM struct {
	Host string
	// Addresses tell by their network what each NIC is connected to.
	Addresses []netip.Addr
	// App is the name of the host that stands for an app's container on this cell, or empty.
	App string
	// Overlay is the container's address.
	Overlay netip.Addr
}

// Service is a host in one of the customer's networks.
type Service struct {
	Host    string
	Network netip.Prefix
	// Hop is the endpoint's address in the network.
	Hop     netip.Addr
	Address netip.Addr
	// Probed are further addresses, which the request names as probe targets.
	Probed []netip.Addr
}

// Map is what the wiring depends on.
type Map struct {
	Segment netip.Prefix
	// SegmentHop is the IaaS's router in the segment.
	SegmentHop netip.Addr
	// Gateway and GatewayPublic are the gateway's two addresses.
	Gateway, GatewayPublic netip.Addr
	// GatewayNAT: the fabric maps the public address onto the gateway's only NIC.
	GatewayNAT bool
	// Endpoint is the address that the internet knows the customer's endpoint by.
	Endpoint netip.Addr
	// CustomerNAT: the endpoint is behind a NAT that has this address.
	CustomerNAT bool
	Services    []Service
	VMs         []VM
}

// Services are the hosts in the private networks, the second address of each; the first is the endpoint's.
func Services(private []netip.Prefix, probes []connection.Target) ([]Service, error) {
	var out []Service
	for i, p := range private {
		if p.Bits() > 30 {
			return nil, fmt.Errorf("the lab does not do private networks smaller than /30 (%s)", p)
		}
		hop := p.Addr().Next()
		s := Service{Host: fmt.Sprintf("private-%d", i+1), Network: p, Hop: hop, Address: hop.Next()}
		for _, probe := range probes {
			if p.Contains(probe.Address) && !slices.Contains(append(s.Probed, s.Address), probe.Address) {
				s.Probed = append(s.Probed, probe.Address)
			}
		}
		out = append(out, s)
	}
	return out, nil
}

// Hosts lists all hosts, from the internet inwards.
func (m Map) Hosts() []string {
	out := []string{Internet, Fabric, RouterHost, SharedHost, Endpoint}
	if m.CustomerNAT {
		out = append(out, CustomerNAT)
	}
	for _, s := range m.Services {
		out = append(out, s.Host)
	}
	for _, vm := range m.VMs {
		if out = append(out, vm.Host); vm.App != "" {
			out = append(out, vm.App)
		}
	}
	return out
}

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
	d.customer()
	for i, vm := range m.VMs {
		d.vm(i, vm)
	}
	d.platformHost(RouterHost, Router)
	d.platformHost(SharedHost, SharedService)
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

// fabric is the IaaS: the router of the platform's network and of the segment, with its way out, and a
// 1:1 NAT for the gateway's public address if that is not on the gateway itself.
func (d *description) fabric() {
	links := []string{"link add platform type bridge", "link add " + SegmentBridge + " type bridge"}
	links = append(links, up("platform", on(platformHop, Platform))...)
	links = append(links, up(SegmentBridge, on(d.m.SegmentHop, d.m.Segment))...)
	links = append(links, up("uplink", on(Egress, Public), fmt.Sprintf("route add default via %s", internetHop))...)
	rules := []string{
		"*nat",
		fmt.Sprintf("-A PREROUTING -i uplink -d %s -p tcp --dport 80 -j DNAT --to-destination %s", Egress, Router),
	}
	if d.m.GatewayNAT {
		links = append(links, fmt.Sprintf("addr add %s/32 dev uplink", d.m.GatewayPublic))
		rules = append(rules,
			fmt.Sprintf("-A PREROUTING -i uplink -d %s -j DNAT --to-destination %s", d.m.GatewayPublic, d.m.Gateway),
			fmt.Sprintf("-A POSTROUTING -o uplink -s %s -j SNAT --to-source %s", d.m.Gateway, d.m.GatewayPublic))
	}
	rules = append(rules,
		fmt.Sprintf("-A POSTROUTING -o uplink -s %s -j SNAT --to-source %s", Platform, Egress),
		fmt.Sprintf("-A POSTROUTING -o uplink -s %s -j SNAT --to-source %s", d.m.Segment, Egress),
		"COMMIT")
	d.wire(Fabric, "uplink", Internet, "fabric")
	d.add(Machine{Host: Fabric, Links: links, Rules: rules, Forwards: true})
}

func (d *description) internet() {
	links := []string{"link add public type bridge", "link set fabric up master public"}
	links = append(links, up("public", on(internetHop, Public))...)
	links = append(links, up("customer", customerHop.String()+"/32", fmt.Sprintf("route add %s/32 dev customer", d.m.Endpoint))...)
	d.add(Machine{Host: Internet, Links: links, Forwards: true})
}

// customer is the customer's site: its endpoint, perhaps a NAT before it, a service in each network.
func (d *description) customer() {
	wan := func() []string {
		return up("wan", d.m.Endpoint.String()+"/32",
			fmt.Sprintf("route add %s/32 dev wan", customerHop), fmt.Sprintf("route add default via %s", customerHop))
	}
	links := wan()
	if d.m.CustomerNAT {
		d.wire(Internet, "customer", CustomerNAT, "wan")
		d.wire(CustomerNAT, "site", Endpoint, "wan")
		d.add(Machine{
			Host: CustomerNAT, Forwards: true, Links: append(wan(), up("site", siteHop.String()+"/30")...),
			Rules: []string{"*nat", "-A POSTROUTING -o wan -j MASQUERADE", "COMMIT"},
		})
		links = up("wan", siteAddress.String()+"/30", fmt.Sprintf("route add default via %s", siteHop))
	} else {
		d.wire(Internet, "customer", Endpoint, "wan")
	}
	for i, s := range d.m.Services {
		port := fmt.Sprintf("lan%d", i+1)
		d.wire(Endpoint, port, s.Host, "eth0")
		links = append(links, up(port, on(s.Hop, s.Network))...)
		d.add(Machine{
			Host: s.Host, Links: up("eth0", on(s.Address, s.Network), fmt.Sprintf("route add default via %s", s.Hop)),
			// Counters only: what the segment delivers, and what anybody else does.
			Rules: []string{
				"*filter", "-A INPUT -i lo -j ACCEPT",
				fmt.Sprintf("-A INPUT -s %s -j ACCEPT", d.m.Segment), "-A INPUT -j ACCEPT", "COMMIT",
			},
		})
		for _, address := range s.Probed {
			d.add(Machine{Host: s.Host, Links: []string{fmt.Sprintf("addr add %s dev eth0", on(address, s.Network))}})
		}
	}
	// As a VPN device does: what was meant for the tunnel does not go out beside it.
	rule := fmt.Sprintf("-A FORWARD -o wan -d %s -m policy --dir out --pol none -j DROP", d.m.Segment)
	d.add(Machine{Host: Endpoint, Links: links, Rules: []string{"*filter", rule, "COMMIT"}, Forwards: true})
}

func (d *description) platformHost(name string, address netip.Addr) {
	port := "p-" + name[:6]
	d.wire(name, "eth0", Fabric, port)
	d.add(Machine{Host: Fabric, Links: []string{"link set " + port + " up master platform"}})
	d.add(Machine{Host: name, Links: up("eth0", on(address, Platform), fmt.Sprintf("route add default via %s", platformHop))})
}

// vm wires a VM by the networks that its addresses are in. Its default route is the public one if it
// has that.
func (d *description) vm(index int, vm VM) {
	machine := Machine{Host: vm.Host, Forwards: vm.App != ""}
	var hop, own netip.Addr
	for i, address := range vm.Addresses {
		name, port := fmt.Sprintf("eth%d", i), fmt.Sprintf("vm%d-%d", index, i)
		switch {
		case Public.Contains(address):
			machine.Links = append(machine.Links, up(name, on(address, Public))...)
			d.wire(vm.Host, name, Internet, port)
			d.add(Machine{Host: Internet, Links: []string{"link set " + port + " up master public"}})
			hop = internetHop
		case d.m.Segment.Contains(address):
			machine.Links = append(machine.Links, up(name, on(address, d.m.Segment))...)
			d.wire(vm.Host, name, Fabric, port)
			d.add(Machine{Host: Fabric, Links: []string{"link set " + port + " up master " + SegmentBridge}})
			if own = address; !hop.IsValid() {
				hop = d.m.SegmentHop
			}
		default:
			machine.Links = append(machine.Links, up(name, on(address, Platform))...)
			d.wire(vm.Host, name, Fabric, port)
			d.add(Machine{Host: Fabric, Links: []string{"link set " + port + " up master platform"}})
			own, hop = address, platformHop
		}
	}
	machine.Links = append(machine.Links, fmt.Sprintf("route add default via %s", hop))
	if hop == internetHop {
		// The platform is behind the IaaS's router, whatever the default.
		machine.Links = append(machine.Links, fmt.Sprintf("route add %s via %s", Platform, d.m.SegmentHop))
	}
	if vm.App != "" {
		d.container(&machine, vm, own)
	}
	d.add(machine)
}

// container does what garden and silk do for an app: a veth pair with addresses of their kind, the
// chains of silk-cni in their places, a mapped port. The security group allows everything, as the
// platform's own defaults nearly do: it must not be what keeps a promise.
func (d *description) container(cell *Machine, vm VM, own netip.Addr) {
	const hop = "169.254.0.1"
	address := vm.Overlay.As4()
	port := fmt.Sprintf("s-%03d%03d%03d%03d", address[0], address[1], address[2], address[3])
	d.wire(vm.Host, port, vm.App, "eth0")
	cell.Links = append(cell.Links, up(port, hop+" peer "+vm.Overlay.String())...)
	d.add(Machine{Host: vm.App, Links: up("eth0", vm.Overlay.String()+" peer "+hop, "route add default via "+hop)})
	cell.Rules = []string{
		"*nat", ":netin--" + vm.App + " - [0:0]",
		"-A PREROUTING -j netin--" + vm.App,
		fmt.Sprintf("-A netin--%s -d %s -p tcp --dport %d -j DNAT --to-destination %s:%d", vm.App, own, CellPort, vm.Overlay, AppPort),
		fmt.Sprintf("-A POSTROUTING -s %s ! -o silk-vtep -j MASQUERADE", vm.Overlay),
		"COMMIT",
		"*filter", ":vpa--1 - [0:0]", ":netout--" + vm.App + " - [0:0]",
		"-A FORWARD -j vpa--1",
		fmt.Sprintf("-A FORWARD -s %s -o eth0 -j netout--%s", vm.Overlay, vm.App),
		fmt.Sprintf("-A netout--%s -m state --state RELATED,ESTABLISHED -j ACCEPT", vm.App),
		fmt.Sprintf("-A netout--%s -m iprange --dst-range 0.0.0.0-255.255.255.255 -j ACCEPT", vm.App),
		fmt.Sprintf("-A netout--%s -j REJECT --reject-with icmp-port-unreachable", vm.App),
		"COMMIT",
	}
}

// VMAddress is the address of the platform's VM number n, from 0.
func VMAddress(n int) netip.Addr { return nth(firstVM, n) }

// CellAddress is the address of the segment's cell number n, from 0: the first that no gateway may have.
func CellAddress(static netipx.IPRange, n int) netip.Addr { return nth(static.To().Next(), n) }

func nth(first netip.Addr, n int) netip.Addr {
	for range n {
		first = first.Next()
	}
	return first
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
