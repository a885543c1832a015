package host_test

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/lab/host"
)

var _ = Describe("a host", func() {
	var dir string

	BeforeEach(func() {
		if os.Geteuid() != 0 {
			Skip("making namespaces needs root")
		}
		dir = GinkgoT().TempDir()
		DeferCleanup(func() {
			Expect(host.EndAll(context.Background(), dir)).To(Succeed())
		})
	})

	start := func(ctx context.Context, name string, mounts ...host.Mount) host.Host {
		GinkgoHelper()
		h, err := host.Start(ctx, dir, name, mounts...)
		Expect(err).NotTo(HaveOccurred())
		return h
	}

	It("sees its own name, processes, network and files only", func(ctx SpecContext) {
		given := GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(given, "file"), []byte("given"), 0o644)).To(Succeed())
		h := start(ctx, "spec-a", host.Mount{Source: given, Target: "/opt/given"})

		Expect(h.Run(ctx, "hostname")).To(Equal("spec-a\n"))
		Expect(h.Run(ctx, "sh", "-c", "ls /sys/class/net")).To(Equal("lo\n"))
		Expect(h.Run(ctx, "sh", "-c", "ls -d /proc/[0-9]* | wc -l")).To(Or(Equal("3\n"), Equal("4\n"), Equal("5\n")))
		Expect(h.Run(ctx, "cat", "/opt/given/file")).To(Equal("given"))
		Expect(h.Run(ctx, "id", "-u", "vcap")).To(Equal("1000\n"))
		_, err := h.Run(ctx, "touch", "/usr/here")
		Expect(err).To(MatchError(ContainSubstring("Read-only")))
		_, err = h.Run(ctx, "touch", "/opt/given/other")
		Expect(err).To(MatchError(ContainSubstring("Read-only")))

		_, err = h.Run(ctx, "touch", "/etc/privnet-spec", "/var/vcap/privnet-spec")
		Expect(err).NotTo(HaveOccurred())
		Expect("/etc/privnet-spec").NotTo(BeAnExistingFile())
		Expect(filepath.Join(host.Disk(dir, "spec-a"), "var/vcap/privnet-spec")).To(BeAnExistingFile())
	})

	It("is dialled from within its own network", func(ctx SpecContext) {
		h := start(ctx, "spec-b")
		Expect(h.Command(ctx, "tcpdump", "--version").Run()).To(Succeed())
		_, err := h.Dial(ctx, "tcp", "192.0.2.99:9")
		Expect(err).To(MatchError(ContainSubstring("network is unreachable")))

		own, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		defer own.Close()
		_, err = h.Dial(ctx, "tcp", own.Addr().String())
		Expect(err).To(MatchError(ContainSubstring("refused")))
	})

	It("reaps orphans", func(ctx SpecContext) {
		h := start(ctx, "spec-c")
		_, err := h.Run(ctx, "sh", "-c", "setsid sh -c 'sleep 0.1' & exit 0")
		Expect(err).NotTo(HaveOccurred())
		Eventually(func() (string, error) { return h.Run(ctx, "sh", "-c", "ps ax | grep -c '[d]efunct' || true") }).
			Should(Equal("0\n"))
	})

	It("is found again without a record, and ends with all that runs in it", func(ctx SpecContext) {
		h := start(ctx, "spec-d")
		Expect(host.Find(dir)).To(ConsistOf(h))
		Expect(host.Find("/elsewhere")).To(BeEmpty())
		_, err := h.Run(ctx, "sh", "-c", "setsid sleep 4711 </dev/null >/dev/null 2>&1 &")
		Expect(err).NotTo(HaveOccurred())

		Expect(host.EndAll(ctx, dir)).To(Succeed())

		Expect(host.Find(dir)).To(BeEmpty())
		Expect(filepath.Join(dir, "hosts")).NotTo(BeADirectory())
		Eventually(func() []string {
			left, _ := filepath.Glob("/proc/[0-9]*/cmdline")
			var found []string
			for _, file := range left {
				if line, _ := os.ReadFile(file); string(line) == "sleep\x004711\x00" {
					found = append(found, file)
				}
			}
			return found
		}).WithTimeout(2 * time.Second).Should(BeEmpty())
		Expect(host.EndAll(ctx, dir)).To(Succeed())
	})

	It("says why it cannot start", func(ctx SpecContext) {
		_, err := host.Start(ctx, dir, "spec-e", host.Mount{Source: "/not/there", Target: "/opt/x"})
		Expect(err).To(MatchError(And(ContainSubstring("starting the host spec-e"), ContainSubstring("/not/there"))))
	})
})
