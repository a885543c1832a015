package boot_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/egress/boot"
)

var _ = Describe("The boot unit", func() {
	var (
		root, program, config string
		unit                  boot.Unit
	)
	write := func(path, text string, mode os.FileMode) string {
		Expect(os.MkdirAll(filepath.Dir(path), 0o755)).To(Succeed())
		Expect(os.WriteFile(path, []byte(text), mode)).To(Succeed())
		return path
	}
	everything := func() []string {
		var out []string
		Expect(filepath.WalkDir(root, func(path string, entry os.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				out = append(out, strings.TrimPrefix(path, root))
			}
			return err
		})).To(Succeed())
		return out
	}
	read := func(name string) string {
		data, err := os.ReadFile(filepath.Join(root, name))
		Expect(err).NotTo(HaveOccurred())
		return string(data)
	}

	BeforeEach(func() {
		root = GinkgoT().TempDir()
		unit = boot.Unit{Root: root}
		source := GinkgoT().TempDir()
		program, config = write(filepath.Join(source, "program"), "#!/bin/sh\n", 0o755), write(filepath.Join(source, "enforcer.json"), "{}", 0o640)
	})

	It("is for BOSH's VMs that boot by systemd, not for containers and not for a lab", func() {
		Expect(unit.Possible()).To(BeFalse())
		Expect(os.MkdirAll(filepath.Join(root, "run/systemd/system"), 0o755)).To(Succeed())
		Expect(unit.Possible()).To(BeFalse())
		write(filepath.Join(root, "var/vcap/bosh/agent.json"), "{}", 0o640)
		Expect(unit.Possible()).To(BeTrue())
	})

	It("lies with all it runs and reads on the root disk", func() {
		Expect(unit.Install(program, config)).To(Succeed())
		Expect(everything()).To(ConsistOf(
			"/etc/systemd/system/egress-enforcer-boot.service",
			"/etc/systemd/system/sysinit.target.wants/egress-enforcer-boot.service",
			"/var/lib/egress-enforcer/egress-enforcer",
			"/var/lib/egress-enforcer/enforcer.json",
		))
		Expect(read("etc/systemd/system/egress-enforcer-boot.service")).NotTo(ContainSubstring("/var/vcap"))
		Expect(os.Readlink(filepath.Join(root, "etc/systemd/system/sysinit.target.wants/egress-enforcer-boot.service"))).
			To(Equal("/etc/systemd/system/egress-enforcer-boot.service"))
	})

	It("comes before the network, ends in time, and is required by nothing", func() {
		Expect(unit.Install(program, config)).To(Succeed())
		text := read("etc/systemd/system/egress-enforcer-boot.service")
		Expect(text).To(ContainSubstring("Before=network-pre.target"))
		Expect(text).To(ContainSubstring("TimeoutStartSec="))
		Expect(text).NotTo(MatchRegexp(`(?m)^(RequiredBy|Requires|BindsTo|OnFailure)`))
	})

	It("is what systemd understands", func() {
		verify, err := exec.LookPath("systemd-analyze")
		if err != nil {
			Skip("this machine has no systemd-analyze")
		}
		Expect(unit.Install(program, config)).To(Succeed())
		path := filepath.Join(root, "etc/systemd/system/egress-enforcer-boot.service")
		text := strings.ReplaceAll(read("etc/systemd/system/egress-enforcer-boot.service"), "/var/lib/egress-enforcer/", root+"/var/lib/egress-enforcer/")
		write(path, text, 0o644)
		out, err := exec.Command(verify, "verify", "--man=no", path).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
	})

	It("is installed anew with a new version, and stays the same with the same one", func() {
		Expect(unit.Install(program, config)).To(Succeed())
		before, err := os.Stat(filepath.Join(root, "var/lib/egress-enforcer/egress-enforcer"))
		Expect(err).NotTo(HaveOccurred())
		write(config, `{"role": "cell"}`, 0o640)
		Expect(unit.Install(program, config)).To(Succeed())
		after, err := os.Stat(filepath.Join(root, "var/lib/egress-enforcer/egress-enforcer"))
		Expect(err).NotTo(HaveOccurred())
		Expect(os.SameFile(before, after)).To(BeTrue(), "the same program is not written again")
		Expect(read("var/lib/egress-enforcer/enforcer.json")).To(Equal(`{"role": "cell"}`))
	})

	It("is not enabled without a program to run", func() {
		Expect(unit.Install(filepath.Join(root, "nowhere"), config)).NotTo(Succeed())
		Expect(everything()).To(BeEmpty())
	})

	It("goes without a trace", func() {
		before := everything()
		Expect(unit.Install(program, config)).To(Succeed())
		Expect(unit.Remove()).To(Succeed())
		Expect(unit.Remove()).To(Succeed())
		Expect(everything()).To(Equal(before))
	})
})
