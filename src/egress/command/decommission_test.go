package command_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/egress/enforcer"
)

// boots makes a host one that the boot unit is for.
func (t *topology) boots(host string) {
	GinkgoHelper()
	for _, sign := range []string{"run/systemd/system/x", "var/vcap/bosh/agent.json"} {
		path := filepath.Join(t.dir, host, "root", sign)
		Expect(os.MkdirAll(filepath.Dir(path), 0o750)).To(Succeed())
		Expect(os.WriteFile(path, nil, 0o640)).To(Succeed())
	}
}

func (t *topology) decommission(host, confirmed string) {
	GinkgoHelper()
	out, err := t.enforcer(host, "decommission", "--confirm", confirmed).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
}

// rootFiles lists the files of a host's root directory.
func (t *topology) rootFiles(host string) (files []string) {
	GinkgoHelper()
	Expect(filepath.WalkDir(filepath.Join(t.dir, host, "root"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	})).To(Succeed())
	return files
}

// others leaves on a host what is not ours, near to where ours is.
func (t *topology) others(host string) {
	t.in(host, "nft", "add table inet someone; add chain inet someone forward { type filter hook forward priority -150; }; add rule inet someone forward counter")
	t.in(host, "iptables-nft", "-t", "mangle", "-A", "FORWARD", "-d", "192.0.2.7", "-j", "DROP")
	t.in(host, "ip", "route", "add", "192.0.2.128/25", "via", "10.20.0.1", "proto", "113")
	t.in(host, "ip", "xfrm", "policy", "add", "src", "0.0.0.0/0", "dst", "192.0.2.64/26", "dir", "out", "action", "block", "priority", "399999")
}

var _ = Describe("Decommissioning", func() {
	for _, backend := range []string{"iptables", "nftables"} {
		It("leaves the VM as it was found while the job runs, also after a reboot, until the job is deployed again: "+backend, func() {
			t := newTopology()
			for host, policy := range map[string]map[string]any{
				"cell":    config("cell", cellAddress, "", nil),
				"gateway": config("gateway", gatewayAddress, "", nil),
				"other":   {"role": "shared-cell", "addresses": []string{otherAddress}, "segments_pool": []string{"10.20.0.0/24"}},
			} {
				policy["backend"] = backend
				name := map[bool]string{false: "agency-a", true: "shared-cell"}[host == "other"]
				t.boots(host)
				t.others(host)
				before, files := t.snapshot(host)+t.in(host, "nft", "list", "table", "inet", "someone"), t.rootFiles(host)
				asFound := func() string { return t.snapshot(host) + t.in(host, "nft", "list", "table", "inet", "someone") }

				t.apply(host, policy)
				running := t.start(host, policy)
				protected := t.snapshot(host)
				Expect(t.rootFiles(host)).To(HaveLen(len(files) + 4))
				for _, confirmed := range []string{"", "another-org"} {
					out, err := t.enforcer(host, "decommission", "--confirm", confirmed).CombinedOutput()
					Expect(err).To(MatchError("exit status 1"))
					Expect(string(out)).To(ContainSubstring(fmt.Sprintf("confirm %q", name)))
				}
				Expect(t.snapshot(host)).To(Equal(protected))

				t.decommission(host, name)
				Expect(asFound()).To(Equal(before))
				Expect(t.rootFiles(host)).To(Equal(files))
				idle := func() enforcer.Origin {
					if _, err := os.Stat(filepath.Join(t.dir, host, "status.json")); err != nil {
						return ""
					}
					return t.status(host).Configuration
				}
				Eventually(idle).WithTimeout(10 * time.Second).Should(Equal(enforcer.OriginDecommissioned))
				Expect(asFound()).To(Equal(before), "with the process that noticed")
				Expect(t.status(host).Enforced).To(BeFalse())

				Expect(running.Process.Kill()).To(Succeed())
				_ = running.Wait()
				Expect(os.Remove(filepath.Join(t.dir, host, "status.json"))).To(Succeed())
				rebooted := t.enforcer(host, "run")
				Expect(rebooted.Start()).To(Succeed())
				DeferCleanup(func() { _ = rebooted.Process.Kill(); _ = rebooted.Wait() })
				Eventually(idle).WithTimeout(10 * time.Second).Should(Equal(enforcer.OriginDecommissioned))
				Expect(asFound()).To(Equal(before), "after a reboot")

				t.apply(host, policy)
				Expect(t.snapshot(host)).To(Equal(protected), "after a deployment")
				Eventually(idle).WithTimeout(10 * time.Second).Should(Equal(enforcer.OriginConfigured))
			}
		})
	}

	It("that is cut short is undone by the job", func() {
		t := newTopology()
		bin := filepath.Join(t.dir, "bin")
		Expect(os.Mkdir(bin, 0o750)).To(Succeed())
		programs := func(put func(path string)) {
			for _, name := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"} {
				path := filepath.Join(bin, name)
				Expect(os.RemoveAll(path)).To(Succeed())
				put(path)
			}
		}
		work := func(path string) {
			program, err := exec.LookPath(filepath.Base(path))
			Expect(err).NotTo(HaveOccurred())
			Expect(os.Symlink(program, path)).To(Succeed())
		}
		programs(work)
		policy := config("cell", cellAddress, bin, nil)
		policy["backend"] = "iptables"
		t.start("cell", policy)
		protected := t.snapshot("cell")

		programs(func(path string) {
			Expect(os.WriteFile(path, []byte("#!/bin/sh\nexec sleep 60\n"), 0o755)).To(Succeed())
		})
		decommission := t.enforcer("cell", "decommission", "--confirm", "agency-a")
		Expect(decommission.Start()).To(Succeed())
		Eventually(func() string { return t.in("cell", "ip", "route") }).WithTimeout(20 * time.Second).ShouldNot(ContainSubstring("10.150.0.0/16"))
		Expect(decommission.Process.Kill()).To(Succeed())
		_ = decommission.Wait()
		Expect(strings.Contains(t.snapshot("cell"), "privnet")).To(BeTrue(), "the rules go last")
		programs(work)
		Eventually(func() string { return t.snapshot("cell") }).WithTimeout(20 * time.Second).Should(Equal(protected))
	})
})
