package nftables_test

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/egress"
	"privnet/egress/nftables"
	"privnet/netnstest"
)

func policy() egress.Policy {
	return egress.Policy{
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
}

// isolated runs the work in a network namespace of its own, which ends with it.
func isolated(work func(table *nftables.Table)) {
	GinkgoHelper()
	if _, err := exec.LookPath("nft"); err != nil {
		Skip("needs the program nft, to look from outside")
	}
	netnstest.Alone(func() {
		table := &nftables.Table{}
		if !table.Supported() {
			Skip("the kernel has no nf_tables")
		}
		work(table)
	})
}

// nft runs on the thread that is in the namespace: a child of it is, too.
func nft(words string) string {
	GinkgoHelper()
	out, err := exec.Command("nft", strings.Fields(words)...).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), words+": "+string(out))
	return string(out)
}

var _ = Describe("The rules in nf_tables", func() {
	It("are every role's, and are read back as they were written", func() {
		isolated(func(table *nftables.Table) {
			for _, path := range []connection.DataPath{connection.DataPathKernel, connection.DataPathUserland} {
				for _, role := range []egress.Role{egress.RoleGateway, egress.RoleCell, egress.RoleSharedCell, egress.RoleDenied} {
					p := policy()
					p.Role, p.Connection.Routing, p.SegmentsPool, p.Connection.DataPath = role, connection.RoutingHost, p.Connection.Segment, path
					Expect(table.Check(p)).NotTo(BeEmpty())
					Expect(table.Apply(p)).To(Succeed())
					Expect(table.Check(p)).To(BeEmpty(), string(role))
				}
			}
		})
	})

	It("mean what nft says they mean", func() {
		isolated(func(table *nftables.Table) {
			p := policy()
			p.Connection.PrivateNetworks = p.Connection.PrivateNetworks[:1]
			Expect(table.Apply(p)).To(Succeed())
			text := nft("list table ip privnet") + nft("list table ip6 privnet")
			for _, rule := range []string{
				"type filter hook forward priority mangle; policy accept;",
				"type filter hook postrouting priority 150; policy accept;",
				"chain privnet-forward {\n\t\ttype filter hook forward priority mangle; policy accept;\n\t\tcounter packets 0 bytes 0 drop",
				"ip saddr 10.20.0.0/26 ip daddr 10.150.0.0/16 goto privnet-to",
				"ip saddr 198.51.100.10 meta l4proto esp return",
				"rt ipsec missing counter packets 0 bytes 0 drop",
				"meta ipsec missing counter packets 0 bytes 0 drop",
				"tcp option maxseg size set 1366",
				"tcp dport 443 return",
				"tcp dport 8000-8080 return",
				"tcp sport 443 ct state established ct direction reply return",
				"ct original proto-dst 61001-65535 return",
				"meta l4proto icmp ct state related return",
			} {
				Expect(text).To(ContainSubstring(rule))
			}
		})
	})

	It("leave what is right as it is, counters too", func() {
		isolated(func(table *nftables.Table) {
			Expect(table.Apply(policy())).To(Succeed())
			before := nft("-a list table ip privnet")
			Expect(table.Apply(policy())).To(Succeed())
			Expect(nft("-a list table ip privnet")).To(Equal(before))
		})
	})

	It("are counted while they stay as they are", func() {
		isolated(func(table *nftables.Table) {
			p := policy()
			p.Role, p.Connection.Routing = egress.RoleCell, connection.RoutingHost
			for i := range 20 {
				p.Connection.PrivateNetworks = append(p.Connection.PrivateNetworks, netip.MustParsePrefix(fmt.Sprintf("10.160.%d.0/25", i)))
			}
			Expect(table.Apply(p)).To(Succeed())
			Expect(table.Check(p)).To(BeEmpty())
			for _, command := range []string{"ip link set lo up", "ip route add 10.160.0.0/16 dev lo"} {
				Expect(exec.Command("sh", "-c", command).Run()).To(Succeed())
			}
			for i := range 2 {
				Expect(exec.Command("bash", "-c", fmt.Sprintf("echo >/dev/udp/10.160.%d.9/53", i)).Run()).NotTo(Succeed())
				Expect(table.Check(p)).To(BeEmpty())
				Expect(table.Dropped()).To(BeEquivalentTo(i + 1))
			}
			nft("add table ip others")
			Expect(table.Check(p)).To(BeEmpty())
			Expect(table.Dropped()).To(BeEquivalentTo(2))
		})
	})

	DescribeTable("notice and repair", func(damage, sentence string) {
		isolated(func(table *nftables.Table) {
			Expect(table.Apply(policy())).To(Succeed())
			Expect(table.Check(policy())).To(BeEmpty())
			for _, command := range strings.Split(damage, "\n") {
				nft(command)
			}
			Expect(table.Check(policy())).To(ContainElement(ContainSubstring(sentence)))
			Expect(table.Apply(policy())).To(Succeed())
			Expect(table.Check(policy())).To(BeEmpty())
		})
	},
		Entry("a flush of the ruleset", "flush ruleset", "table ip privnet is missing"),
		Entry("our table deleted", "delete table ip6 privnet", "table ip6 privnet is missing"),
		Entry("a flush of our table", "flush table ip privnet", "table ip privnet has chain privnet-to not as it was written: 0 rules"),
		Entry("a flush of a chain", "flush chain ip privnet privnet-forward", "has chain privnet-forward not as it was written: 0 rules"),
		Entry("a table that was put to sleep", "add table ip privnet { flags dormant; }", "table ip privnet is dormant"),
		Entry("a rule above ours", "insert rule ip6 privnet privnet-forward accept", "table ip6 privnet has chain privnet-forward not as it was written: 2 rules, 1 expected"),
		Entry("a chain of somebody", "add chain ip privnet others", "table ip privnet has chain others left over"),
		Entry("a base chain that others made, elsewhere", "flush chain ip privnet privnet-forward\ndelete chain ip privnet privnet-forward\nadd chain ip privnet privnet-forward { type filter hook forward priority 7 ; }",
			"has chain privnet-forward at another hook"),
		Entry("the table of an earlier version", "add table inet privnet\nadd chain inet privnet forward { type filter hook forward priority mangle ; }", "table inet privnet is left over"),
	)

	It("are a tree for thousands of networks, which goes when they go", func() {
		isolated(func(table *nftables.Table) {
			p := policy()
			for i := range 4000 {
				p.Connection.PrivateNetworks = append(p.Connection.PrivateNetworks, netip.MustParsePrefix(fmt.Sprintf("10.%d.%d.0/28", 160+i/250, i%250)))
			}
			Expect(table.Apply(p)).To(Succeed())
			Expect(table.Check(p)).To(BeEmpty())
			Expect(nft("list chains ip")).To(ContainSubstring("chain privnet-a-0.0.0.0/0"))
			Expect(table.Apply(policy())).To(Succeed())
			Expect(table.Check(policy())).To(BeEmpty())
			Expect(nft("list chains ip")).NotTo(ContainSubstring("privnet-a-"))
		})
	})

	It("leave the tables of others alone, and go without a trace", func() {
		isolated(func(table *nftables.Table) {
			nft("add table ip others")
			before := nft("list ruleset")
			Expect(table.Apply(policy())).To(Succeed())
			Expect(table.Remove(policy())).To(Succeed())
			Expect(table.Remove(policy())).To(Succeed())
			Expect(nft("list ruleset")).To(Equal(before))
		})
	})
})
