package lab_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// The requests of two orgs with the same private network.
const first, second = "manifests/lab/request.yml", "manifests/lab/second-request.yml"

// tunnels is how long a tunnel may take to open on a busy machine.
const tunnels = time.Minute

// How many promises there are: those to each org, and that several are kept apart.
const one, two = 6, 2*6 + 1

var _ = Describe("the lab", Serial, Ordered, ContinueOnFailure, func() {
	var before map[string]string

	BeforeAll(func() {
		Expect(lab("down").code).To(BeZero())
		before = traces()
	})

	AfterEach(func() { Expect(lab("down").code).To(BeZero()) })

	DescribeTable("keeps every promise, and leaves nothing behind",
		func(count int, args ...string) {
			up := lab(append([]string{"up", "--no-check"}, args...)...)
			Expect(up.code).To(BeZero(), up.stdout+up.stderr)

			promises, code := check()
			Expect(code).To(BeZero())
			Expect(promises).To(HaveLen(count))
			Expect(promises).To(HaveEach(HaveField("OK", true)))

			Expect(lab("down").code).To(BeZero())
			Expect(traces()).To(Equal(before))
		},
		Entry("with IKEv1", one, "--ike", "1"),
		Entry("with IKEv1 behind a NAT", one, "--ike", "1", "--nat"),
		Entry("with IKEv2 behind a NAT", one, "--ike", "2", "--nat"),
		Entry("with IKEv1 and a NAT before the gateway", one, "--ike", "1", "--gateway-nat"),
		Entry("with two orgs that have the same private network, by IKEv1 and IKEv2", two,
			"--request", first, "--request", second),
		Entry("with these two orgs and a NAT before both ends of both", two,
			"--request", first, "--request", second, "--nat", "--gateway-nat"),
	)

	It("keeps every promise with IKEv2, prints what it measured, and does not start what runs", func() {
		kept := func(text string) int { return strings.Count(text, "\nkept ") }
		up := lab("up", "--ike", "2")
		Expect(up.code).To(BeZero(), up.stdout+up.stderr)
		Expect(kept(up.stdout)).To(Equal(one))

		again := lab("up", "--ike", "2")
		Expect(again.code).To(BeZero(), again.stdout+again.stderr)
		Expect(again.stdout).To(HavePrefix("The lab is running already"))
		Expect(kept(again.stdout)).To(Equal(one))

		Expect(lab("down").code).To(BeZero())
		Expect(traces()).To(Equal(before))
	})

	It("says which promise to whom is broken", func() {
		Expect(lab("up", "--no-check", "--request", first, "--request", second).code).To(BeZero())
		Expect(lab("status").stdout).To(ContainSubstring("vpn-gateway-agency-a-0"))
		Expect(lab("logs", "vpn-gateway-agency-b").stdout).To(ContainSubstring("established between"))
		Expect(lab("shell", "private-2-agency-a", "--", "pkill", "-f", "lab serve").code).To(BeZero())
		Expect(lab("shell", "private-1-agency-b", "--", "hostname", "private-1-agency-a").code).To(BeZero())

		promises, code := check()
		Expect(code).To(Equal(1))
		Expect(promises).To(ContainElements(
			outcome("agency-a: a shared app reaches nothing private", true, "0 packets delivered"),
			outcome("agency-a: an isolated app reaches the private service in every private network", false, "does not reach 172.30.8.0/22"),
			outcome("agency-b: an isolated app reaches the private service in every private network", false, "reaches another service at 10.150.0.2"),
			outcome("each org reaches its own private network and never another's", false, "does not reach 172.30.8.0/22"),
		))
	})

	It("is taken down after it was killed half-way", func() {
		up := exec.Command("scripts/lab", "up")
		up.Dir = root
		Expect(up.Start()).To(Succeed())
		Eventually(func() ([]string, error) { return filepath.Glob(directory + "/hosts/*") }).
			WithTimeout(10 * time.Minute).WithPolling(5 * time.Millisecond).ShouldNot(BeEmpty())
		Expect(up.Process.Signal(syscall.SIGKILL)).To(Succeed())
		_ = up.Wait()

		Expect(lab("check").stderr).To(ContainSubstring("no lab is running"))
		Expect(lab("down").code).To(BeZero())
		Expect(traces()).To(Equal(before))
	})
})

var _ = Describe("wrong use of the lab", Serial, func() {
	DescribeTable("ends with one sentence",
		func(code int, want string, command ...string) {
			r := run(command[0], command[1:]...)
			Expect(r.code).To(Equal(code), r.stdout+r.stderr)
			Expect(r.stderr).To(ContainSubstring(want))
			Expect(r.stderr).NotTo(ContainSubstring("Usage:"))
		},
		Entry("without root", 1, "needs root; run: sudo scripts/lab up --nat",
			"setpriv", "--reuid", "65534", "--clear-groups", "scripts/lab", "up", "--nat"),
		Entry("an unknown command", 2, `unknown command "start"`, "scripts/lab", "start"),
		Entry("an unknown option", 2, "unknown flag: --dry-run", "scripts/lab", "down", "--dry-run"),
		Entry("an IKE version that there is not", 2, `--ike is 1 or 2, not "3"`, "scripts/lab", "up", "--ike", "3"),
		Entry("an argument too many", 2, "scripts/lab down --help", "scripts/lab", "down", "now"),
		Entry("no request", 1, "reading the request", "scripts/lab", "up", "--request", "/not/there"),
		Entry("no lab", 1, "no lab is running", "scripts/lab", "check"),
		Entry("no such host", 1, "no lab is running", "scripts/lab", "logs", "gateway"),
	)

	It("names every problem of a request, and starts nothing", func() {
		request := filepath.Join(GinkgoT().TempDir(), "request.yml")
		Expect(os.WriteFile(request, []byte("org: a\nendpoint: {address: 10.1.1.1, device: paloalto}\nprivate_networks: [10.150.0.1/16]\napps: 0\n"), 0o644)).To(Succeed())
		r := lab("up", "--request", request)
		Expect(r.code).To(Equal(1))
		Expect(r.stderr).To(And(
			ContainSubstring(request+":2: endpoint.address"), ContainSubstring(":3: private_networks[0]"), ContainSubstring(":4: apps"),
		))
		Expect(lab("check").stderr).To(ContainSubstring("no lab is running"))
	})

	It("says that userland ESP needs /dev/net/tun", func() {
		if exec.Command("unshare", "--net", "ip", "xfrm", "state", "add", "src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp",
			"spi", "0x100", "mode", "tunnel", "enc", "cbc(aes)", "0x00112233445566778899aabbccddeeff").Run() == nil {
			Skip("this kernel has ESP, so the lab needs no /dev/net/tun")
		}
		r := run("unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /dev/net && exec scripts/lab up")
		Expect(r.code).To(Equal(1))
		Expect(r.stderr).To(ContainSubstring("needs /dev/net/tun"))
	})
})
