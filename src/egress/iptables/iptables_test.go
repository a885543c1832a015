package iptables_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	boshlog "github.com/cloudfoundry/bosh-utils/logger"
	"github.com/cloudfoundry/bosh-utils/system"
	"github.com/cloudfoundry/bosh-utils/system/fakes"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/egress"
	"privnet/egress/iptables"
	"privnet/netnstest"
)

// inside runs every command in a network namespace.
type inside struct {
	system.CmdRunner
	namespace string
	// saves counts how often a table was read.
	saves *int
}

func (r inside) RunComplexCommand(c system.Command) (string, string, int, error) {
	if strings.HasSuffix(c.Name, "-save") {
		*r.saves++
	}
	c.Args = append([]string{"netns", "exec", r.namespace, c.Name}, c.Args...)
	c.Name = "ip"
	return r.CmdRunner.RunComplexCommand(c)
}

func (r inside) RunCommandQuietly(name string, args ...string) (string, string, int, error) {
	return r.RunComplexCommand(system.Command{Name: name, Args: args, Quiet: true})
}

// glance is iptables.Glance in that namespace.
func (r inside) glance(kind string, family egress.Family, chains []string) (state string, dropped uint64, err error) {
	netnstest.In(r.namespace, func() { state, dropped, err = iptables.Glance(kind, family, chains) })
	return state, dropped, err
}

var namespaces atomic.Int32

var policy = egress.Policy{
	Role: egress.RoleGateway,
	Connection: connection.Connection{
		Segment:         []netip.Prefix{netip.MustParsePrefix("10.20.0.0/26")},
		PrivateNetworks: []netip.Prefix{netip.MustParsePrefix("10.150.0.0/16"), netip.MustParsePrefix("172.30.8.0/22")},
		Gateways:        []connection.Gateway{{Address: netip.MustParseAddr("10.20.0.4")}},
		Endpoints:       []connection.Endpoint{{Address: netip.MustParseAddr("198.51.100.10")}},
		PathMTU:         1500,
		Allow:           []connection.Flow{{Protocol: connection.TCP, Ports: []connection.PortRange{{First: 443, Last: 443}, {First: 8000, Last: 8080}}}},
		Inbound:         []connection.Flow{{Protocol: connection.ICMP}, {Protocol: connection.TCP, Ports: []connection.PortRange{{First: 61001, Last: 65535}}}},
	},
}

// suite says the same of both variants of iptables.
func suite(kind string) {
	var (
		run   func(program string, args ...string) string
		table *iptables.Table
		dir   string
		saves int
	)

	BeforeEach(func() {
		if os.Geteuid() != 0 {
			Skip("needs root, for network namespaces")
		}
		multi, err := exec.LookPath("xtables-" + map[string]string{"nf_tables": "nft", "legacy": "legacy"}[kind] + "-multi")
		if err != nil {
			Skip("this machine has no iptables for " + kind)
		}
		namespace := fmt.Sprintf("eg-ipt-%d-%d", os.Getpid(), namespaces.Add(1))
		Expect(exec.Command("ip", "netns", "add", namespace).Run()).To(Succeed())
		DeferCleanup(func() { Expect(exec.Command("ip", "netns", "delete", namespace).Run()).To(Succeed()) })

		dir = GinkgoT().TempDir()
		for _, name := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"} {
			Expect(os.Symlink(multi, filepath.Join(dir, name))).To(Succeed())
		}
		policy.IPTablesBinDir = dir
		run = func(program string, args ...string) string {
			GinkgoHelper()
			command := exec.Command("ip", append([]string{"netns", "exec", namespace, program}, args...)...)
			// Apart, because iptables-save warns of tables of the other variant in the midst of a line.
			command.Stderr = GinkgoWriter
			out, err := command.Output()
			Expect(err).NotTo(HaveOccurred(), string(out))
			return string(out)
		}
		if out, err := exec.Command("ip", "netns", "exec", namespace, filepath.Join(dir, "iptables"), "-t", "mangle", "-S").CombinedOutput(); err != nil {
			Skip("the kernel has no " + kind + " mangle table: " + string(out))
		}
		logger := boshlog.NewLogger(boshlog.LevelNone)
		saves = 0
		runner := inside{system.NewExecCmdRunner(logger), namespace, &saves}
		table = iptables.New(runner, system.NewOsFileSystem(logger), runner.glance)
	})

	ours := func(program string, args ...string) { run(filepath.Join(dir, program), args...) }
	check := func(p egress.Policy) []string {
		GinkgoHelper()
		found, err := table.Check(p)
		Expect(err).NotTo(HaveOccurred())
		return found
	}

	It("applies every role's rules, and reads them back as they were written", func() {
		for _, role := range []egress.Role{egress.RoleGateway, egress.RoleCell, egress.RoleSharedCell, egress.RoleDenied} {
			p := policy
			p.Role, p.Connection.Routing, p.SegmentsPool = role, connection.RoutingHost, p.Connection.Segment
			Expect(check(p)).NotTo(BeEmpty())
			Expect(table.Apply(p)).To(Succeed())
			Expect(check(p)).To(BeEmpty(), string(role))
		}
		Expect(table.Backend(policy)).To(Equal("iptables (" + kind + ")"))
	})

	It("leaves what is right as it is, counters too", func() {
		Expect(table.Apply(policy)).To(Succeed())
		before := run(filepath.Join(dir, "iptables-save"), "-t", "mangle")
		Expect(table.Apply(policy)).To(Succeed())
		Expect(stripped(run(filepath.Join(dir, "iptables-save"), "-t", "mangle"))).To(Equal(stripped(before)))
	})

	It("is not read again while it stays as it was, and what it drops is told all the same", func() {
		p := policy
		p.Role, p.Connection.Routing = egress.RoleCell, connection.RoutingHost
		for i := range 20 {
			p.Connection.PrivateNetworks = append(p.Connection.PrivateNetworks, netip.MustParsePrefix(fmt.Sprintf("10.160.%d.0/25", i)))
		}
		Expect(table.Apply(p)).To(Succeed())
		Expect(check(p)).To(BeEmpty())
		read := saves
		run("ip", "link", "set", "lo", "up")
		run("ip", "route", "add", "10.160.0.0/16", "dev", "lo")
		run("bash", "-c", "! echo >/dev/udp/10.160.7.9/53; ! echo >/dev/udp/10.160.8.9/53")
		Expect(check(p)).To(BeEmpty())
		Expect(saves).To(Equal(read))
		Expect(table.Dropped()).To(BeEquivalentTo(2))

		other := p
		other.Connection.Allow = nil
		Expect(check(other)).NotTo(BeEmpty(), "another policy")
	})

	DescribeTable("notices and repairs", func(damage func(), sentence string) {
		Expect(table.Apply(policy)).To(Succeed())
		Expect(check(policy)).To(BeEmpty())
		damage()
		Expect(check(policy)).To(ContainElement(ContainSubstring(sentence)))
		read := saves
		Expect(table.Apply(policy)).To(Succeed())
		Expect(saves).To(Equal(read), "nothing is read twice")
		Expect(check(policy)).To(BeEmpty())
	},
		Entry("a flush", func() { ours("iptables", "-t", "mangle", "-F") }, "chain privnet-to is not as it was written: 0 rules"),
		Entry("chains deleted", func() { ours("iptables", "-t", "mangle", "-F"); ours("iptables", "-t", "mangle", "-X") }, "chain privnet-to is missing"),
		Entry("a jump deleted", func() { ours("iptables", "-t", "mangle", "-D", "FORWARD", "1") }, "FORWARD does not lead to privnet-forward"),
		Entry("a rule before the jump", func() { ours("iptables", "-t", "mangle", "-I", "FORWARD", "-j", "ACCEPT") }, "FORWARD does not begin with"),
		Entry("a jump under a condition", func() {
			ours("iptables", "-t", "mangle", "-R", "FORWARD", "1", "-s", "1.2.3.4", "-m", "comment", "--comment", "some \"words\"", "-j", "privnet-forward")
		}, "FORWARD does not begin with"),
		Entry("a second jump", func() { ours("iptables", "-t", "mangle", "-A", "INPUT", "-j", "privnet-input") }, "INPUT does not begin with"),
		Entry("a rule of somebody in our chain", func() { ours("iptables", "-t", "mangle", "-I", "privnet-to", "-j", "RETURN") }, "chain privnet-to is not as it was written"),
		Entry("a rule replaced", func() { ours("iptables", "-t", "mangle", "-R", "privnet-to", "1", "-j", "RETURN") }, "chain privnet-to is not as it was written"),
		Entry("a rule deleted", func() { ours("iptables", "-t", "mangle", "-D", "privnet-to", "1") }, "chain privnet-to is not as it was written"),
		Entry("a chain of another version", func() {
			ours("iptables", "-t", "mangle", "-N", "privnet-old")
			ours("iptables", "-t", "mangle", "-A", "OUTPUT", "-j", "privnet-old")
		}, "chain privnet-old is left over"),
		Entry("a flush of IPv6", func() { ours("ip6tables", "-t", "mangle", "-F") }, "IPv6 mangle: FORWARD does not lead to"),
	)

	It("notices and repairs a rule in the midst of many networks", func() {
		p := policy
		for i := range 20 {
			p.Connection.PrivateNetworks = append(p.Connection.PrivateNetworks, netip.MustParsePrefix(fmt.Sprintf("10.160.%d.0/25", i)))
		}
		Expect(table.Apply(p)).To(Succeed())
		Expect(check(p)).To(BeEmpty())
		// The first rule of the first chain that leads to others of its kind.
		fork := regexp.MustCompile(`-A (privnet-a-\S+) (-d \S+) -g (privnet-a-\S+)`).FindStringSubmatch(run(filepath.Join(dir, "iptables-save"), "-t", "mangle"))
		Expect(fork).NotTo(BeNil())
		for _, instead := range []string{fork[2] + " -j RETURN", "-d 10.0.0.0/8 -g " + fork[3], fork[2] + " -p tcp -g " + fork[3], fork[2] + " -g privnet-drop"} {
			ours("iptables", append([]string{"-t", "mangle", "-R", fork[1], "1"}, strings.Fields(instead)...)...)
			Expect(check(p)).To(ContainElement(ContainSubstring("chain "+fork[1]+" is not as it was written")), instead)
			Expect(table.Apply(p)).To(Succeed())
			Expect(check(p)).To(BeEmpty())
		}
	})

	It("leaves the rules of others alone, and removes all of its own", func() {
		ours("iptables", "-t", "mangle", "-A", "FORWARD", "-s", "192.0.2.1/32", "-j", "MARK", "--set-xmark", "0x1/0xffffffff")
		before := run(filepath.Join(dir, "iptables-save"), "-t", "mangle")
		Expect(table.Apply(policy)).To(Succeed())
		Expect(run(filepath.Join(dir, "iptables-save"), "-t", "mangle")).To(ContainSubstring("-A FORWARD -s 192.0.2.1/32 -j MARK"))
		Expect(table.Remove(policy)).To(Succeed())
		Expect(stripped(run(filepath.Join(dir, "iptables-save"), "-t", "mangle"))).To(Equal(stripped(before)))
	})

	It("replaces one policy by another as a whole, or not at all", func() {
		Expect(table.Apply(policy)).To(Succeed())
		before := run(filepath.Join(dir, "iptables-save"), "-t", "mangle")
		// A jump from elsewhere keeps a chain that is not wanted any more from being deleted: the change fails at
		// its end.
		ours("iptables", "-t", "mangle", "-N", "others")
		ours("iptables", "-t", "mangle", "-A", "others", "-j", "privnet-own-to")
		next := policy
		next.Role = egress.RoleCell
		Expect(table.Apply(next)).NotTo(Succeed())
		for _, line := range strings.Split(stripped(before), "\n") {
			Expect(run(filepath.Join(dir, "iptables-save"), "-t", "mangle")).To(ContainSubstring(line))
		}
	})
}

// stripped is a dump without dates and counters.
func stripped(dump string) string {
	var lines []string
	for _, line := range strings.Split(dump, "\n") {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}

var _ = Describe("The rules in iptables-nft", func() { suite("nf_tables") })
var _ = Describe("The rules in iptables-legacy", func() { suite("legacy") })

var _ = Describe("An iptables that cannot do its work", func() {
	It("is an error when it says that a table is incompatible, although it exits with 0", func() {
		runner, files := fakes.NewFakeCmdRunner(), fakes.NewFakeFileSystem()
		runner.AddCmdResult("iptables --version", fakes.FakeCmdResult{Stdout: "iptables v1.8.7 (nf_tables)"})
		runner.AddCmdResult("iptables-save -c -t mangle", fakes.FakeCmdResult{Stdout: "# Table `mangle' is incompatible, use 'nft' tool.\n"})
		_, err := iptables.New(runner, files, nil).Check(policyWithoutDir())
		Expect(err).To(MatchError("reading the mangle table by iptables-save: Table `mangle' is incompatible, use 'nft' tool."))
	})

	It("is an error in its own words when it fails", func() {
		runner, files := fakes.NewFakeCmdRunner(), fakes.NewFakeFileSystem()
		runner.AddCmdResult("iptables --version", fakes.FakeCmdResult{Stdout: "iptables v1.8.7 (legacy)"})
		runner.AddCmdResult("iptables-save -c -t mangle", fakes.FakeCmdResult{Stderr: "Permission denied (you must be root)\n", ExitStatus: 3, Error: fmt.Errorf("exit 3")})
		_, err := iptables.New(runner, files, nil).Check(policyWithoutDir())
		Expect(err).To(MatchError("reading the mangle table by iptables-save: Permission denied (you must be root)"))
	})
})

var _ = Describe("A program that hangs", func() {
	It("is killed with its children, and is an error", func() {
		runner := iptables.Impatient{CmdRunner: system.NewExecCmdRunner(boshlog.NewLogger(boshlog.LevelNone)), Limit: 200 * time.Millisecond}
		began := time.Now()
		_, _, _, err := runner.RunCommandQuietly("sh", "-c", "sleep 61.6161; true")
		Expect(err).To(MatchError("sh took longer than 200ms and was killed"))
		Expect(time.Since(began)).To(BeNumerically("<", 30*time.Second))
		Eventually(func() error { return exec.Command("pgrep", "-f", "sleep 61.616[1]").Run() }).ShouldNot(Succeed())
	})

	It("is left alone in time", func() {
		runner := iptables.Impatient{CmdRunner: system.NewExecCmdRunner(boshlog.NewLogger(boshlog.LevelNone)), Limit: time.Minute}
		stdout, _, status, err := runner.RunCommandQuietly("echo", "words")
		Expect(err).NotTo(HaveOccurred())
		Expect([]any{stdout, status}).To(Equal([]any{"words\n", 0}))
		_, _, status, err = runner.RunCommandQuietly("false")
		Expect(err).To(HaveOccurred())
		Expect(status).To(Equal(1))
	})
})

func policyWithoutDir() egress.Policy {
	p := policy
	p.IPTablesBinDir = ""
	return p
}
