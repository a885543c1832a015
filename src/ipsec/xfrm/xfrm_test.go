package xfrm_test

import (
	"net"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"

	"privnet/ipsec/xfrm"
	"privnet/netnstest"
)

var _ = It("Flushing SAs leaves the policies, which drop until there is an SA again", func() {
	netnstest.Alone(func() {
		_, network, err := net.ParseCIDR("10.150.0.0/16")
		Expect(err).NotTo(HaveOccurred())
		Expect(netlink.XfrmPolicyAdd(&netlink.XfrmPolicy{Dst: network, Dir: netlink.XFRM_DIR_OUT, Action: netlink.XFRM_POLICY_BLOCK})).To(Succeed())
		// A kernel without ESP has nothing more of an SA than its SPI.
		_, err = netlink.XfrmStateAllocSpi(&netlink.XfrmState{
			Src: net.IPv4(203, 0, 113, 10), Dst: net.IPv4(198, 51, 100, 10), Proto: netlink.XFRM_PROTO_ESP, Mode: netlink.XFRM_MODE_TUNNEL})
		Expect(err).NotTo(HaveOccurred())
		Expect(netlink.XfrmStateList(netlink.FAMILY_V4)).To(HaveLen(1))

		Expect(xfrm.FlushSAs()).To(Succeed())
		Expect(netlink.XfrmStateList(netlink.FAMILY_V4)).To(BeEmpty())
		policies, err := netlink.XfrmPolicyList(netlink.FAMILY_V4)
		Expect(err).NotTo(HaveOccurred())
		Expect(policies).To(HaveLen(1))
	})
})
