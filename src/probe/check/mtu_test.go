package check_test

import (
	"context"
	"net/netip"
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/netnstest"
	"privnet/probe/check"
)

var _ = Describe("The path's MTU", func() {
	// alone runs a spec's body in a network namespace of its own, whose loopback is a path of 1500 bytes.
	alone := func(body func(sh func(string))) {
		netnstest.Alone(func() {
			sh := func(command string) {
				words := strings.Fields(command)
				output, err := exec.Command(words[0], words[1:]...).CombinedOutput()
				Expect(err).NotTo(HaveOccurred(), "%s: %s", command, output)
			}
			sh("ip link set lo mtu 1500")
			body(sh)
		})
	}
	measure := func() (int, error) { return check.PathMTU(context.Background(), source, loopback) }

	It("is the kernel's own, confirmed by one echo request, where nothing is in the way", func() {
		alone(func(func(string)) {
			Expect(check.KernelMTU(source, loopback)).To(Equal(1500))
			Expect(measure()).To(Equal(1500))
		})
	})

	It("is what passes, exactly, where larger packets vanish", func() {
		alone(func(sh func(string)) {
			sh("iptables -w -A INPUT -p icmp -m length --length 1423:65535 -j DROP")
			Expect(measure()).To(Equal(1422))
			Expect(check.KernelMTU(source, loopback)).To(Equal(1500), "the kernel has not been told")
		})
	})

	It("is not known where no echo request is answered, and where there is no route", func() {
		alone(func(sh func(string)) {
			sh("iptables -w -A INPUT -p icmp -j DROP")
			_, err := measure()
			Expect(err).To(MatchError(ContainSubstring("does not answer an echo request of 576 bytes")))
			Expect(check.KernelMTU(source, netip.MustParseAddr("10.150.0.1"))).To(BeZero())
			_, err = check.PathMTU(context.Background(), source, netip.MustParseAddr("10.150.0.1"))
			Expect(err).To(MatchError(ContainSubstring("no route")))
		})
	})
})
