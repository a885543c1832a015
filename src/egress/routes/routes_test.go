package routes_test

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"

	boshlog "github.com/cloudfoundry/bosh-utils/logger"
	"github.com/cloudfoundry/bosh-utils/system"
	"github.com/google/nftables"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"privnet/connection"
	"privnet/egress"
	"privnet/egress/routes"
	"privnet/netnstest"
)

var (
	first   = netip.MustParsePrefix("10.150.0.0/16")
	second  = netip.MustParsePrefix("172.30.8.0/22")
	gateway = netip.MustParseAddr("10.20.0.4")
)

func policy(role egress.Role, networks ...netip.Prefix) egress.Policy {
	return egress.Policy{Role: role, Connection: connection.Connection{
		PrivateNetworks: networks, Routing: connection.RoutingHost, Gateways: []connection.Gateway{{Address: gateway}},
	}}
}

// onSegment gives the namespace an interface on the gateway's network.
func onSegment() netlink.Link {
	GinkgoHelper()
	device := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "eth0"}}
	Expect(netlink.LinkAdd(device)).To(Succeed())
	Expect(netlink.AddrAdd(device, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 20, 0, 10).To4(), Mask: net.CIDRMask(24, 32)}})).To(Succeed())
	Expect(netlink.LinkSetUp(device)).To(Succeed())
	return device
}

var _ = Describe("Routes", func() {
	table := routes.Table{}

	It("come and go with the policy, and nobody else's are touched", func() {
		netnstest.Alone(func() {
			device := onSegment()
			foreign := &netlink.Route{Dst: &net.IPNet{IP: net.IPv4(10, 151, 0, 0).To4(), Mask: net.CIDRMask(16, 32)}, LinkIndex: device.Attrs().Index}
			Expect(netlink.RouteAdd(foreign)).To(Succeed())

			Expect(table.Check(policy(egress.RoleCell, first, second))).To(HaveLen(4))
			Expect(table.Apply(policy(egress.RoleCell, first, second))).To(Succeed())
			Expect(table.Check(policy(egress.RoleCell, first, second))).To(BeEmpty())

			Expect(table.Check(policy(egress.RoleCell, first))).To(ConsistOf(
				HavePrefix("route not wanted: 172.30.8.0/22 via 10.20.0.4"), HavePrefix("route not wanted: 172.30.8.0/22 refused")))
			Expect(table.Apply(policy(egress.RoleCell, first))).To(Succeed())
			Expect(table.Check(policy(egress.RoleCell, first))).To(BeEmpty())

			Expect(table.Remove(policy(egress.RoleCell, first))).To(Succeed())
			left, err := netlink.RouteList(nil, netlink.FAMILY_V4)
			Expect(err).NotTo(HaveOccurred())
			Expect(left).To(HaveLen(2))
		})
	})

	It("refuse at least, where the gateway is on no network of the VM", func() {
		netnstest.Alone(func() {
			err := table.Apply(policy(egress.RoleCell, first))
			Expect(err).To(MatchError(ContainSubstring("finding the gateway 10.20.0.4")))
			Expect(table.Check(policy(egress.RoleCell, first))).To(ConsistOf(HavePrefix("route missing: 10.150.0.0/16 via")))
		})
	})

	It("into a segment are found", func() {
		netnstest.Alone(func() {
			device := onSegment()
			Expect(netlink.RouteAdd(&netlink.Route{Dst: &net.IPNet{IP: net.IPv4(10, 150, 0, 0).To4(), Mask: net.CIDRMask(16, 32)}, Gw: gateway.AsSlice(), LinkIndex: device.Attrs().Index})).To(Succeed())
			Expect(routes.Through([]netip.Prefix{netip.MustParsePrefix("10.20.0.0/24")})).To(ConsistOf(first))
			Expect(routes.Through([]netip.Prefix{netip.MustParsePrefix("10.30.0.0/24")})).To(BeEmpty())
		})
	})
})

var _ = Describe("IPsec blocks", func() {
	It("come and go with the policy, and charon's policies are not touched", func() {
		netnstest.Alone(func() {
			blocks := routes.Blocks{}
			charons := &netlink.XfrmPolicy{
				Src: &net.IPNet{IP: net.IPv4(10, 20, 0, 0).To4(), Mask: net.CIDRMask(24, 32)}, Dst: &net.IPNet{IP: net.IPv4(10, 150, 0, 0).To4(), Mask: net.CIDRMask(16, 32)},
				Dir: netlink.XFRM_DIR_OUT, Priority: 375423,
			}
			Expect(netlink.XfrmPolicyAdd(charons)).To(Succeed())
			p := policy(egress.RoleGateway, first, second)
			p.Connection.Endpoints = []connection.Endpoint{{Address: netip.MustParseAddr("172.30.8.1")}}
			Expect(blocks.Apply(p)).To(Succeed())
			Expect(blocks.Check(p)).To(BeEmpty())
			Expect(blocks.Check(policy(egress.RoleGateway, first))).To(HaveLen(3 + 4))
			Expect(blocks.Apply(policy(egress.RoleGateway, first))).To(Succeed())
			Expect(blocks.Check(policy(egress.RoleGateway, first))).To(BeEmpty())
			Expect(blocks.Remove(egress.Policy{})).To(Succeed())
			left, err := netlink.XfrmPolicyList(netlink.FAMILY_V4)
			Expect(err).NotTo(HaveOccurred())
			Expect(left).To(HaveLen(1))
		})
	})
})

var _ = Describe("Settings", func() {
	It("are set on what is there, and set back to what was found first", func() {
		root, memory := GinkgoT().TempDir(), filepath.Join(GinkgoT().TempDir(), "memory.json")
		write := func(device, value string) {
			Expect(os.MkdirAll(filepath.Join(root, "conf", device), 0o750)).To(Succeed())
			Expect(os.WriteFile(filepath.Join(root, "conf", device, "redirects"), []byte(value+"\n"), 0o640)).To(Succeed())
		}
		value := func(device string) string {
			data, err := os.ReadFile(filepath.Join(root, "conf", device, "redirects"))
			Expect(err).NotTo(HaveOccurred())
			return string(data[0])
		}
		write("all", "1")
		write("eth0", "0")
		subject := routes.NewSettings("settings", system.NewOsFileSystem(boshlog.NewLogger(boshlog.LevelNone)), root, memory,
			func(egress.Policy) []egress.Setting {
				return []egress.Setting{{Path: "conf/*/redirects", Value: "0"}, {Path: "conf/absent/redirects", Value: "0"}}
			})
		Expect(subject.Check(egress.Policy{})).To(ConsistOf("conf/all/redirects is 1, not 0"))
		Expect(subject.Apply(egress.Policy{})).To(Succeed())
		write("eth1", "1")
		write("all", "2")
		Expect(subject.Apply(egress.Policy{})).To(Succeed())
		Expect(subject.Check(egress.Policy{})).To(BeEmpty())
		Expect(os.RemoveAll(filepath.Join(root, "conf", "eth1"))).To(Succeed())
		Expect(subject.Remove(egress.Policy{})).To(Succeed())
		Expect([]string{value("all"), value("eth0")}).To(Equal([]string{"1", "0"}))
		Expect(memory).NotTo(BeAnExistingFile())
	})
})

var _ = Describe("Watching", func() {
	DescribeTable("tells of", func(change func()) {
		netnstest.Alone(func() {
			onSegment()
			done := make(chan struct{})
			defer close(done)
			changes, err := routes.Watch(done)
			Expect(err).NotTo(HaveOccurred())
			Consistently(changes, "50ms").ShouldNot(Receive())
			change()
			Eventually(changes).Should(Receive())
		})
	},
		Entry("a new link", func() {
			Expect(netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "bridge9"}})).To(Succeed())
		}),
		Entry("an address", func() {
			device, err := netlink.LinkByName("eth0")
			Expect(err).NotTo(HaveOccurred())
			Expect(netlink.AddrAdd(device, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(10, 20, 0, 11).To4(), Mask: net.CIDRMask(24, 32)}})).To(Succeed())
		}),
		Entry("a route", func() {
			Expect(netlink.RouteAdd(&netlink.Route{Dst: &net.IPNet{IP: net.IPv4(10, 150, 0, 0).To4(), Mask: net.CIDRMask(16, 32)}, Gw: gateway.AsSlice()})).To(Succeed())
		}),
		Entry("an IPsec policy", func() {
			Expect(netlink.XfrmPolicyAdd(&netlink.XfrmPolicy{Dst: &net.IPNet{IP: net.IPv4(10, 150, 0, 0).To4(), Mask: net.CIDRMask(16, 32)}, Dir: netlink.XFRM_DIR_OUT, Action: netlink.XFRM_POLICY_BLOCK})).To(Succeed())
		}),
		Entry("a rule of nf_tables", func() {
			connection, err := nftables.New()
			Expect(err).NotTo(HaveOccurred())
			connection.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "others"})
			if err := connection.Flush(); err != nil {
				Skip("the kernel has no nf_tables: " + err.Error())
			}
		}),
	)
})
