package sense

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"privnet/connection"
	"privnet/doctor"
)

func (s Senses) network(c doctor.Config) doctor.Network {
	var out doctor.Network
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		out.Problem = err.Error()
		return out
	}
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil {
			out.Addresses = append(out.Addresses, prefix.Addr())
		}
	}
	forward, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		out.Problem = err.Error()
		return out
	}
	out.Forwarding = strings.TrimSpace(string(forward)) != "0"
	defaults, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_MAIN}, netlink.RT_FILTER_TABLE)
	if err != nil {
		out.Problem = err.Error()
		return out
	}
	for _, r := range defaults {
		if r.Dst == nil || r.Dst.IP.IsUnspecified() && maskSize(r.Dst) == 0 {
			out.DefaultRoute = true
		}
	}
	if c.Role == doctor.Cell {
		out.Routes = make([]doctor.Route, len(c.Connection.PrivateNetworks))
		var asked sync.WaitGroup
		for i, network := range c.Connection.PrivateNetworks {
			asked.Go(func() {
				out.Routes[i] = routeTo(network, c.Source)
				if out.Routes[i].Problem == "" {
					out.Routes[i].Seen = wayTo(c, network)
				}
			})
		}
		asked.Wait()
	}
	return out
}

func maskSize(n *net.IPNet) int {
	ones, _ := n.Mask.Size()
	return ones
}

// routeTo asks the kernel where a packet of this VM for the network would go.
func routeTo(network netip.Prefix, source netip.Addr) doctor.Route {
	out := doctor.Route{PrivateNetwork: network}
	target := connection.Host(network)
	routes, err := netlink.RouteGetWithOptions(target.AsSlice(), &netlink.RouteGetOptions{SrcAddr: source.AsSlice()})
	switch {
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EINVAL):
		out.Problem = "the kernel has no route to it, or refuses it: the route to the gateway is gone"
		return out
	case err != nil:
		out.Problem = err.Error()
		return out
	case len(routes) == 0:
		return out
	}
	if hop, ok := netip.AddrFromSlice(routes[0].Gw); ok {
		out.NextHop = hop.Unmap()
		out.Heard = heard(out.NextHop, routes[0].LinkIndex)
	}
	return out
}

// heard says whether the next hop has a link address: the kernel asks for it when a packet goes there.
func heard(hop netip.Addr, link int) bool {
	if conn, err := net.Dial("udp4", netip.AddrPortFrom(hop, 9).String()); err == nil {
		_, _ = conn.Write([]byte{0})
		conn.Close()
	}
	for range 15 {
		neighbours, err := netlink.NeighList(link, netlink.FAMILY_V4)
		if err != nil {
			return false
		}
		for _, n := range neighbours {
			const good = netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE | netlink.NUD_PERMANENT
			if address, ok := netip.AddrFromSlice(n.IP); ok && address.Unmap() == hop && n.State&good != 0 {
				return true
			}
		}
		pause()
	}
	return false
}

// services are the jobs of ours that this VM has, and whether their processes live.
func (s Senses) services() []doctor.Service {
	var out []doctor.Service
	for _, name := range []string{"ipsec-gateway", "egress-enforcer", "tunnel-prober"} {
		if _, err := os.Stat(filepath.Join(s.Jobs, name)); err != nil {
			continue
		}
		service := doctor.Service{Name: name}
		file := filepath.Join(s.PIDs, name, name+".pid")
		data, err := os.ReadFile(file)
		pid, parseErr := strconv.Atoi(strings.TrimSpace(string(data)))
		switch {
		case err != nil, parseErr != nil, pid <= 0:
			service.Problem = "it does not run: " + file + " names no process"
		case errors.Is(unix.Kill(pid, 0), unix.ESRCH):
			service.Problem = "it does not run: its process " + strconv.Itoa(pid) + " is gone"
		}
		out = append(out, service)
	}
	return out
}

// dial is for datagrams from the source, if it is valid.
func dial(ctx context.Context, server netip.AddrPort, source netip.Addr) (net.Conn, error) {
	var dialer net.Dialer
	if source.IsValid() {
		dialer.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
	}
	return dialer.DialContext(ctx, "udp4", server.String())
}
