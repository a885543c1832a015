package network_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/lab/host"
	"privnet/lab/network"
)

var private = []netip.Prefix{netip.MustParsePrefix("10.150.0.0/16"), netip.MustParsePrefix("172.30.8.0/22")}

// org is one whose private networks are those of every other.
func org(name string, number byte) network.Org {
	GinkgoHelper()
	services, err := network.Services(name, private, []connection.Target{{Address: netip.MustParseAddr("10.150.0.10")}})
	Expect(err).NotTo(HaveOccurred())
	return network.Org{
		Name: name, Number: int(number), Services: services,
		Segment: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 20, number, 0}), 24), SegmentHop: netip.AddrFrom4([4]byte{10, 20, number, 1}),
		Gateway: netip.AddrFrom4([4]byte{10, 20, number, 4}), GatewayPublic: netip.AddrFrom4([4]byte{203, 0, 113, 10 + number}),
		Endpoint: netip.AddrFrom4([4]byte{198, 51, 100, 10 + number}),
	}
}

// example has the orgs a and b, and a shared cell.
func example(customerNAT, gatewayNAT bool) network.Map {
	GinkgoHelper()
	m := network.Map{Orgs: []network.Org{org("a", 1), org("b", 2)}, CustomerNAT: customerNAT, GatewayNAT: gatewayNAT}
	for _, o := range m.Orgs {
		gateway := network.VM{Host: "gateway-" + o.Name, Addresses: []netip.Addr{o.Gateway, o.GatewayPublic}}
		if gatewayNAT {
			gateway.Addresses = gateway.Addresses[:1]
		}
		cell := network.VM{
			Host: "cell-" + o.Name, Addresses: []netip.Addr{o.Gateway.Next()},
			App: "app-" + o.Name, Overlay: netip.AddrFrom4([4]byte{10, 255, byte(o.Number), 2}),
		}
		m.VMs = append(m.VMs, gateway, cell)
	}
	m.VMs = append(m.VMs, network.VM{
		Host: "shared-cell", Addresses: []netip.Addr{network.VMAddress(0)}, App: "shared-app", Overlay: netip.MustParseAddr("10.255.9.2"),
	})
	return m
}

var _ = Describe("the map", func() {
	It("refuses a private network that has no room for an endpoint and a service", func() {
		_, err := network.Services("a", []netip.Prefix{netip.MustParsePrefix("10.1.0.1/32")}, nil)
		Expect(err).To(MatchError("the lab does not do private networks smaller than /30 (10.1.0.1/32)"))
	})

	It("describes each host once", func() {
		m := example(true, false)
		_, machines := network.Describe(m)
		var described []string
		for _, machine := range machines {
			described = append(described, machine.Host)
		}
		Expect(described).To(ConsistOf(m.Hosts()))
	})

	It("knows the cells of a network", func() {
		m := example(true, false)
		Expect(m.Cells(m.Orgs[1].Segment)).To(HaveExactElements(HaveField("Host", "cell-b")))
		Expect(m.Cells(network.Platform)).To(HaveExactElements(HaveField("Host", "shared-cell")))
	})
})

var _ = DescribeTable("the network without any job", Serial,
	func(ctx SpecContext, customerNAT, gatewayNAT bool) {
		if os.Geteuid() != 0 {
			Skip("making namespaces needs root")
		}
		dir := GinkgoT().TempDir()
		DeferCleanup(func() { Expect(host.EndAll(context.Background(), dir)).To(Succeed()) })
		m := example(customerNAT, gatewayNAT)
		hosts := map[string]host.Host{}
		for _, name := range m.Hosts() {
			h, err := host.Start(ctx, dir, name)
			Expect(err).NotTo(HaveOccurred())
			hosts[name] = h
		}
		wires, machines := network.Describe(m)
		Expect(network.Apply(ctx, hosts, wires, machines)).To(Succeed())

		// A closed port that answers is as good as an open one: the packet was there and the answer came back.
		reaches := func(from, to string) bool {
			short, cancel := context.WithTimeout(ctx, 700*time.Millisecond)
			defer cancel()
			conn, err := hosts[from].Dial(short, "tcp", net.JoinHostPort(to, "8080"))
			if err == nil {
				conn.Close()
			}
			return err == nil || errors.Is(err, syscall.ECONNREFUSED)
		}
		// The kernel may take a second to notice that a link is up.
		Eventually(func() bool {
			return reaches("app-a", "203.0.113.1") && reaches("app-b", "203.0.113.1") && reaches("shared-app", m.Orgs[0].Endpoint.String())
		}).WithTimeout(5 * time.Second).Should(BeTrue())
		for _, o := range m.Orgs {
			for _, from := range []string{"app-" + o.Name, "cell-" + o.Name, "gateway-" + o.Name, "shared-app"} {
				Expect(reaches(from, network.SharedService.String())).To(BeTrue(), "%s to the shared service", from)
				Expect(reaches(from, o.Endpoint.String())).To(BeTrue(), "%s to the endpoint", from)
				for _, s := range o.Services {
					Expect(reaches(from, s.Address.String())).To(BeFalse(), "%s to %s, without a tunnel", from, s.Host)
				}
			}
			endpoint := o.EndpointHost()
			Expect(reaches(endpoint, o.GatewayPublic.String())).To(BeTrue(), "%s to the gateway", endpoint)
			Expect(reaches(endpoint, "10.150.0.10")).To(BeTrue(), "%s to a probe's target", endpoint)
			for _, s := range o.Services {
				Expect(reaches(s.Host, s.Hop.String())).To(BeTrue(), "%s to the endpoint", s.Host)
			}
			Expect(reaches(network.RouterHost, o.Gateway.Next().String())).To(BeTrue(), "the router to the cell of %s", o.Name)
		}
	},
	Entry("with two NICs on the gateway", false, false),
	Entry("with NAT on both sides", true, true),
)
