package kernel_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("The boot unit under a real systemd", func() {
	It("denies before the network is up, whatever became of its configuration, and keeps nothing waiting for long", func() {
		if os.Getenv("QEMU") == "" || os.Geteuid() != 0 {
			Skip("takes minutes, and root; run it with QEMU=1 after: sudo QEMU=1 scripts/install-tools")
		}
		directory := GinkgoT().TempDir()
		build := exec.Command("go", "build", "-mod=readonly", "-o", directory, "./cmd/egress-enforcer")
		build.Dir = filepath.Join(root, "src")
		build.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0")
		out, err := build.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))

		guest := exec.Command("spec/kernel/qemu", directory, filepath.Join(root, "spec/kernel/boots"), filepath.Join(directory, "egress-enforcer"))
		guest.Dir, guest.Env = root, append(os.Environ(), "SYSTEMD=1")
		began := time.Now()
		said, err := guest.CombinedOutput()
		GinkgoWriter.Printf("%s", said)
		AddReportEntry("seven boots", time.Since(began).Round(time.Second).String())
		Expect(err).NotTo(HaveOccurred(), string(said))
		for _, sentence := range []string{
			`boot 2: to the private network [1-9]\d* packets left, to a public one some\nboot 2: there is no unit\nboot 2: an app got 6 of 6 packets out`,
			`boot 3: to the private network 0 packets left, to a public one some\nboot 3: the unit is active`,
			`boot 4: the unit is active(?s:.*)boot 4: 3 IPsec blocks\nboot 4: an app got 0 of 6 packets out`,
			// An invalid configuration, and a missing one. That says so, so that the unit fails.
			`boot 5: the unit is failed(?s:.*)boot 5: an app got 0 of 6 packets out`,
			`boot 6: the unit is failed(?s:.*)boot 6: an app got 0 of 6 packets out`,
			// A program that hangs.
			`boot 7: to the private network \d+ packets left, to a public one some\nboot 7: the unit is failed`,
		} {
			Expect(string(said)).To(MatchRegexp(sentence))
		}
		Expect(string(said)).NotTo(ContainSubstring("AFTER the network's start"))
	})
})
