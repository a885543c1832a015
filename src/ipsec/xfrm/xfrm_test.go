package xfrm_test

import (
	"net"
	"os"
	"runtime"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"privnet/ipsec/xfrm"
)

var _ = It("Flushing SAs leaves the policies, which drop until there is an SA again", func() {
	if os.Getuid() != 0 {
		Skip("needs root: a network namespace")
	}
	// The thread is not unlocked, so that it ends with its namespace.
	runtime.LockOSThread()
	namespace, err := netns.New()
	Expect(err).NotTo(HaveOccurred())
	defer namespace.Close()

	_, network, err := net.ParseCIDR("10.150.0.0/16")
	Expect(err).NotTo(HaveOccurred())
	Expect(netlink.XfrmPolicyAdd(&netlink.XfrmPolicy{Dst: network, Dir: netlink.XFRM_DIR_OUT, Action: netlink.XFRM_POLICY_BLOCK})).To(Succeed())
	Expect(xfrm.FlushSAs()).To(Succeed())
	policies, err := netlink.XfrmPolicyList(netlink.FAMILY_V4)
	Expect(err).NotTo(HaveOccurred())
	Expect(policies).To(HaveLen(1))
})
