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

func example(customerNAT, gatewayNAT bool) network.Map {
	GinkgoHelper()
	services, err := network.Services(private, []connection.Target{{Address: netip.MustParseAddr("10.150.0.10")}})
	Expect(err).NotTo(HaveOccurred())
	m := network.Map{
		Segment: netip.MustParsePrefix("10.20.0.0/26"), SegmentHop: netip.MustParseAddr("10.20.0.1"),
		Gateway: netip.MustParseAddr("10.20.0.4"), GatewayPublic: netip.MustParseAddr("203.0.113.10"), GatewayNAT: gatewayNAT,
		Endpoint: netip.MustParseAddr("198.51.100.10"), CustomerNAT: customerNAT, Services: services,
	}
	gateway := network.VM{Host: "gateway", Addresses: []netip.Addr{m.Gateway, m.GatewayPublic}}
	if gatewayNAT {
		gateway.Addresses = gateway.Addresses[:1]
	}
	m.VMs = []network.VM{
		gateway,
		{Host: "cell", Addresses: []netip.Addr{netip.MustParseAddr("10.20.0.8")}, App: "app", Overlay: netip.MustParseAddr("10.255.1.2")},
		{Host: "shared-cell", Addresses: []netip.Addr{network.VMAddress(0)}, App: "shared-app", Overlay: netip.MustParseAddr("10.255.2.2")},
	}
	return m
}

var _ = Describe("the map", func() {
	It("refuses a private network that has no room for an endpoint and a service", func() {
		_, err := network.Services([]netip.Prefix{netip.MustParsePrefix("10.1.0.1/32")}, nil)
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
		Eventually(func() bool { return reaches("app", "203.0.113.1") && reaches("shared-app", m.Endpoint.String()) }).
			WithTimeout(5 * time.Second).Should(BeTrue())
		for _, from := range []string{"app", "shared-app", "cell", "gateway"} {
			Expect(reaches(from, network.SharedService.String())).To(BeTrue(), "%s to the shared service", from)
			Expect(reaches(from, "203.0.113.1")).To(BeTrue(), "%s to the internet", from)
			Expect(reaches(from, m.Endpoint.String())).To(BeTrue(), "%s to the endpoint", from)
			for _, s := range m.Services {
				Expect(reaches(from, s.Address.String())).To(BeFalse(), "%s to %s, without a tunnel", from, s.Host)
			}
		}
		Expect(reaches(network.Endpoint, m.GatewayPublic.String())).To(BeTrue(), "the endpoint to the gateway")
		for _, s := range m.Services {
			Expect(reaches(s.Host, s.Hop.String())).To(BeTrue(), "%s to the endpoint", s.Host)
		}
		Expect(reaches(network.Endpoint, "10.150.0.10")).To(BeTrue(), "the endpoint to a probe's target")
		Expect(reaches(network.RouterHost, "10.20.0.8")).To(BeTrue(), "the router to the cell")
	},
	Entry("with two NICs on the gateway", false, false),
	Entry("with NAT on both sides", true, true),
)
