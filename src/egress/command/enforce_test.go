package command_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"

	"privnet/egress/enforcer"
)

// config is a policy's JSON; changes are merged into its connection.
func config(role, address, binDir string, changes map[string]any) map[string]any {
	connection := map[string]any{
		"org": "agency-a", "segment": []string{"10.20.0.0/24"}, "private_networks": []string{"10.150.0.0/16"},
		"gateways": []any{map[string]any{"address": gatewayAddress, "public_address": "198.41.0.4"}},
		"routing":  "host",
	}
	if role == "gateway" {
		connection["endpoints"] = []any{map[string]any{"address": endpointAddress, "device": "paloalto"}}
		connection["data_path"] = "userland"
	}
	for k, v := range changes {
		connection[k] = v
	}
	return map[string]any{"role": role, "addresses": []string{address}, "iptables_bin_dir": binDir, "connection": connection}
}

func (t *topology) configure(host string, config any) {
	GinkgoHelper()
	data, err := json.Marshal(config)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.MkdirAll(filepath.Join(t.dir, host), 0o750)).To(Succeed())
	Expect(os.WriteFile(filepath.Join(t.dir, host, "enforcer.json"), data, 0o640)).To(Succeed())
}

func (t *topology) enforcer(host string, args ...string) *exec.Cmd {
	dir := filepath.Join(t.dir, host)
	return t.command(host, filepath.Join(t.dir, programName), append(args, "--config", filepath.Join(dir, "enforcer.json"),
		"--state-dir", filepath.Join(dir, "state"), "--status-file", filepath.Join(dir, "status.json"), "--root", filepath.Join(dir, "root"))...)
}

func (t *topology) apply(host string, config any) {
	GinkgoHelper()
	t.configure(host, config)
	out, err := t.enforcer(host, "apply").CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
}

// start runs the enforcer until the spec ends, and waits until it is ready.
func (t *topology) start(host string, config any) *exec.Cmd {
	GinkgoHelper()
	t.configure(host, config)
	process := t.enforcer(host, "run")
	log := gbytes.NewBuffer()
	process.Stdout, process.Stderr = log, log
	Expect(process.Start()).To(Succeed())
	DeferCleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
		AddReportEntry("log of "+host, string(log.Contents()), ReportEntryVisibilityFailureOrVerbose)
	})
	out, err := t.enforcer(host, "ready", "--timeout", "20s").CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out)+string(log.Contents()))
	return process
}

func (t *topology) status(host string) enforcer.Status {
	GinkgoHelper()
	data, err := os.ReadFile(filepath.Join(t.dir, host, "status.json"))
	Expect(err).NotTo(HaveOccurred())
	var s enforcer.Status
	Expect(json.Unmarshal(data, &s)).To(Succeed())
	return s
}

// snapshot is all that the enforcer may touch on a host.
func (t *topology) snapshot(host string) string {
	GinkgoHelper()
	sysctls := t.in(host, "sh", "-c", "grep -H . /proc/sys/net/ipv4/conf/*/*redirects /proc/sys/net/ipv4/conf/*/rp_filter /proc/sys/net/ipv4/conf/*/disable_* /proc/sys/net/ipv4/ip_forward")
	rules := t.in(host, "sh", "-c", "nft list tables | grep privnet || true")
	for _, line := range strings.Split(t.in(host, "iptables-save")+t.in(host, "ip6tables-save"), "\n") {
		if strings.HasPrefix(line, "-") {
			rules += line + "\n"
		}
	}
	return rules + t.in(host, "ip", "route") + t.in(host, "ip", "xfrm", "policy") + sysctls
}

var _ = Describe("Without the enforcer", func() {
	It("everything leaks, or the specs below prove nothing", func() {
		t := newTopology()
		t.in("gateway", "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
		Expect(t.ask("app", service+":8080")).To(Equal("leaked"))
		Expect(t.ask("other", service+":8080")).To(Equal("private"))
		t.in("cell", "ip", "route", "add", "10.150.0.0/16", "via", gatewayAddress)
		Expect(t.ask("private", cellAddress+":61001")).To(Equal("cell"))
	})
})

var _ = Describe("With the enforcer", func() {
	for _, by := range []struct{ name, variant, backend string }{
		{"iptables-nft", "nft", "iptables"}, {"iptables-legacy", "legacy", "iptables"}, {"nftables", "nft", "nftables"},
	} {
		Describe("by "+by.name, func() {
			variant := by.variant
			var (
				t      *topology
				binDir string
			)

			BeforeEach(func() {
				t = newTopology()
				multi, err := exec.LookPath("xtables-" + variant + "-multi")
				if err != nil {
					Skip("this machine has no iptables-" + variant)
				}
				binDir = filepath.Join(t.dir, "bin")
				Expect(os.Mkdir(binDir, 0o750)).To(Succeed())
				for _, name := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"} {
					Expect(os.Symlink(multi, filepath.Join(binDir, name))).To(Succeed())
				}
				if out, err := t.command("lan", filepath.Join(binDir, "iptables"), "-t", "mangle", "-S").CombinedOutput(); err != nil {
					Skip("the kernel has no mangle table of iptables-" + variant + ": " + string(out))
				}
			})

			with := func(config map[string]any) any { config["backend"] = by.backend; return config }
			cell := func(changes map[string]any) any { return with(config("cell", cellAddress, binDir, changes)) }
			gateway := func(changes map[string]any) any { return with(config("gateway", gatewayAddress, binDir, changes)) }
			iptables := func(host string, args ...string) { t.in(host, filepath.Join(binDir, "iptables"), args...) }
			flush := func(host string) {
				if by.backend == "nftables" {
					t.in(host, "nft", "flush", "ruleset")
					if host == "cell" {
						t.masquerade()
					}
				} else {
					iptables(host, "-t", "mangle", "-F")
				}
			}

			It("apps reach the private network through the gateway, and nobody else does", func() {
				t.apply("cell", cell(nil))
				t.apply("gateway", gateway(nil))
				Expect(t.ask("app", service+":8080")).To(Equal("private"))
				Expect(t.ask("cell", service+":8080")).To(Equal("private"))
				Expect(t.ask("app", publicService+":443")).To(Equal("public"))
				Expect(t.ask("other", service+":8080")).To(Equal("refused"), "another source")
				Expect(t.ask("other", publicService+":443")).To(Equal("refused"), "a gateway is no router")
				Expect(t.ask("private", cellAddress+":61001")).To(Equal("refused"), "a call from the private network")
			})

			It("only allowed ports are reached, and only declared ones can be called", func() {
				changes := map[string]any{
					"allow":   []any{map[string]any{"protocol": "tcp", "ports": "8080"}},
					"inbound": []any{map[string]any{"protocol": "tcp", "ports": "61001"}},
				}
				t.apply("cell", cell(changes))
				t.apply("gateway", gateway(changes))
				Expect(t.ask("app", service+":8080")).To(Equal("private"))
				Expect(t.ask("app", service+":9090")).To(Equal("refused"))
				Expect(t.ask("private", cellAddress+":61001")).To(Equal("cell"))
				Expect(t.ask("private", cellAddress+":61002")).To(Equal("refused"))
			})

			It("a lost route is a refusal, not a leak", func() {
				t.apply("cell", cell(nil))
				t.apply("gateway", gateway(nil))
				t.in("cell", "ip", "route", "delete", "10.150.0.0/16", "via", gatewayAddress)
				Expect(t.ask("app", service+":8080")).To(Equal("refused"))
				Expect(t.ask("cell", service+":8080")).To(Equal("refused"))
				t.in("cell", "ip", "route", "flush", "proto", "112")
				Expect(t.ask("app", service+":8080")).To(Equal("refused"), "with the refusing route gone too")
				t.in("cell", "ip", "route", "add", "10.150.0.0/16", "via", "10.20.0.1")
				Expect(t.ask("app", service+":8080")).To(Equal("refused"), "with another route in its place")
			})

			It("a flush of filter and nat does no harm", func() {
				t.apply("cell", cell(nil))
				t.apply("gateway", gateway(nil))
				for _, table := range []string{"filter", "nat"} {
					iptables("cell", "-t", table, "-F")
					t.in("cell", "iptables", "-t", table, "-F")
					iptables("gateway", "-t", table, "-F")
				}
				Expect(t.ask("app", service+":8080")).To(Equal("refused"), "not masqueraded, it is not from the segment")
				t.masquerade()
				Expect(t.ask("app", service+":8080")).To(Equal("private"))
				Expect(t.ask("other", service+":8080")).To(Equal("refused"))
			})

			It("a flush of our rules and a deleted route are repaired and counted", func() {
				t.start("cell", cell(nil))
				t.apply("gateway", gateway(nil))
				flush("cell")
				t.in("cell", "ip", "route", "flush", "proto", "112")
				Eventually(func() int { return t.status("cell").Repairs }).WithTimeout(5 * time.Second).Should(BeNumerically(">=", 2))
				Expect(t.enforcer("cell", "check").Run()).To(Succeed())
				Expect(t.ask("app", service+":8080")).To(Equal("private"))
			})

			It("all stays when the enforcer is killed or stopped", func() {
				for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
					process := t.start("cell", cell(nil))
					before := t.snapshot("cell")
					// The process is ip's child that became the program.
					Expect(process.Process.Signal(signal)).To(Succeed())
					_ = process.Wait()
					Expect(t.snapshot("cell")).To(Equal(before))
				}
			})

			It("in clear nothing passes a gateway whose kernel encrypts, and whose tunnel is down", func() {
				t.apply("cell", cell(nil))
				t.apply("gateway", gateway(map[string]any{"data_path": "kernel"}))
				Expect(t.ask("app", service+":8080")).To(Equal("refused"))
				Expect(t.ask("private", cellAddress+":61001")).To(Equal("refused"))
				t.in("gateway", "ip", "xfrm", "policy", "flush")
				Expect(t.ask("app", service+":8080")).To(Equal("refused"), "by the rules alone")
				t.apply("gateway", gateway(map[string]any{"data_path": "kernel"}))
				flush("gateway")
				Expect(t.ask("app", service+":8080")).To(Equal("refused"), "by the IPsec blocks alone")
				Expect(t.ask("private", cellAddress+":61001")).To(Equal("refused"), "by the IPsec blocks alone")
			})

			It("the tunnel reaches an endpoint that stands inside its own private network, and nothing else does", func() {
				t.address("internet", "lo", endpointAddress+"/32")
				t.echo("internet", endpointAddress+":4500")
				t.echo("internet", endpointAddress+":53")
				t.echo("gateway", gatewayAddress+":500")
				Expect(t.exchange("gateway", ":1024", endpointAddress+":53")).To(BeTrue(), "without the enforcer")
				t.apply("gateway", gateway(map[string]any{"private_networks": []string{"10.150.0.0/16", "199.9.14.0/24"}}))
				Expect(t.exchange("gateway", ":4500", endpointAddress+":4500")).To(BeTrue())
				Expect(t.exchange("internet", endpointAddress+":31337", gatewayAddress+":500")).To(BeTrue())
				Expect(t.exchange("gateway", ":1024", endpointAddress+":53")).To(BeFalse())
				Expect(t.exchange("internet", publicService+":31337", gatewayAddress+":500")).To(BeFalse())
			})

			It("a tunnel device that is made anew carries again", func() {
				t.apply("cell", cell(nil))
				t.start("gateway", gateway(nil))
				Expect(t.ask("app", service+":8080")).To(Equal("private"))
				t.in("gateway", "ip", "link", "delete", "ipsec0")
				Expect(t.ask("app", service+":8080")).To(Equal("refused"))
				t.tunnelUp()
				Eventually(func() string { return t.ask("app", service+":8080") }).WithTimeout(3 * time.Second).Should(Equal("private"))
			})

			It("after a reboot nothing passes before the process runs, and the rest of the network does", func() {
				t.boots("cell")
				t.boots("gateway")
				t.apply("cell", cell(nil))
				t.apply("gateway", gateway(nil))
				for _, host := range []string{"cell", "gateway"} {
					root := filepath.Join(t.dir, host, "root")
					unit, err := os.ReadFile(filepath.Join(root, "etc/systemd/system/egress-enforcer-boot.service"))
					Expect(err).NotTo(HaveOccurred())
					Expect(string(unit)).To(ContainSubstring("egress-enforcer boot --config"))
					t.decommission(host, "agency-a")
				}
				Expect(t.ask("app", service+":8080")).To(Equal("leaked"), "as after a reboot, without the unit")
				for _, host := range []string{"cell", "gateway"} {
					out, err := t.enforcer(host, "boot").CombinedOutput()
					Expect(err).NotTo(HaveOccurred(), string(out))
				}
				Expect(t.ask("app", service+":8080")).To(Equal("refused"))
				Expect(t.ask("cell", service+":8080")).To(Equal("refused"))
				Expect(t.ask("cell", publicService+":443")).To(Equal("public"), "the VM's own network")
				t.apply("cell", cell(nil))
				t.apply("gateway", gateway(nil))
				Expect(t.ask("app", service+":8080")).To(Equal("private"))
			})

			It("a bad configuration keeps the last good policy, fails and says why", func() {
				t.apply("cell", cell(nil))
				before := t.snapshot("cell")
				t.configure("cell", cell(map[string]any{"private_networks": []string{"10.160.0.0/16", "nonsense"}}))
				out, err := t.enforcer("cell", "apply").CombinedOutput()
				Expect(err).To(MatchError("exit status 1"))
				Expect(string(out)).To(ContainSubstring(`private_networks[1]: \"nonsense\" is not a CIDR`))
				Expect(t.snapshot("cell")).To(Equal(before))
			})

			It("a bad configuration on a fresh VM, or none, denies apps everything and the VM nothing", func() {
				config := filepath.Join(t.dir, "cell", "enforcer.json")
				for _, command := range []string{"apply", "boot"} {
					t.configure("cell", cell(map[string]any{"routing": "magic"}))
					for range 2 {
						Expect(t.ask("app", publicService+":443")).To(Equal("public"), "before")
						out, err := t.enforcer("cell", command).CombinedOutput()
						Expect(err).To(MatchError("exit status 1"), string(out))
						Expect(t.ask("app", service+":8080")).To(Equal("refused"))
						Expect(t.ask("app", publicService+":443")).To(Equal("refused"))
						Expect(t.ask("cell", publicService+":443")).To(Equal("public"))
						t.apply("cell", cell(nil))
						t.decommission("cell", "agency-a")
						// The second time there is none.
						Expect(os.Remove(config)).To(Succeed())
					}
				}
			})

			It("a shared cell keeps its apps out of every segment, and off the gateways", func() {
				for host, address := range map[string]string{"cell": "10.40.0.9/24", "gateway": "10.40.0.4/24", "internet": "10.40.0.1/24"} {
					t.address(host, "eth0", address)
				}
				t.in("cell", "ip", "address", "delete", cellAddress+"/24", "dev", "eth0")
				t.in("cell", "ip", "route", "replace", "default", "via", "10.40.0.1")
				t.in("cell", "ip", "route", "add", "10.20.0.0/24", "via", "10.40.0.4")
				t.in("cell", "ip", "route", "add", "10.150.0.0/16", "via", gatewayAddress, "dev", "eth0", "onlink")
				t.serve("gateway", gatewayAddress+":61001", "entered")
				Expect(t.ask("app", gatewayAddress+":61001")).To(Equal("entered"), "without the guard")
				t.start("cell", with(map[string]any{"role": "shared-cell", "addresses": []string{"10.40.0.9"}, "iptables_bin_dir": binDir, "segments_pool": []string{"10.20.0.0/24"}}))
				Expect(t.ask("app", gatewayAddress+":61001")).To(Equal("refused"))
				Expect(t.ask("cell", gatewayAddress+":61001")).To(Equal("refused"))
				Expect(t.ask("app", service+":8080")).To(Equal("refused"))
				Expect(t.ask("app", publicService+":443")).To(Equal("public"))
				Expect(t.status("cell").Problems).To(ContainElement(ContainSubstring("the route to 10.150.0.0/16 has its next hop in a segment")))
				Expect(t.status("cell").Dropped).To(BeNumerically(">", 0))
			})
		})
	}

	It("rules of ours in another packet filter are found and removed, whatever the way", func() {
		t := newTopology()
		if _, err := exec.LookPath("iptables-legacy-restore"); err != nil {
			Skip("this machine has no iptables-legacy")
		}
		legacy := filepath.Join(t.dir, "legacy")
		Expect(os.Mkdir(legacy, 0o750)).To(Succeed())
		for _, name := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"} {
			multi, err := exec.LookPath("xtables-legacy-multi")
			Expect(err).NotTo(HaveOccurred())
			Expect(os.Symlink(multi, filepath.Join(legacy, name))).To(Succeed())
		}
		by := func(backend, dir string) any {
			c := config("cell", cellAddress, dir, nil)
			c["backend"] = backend
			return c
		}
		t.apply("cell", by("auto", legacy))
		Expect(t.in("cell", "iptables-legacy-save")).To(ContainSubstring("privnet-to"), "auto follows the VM's iptables")
		t.apply("cell", by("iptables", ""))
		Expect(t.in("cell", "iptables-legacy-save")).NotTo(ContainSubstring("privnet-to"))
		Expect(t.in("cell", "iptables-nft-save")).To(ContainSubstring("privnet-to"))
		t.apply("cell", by("auto", ""))
		Expect(t.in("cell", "iptables-nft-save")).NotTo(ContainSubstring("privnet-to"))
		Expect(t.in("cell", "nft", "list", "ruleset")).To(ContainSubstring("table ip privnet"))
		t.apply("cell", by("iptables", legacy))
		Expect(t.in("cell", "nft", "list", "ruleset")).NotTo(ContainSubstring("privnet"))
	})

	It("a second enforcer is refused while one runs", func() {
		t := newTopology()
		t.start("cell", config("cell", cellAddress, "", nil))
		out, err := t.enforcer("cell", "run").CombinedOutput()
		Expect(err).To(MatchError("exit status 1"))
		Expect(string(out)).To(ContainSubstring("another egress-enforcer runs on this VM"))
		out, err = t.enforcer("cell", "status", "--json").CombinedOutput()
		Expect(err).NotTo(HaveOccurred())
		Expect(string(out)).To(ContainSubstring(`"enforced": true`))
	})
})
