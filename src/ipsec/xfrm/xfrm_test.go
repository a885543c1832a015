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
		Expect(xfrm.FlushSAs()).To(Succeed())
		policies, err := netlink.XfrmPolicyList(netlink.FAMILY_V4)
		Expect(err).NotTo(HaveOccurred())
		Expect(policies).To(HaveLen(1))
	})
})
