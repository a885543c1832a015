package sense

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/doctor"
)

// silkRules are as iptables-save prints what silk writes: the rules of one container, a security group that
// is bound while it runs, and the default groups.
const silkRules = `*filter
:FORWARD ACCEPT [0:0]
:netout--bare - [0:0]
:netout--bound - [0:0]
:netout--dynamic - [0:0]
:netout--logged - [0:0]
:netout--logged--log - [0:0]
:asg-0123456 - [0:0]
-A FORWARD -s 10.255.1.2/32 -o eth0 -j netout--bare
-A netout--bare -m state --state RELATED,ESTABLISHED -j ACCEPT
-A netout--bare -p udp -m iprange --dst-range 0.0.0.0-255.255.255.255 -m udp --dport 53 -j ACCEPT
-A netout--bare -m iprange --dst-range 11.0.0.0-169.253.255.255 -j ACCEPT
-A netout--bare -j REJECT --reject-with icmp-port-unreachable
-A netout--bound -m iprange --dst-range 10.150.0.0-10.150.255.255 -j ACCEPT
-A netout--bound -j REJECT --reject-with icmp-port-unreachable
-A netout--dynamic -j asg-0123456
-A netout--dynamic -j REJECT --reject-with icmp-port-unreachable
-A asg-0123456 -p tcp -m iprange --dst-range 10.150.4.0-10.150.4.255 -m tcp --dport 443:443 -j ACCEPT
-A netout--logged -m iprange --dst-range 10.150.0.0-10.150.255.255 -g netout--logged--log
-A netout--logged -j REJECT --reject-with icmp-port-unreachable
-A netout--logged--log ! -p udp -m conntrack --ctstate INVALID,NEW,UNTRACKED -j LOG --log-prefix "OK_logged "
-A netout--logged--log -j ACCEPT
COMMIT
`

var _ = Describe("Asking for the private domains", func() {
	problem := func(handlers string) string {
		GinkgoHelper()
		s := Senses{Jobs: GinkgoT().TempDir()}
		Expect(os.MkdirAll(filepath.Join(s.Jobs, "private-dns/dns"), 0o755)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(s.Jobs, "private-dns/dns/handlers.json"), []byte(handlers), 0o600)).To(Succeed())
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // nobody is asked
		_, problem := s.names(ctx, netip.Addr{})
		return problem
	}

	It("says why it cannot, and blames nobody for it", func() {
		Expect(problem("nonsense")).To(ContainSubstring("reading the private domains"))
		Expect(problem(`[{"domain": "corp.example.", "source": {"recursors": ["ns.corp.example"]}}]`)).To(
			Equal(`corp.example of private-dns: the server "ns.corp.example" is no IP address`))
		Expect(problem(`[{"domain": "corp.example.", "source": {"recursors": ["127.0.0.1"]}}]`)).To(BeEmpty())
	})

	It("asks for none where there is none", func() {
		names, problem := Senses{Jobs: "/nowhere"}.names(context.Background(), netip.Addr{})
		Expect(names).To(BeEmpty())
		Expect(problem).To(BeEmpty())
	})
})

var _ = Describe("Reading the rules of the containers", func() {
	within := func(from, to string) doctor.Range {
		return doctor.Range{From: netip.MustParseAddr(from), To: netip.MustParseAddr(to)}
	}

	It("finds where each may go by its security groups, beside DNS and answers", func() {
		Expect(readApps(silkRules)).To(Equal([]doctor.App{
			{Container: "bare", Open: []doctor.Range{within("11.0.0.0", "169.253.255.255")}},
			{Container: "bound", Open: []doctor.Range{within("10.150.0.0", "10.150.255.255")}},
			{Container: "dynamic", Open: []doctor.Range{within("10.150.4.0", "10.150.4.255")}},
			{Container: "logged", Open: []doctor.Range{within("10.150.0.0", "10.150.255.255")}},
		}))
	})

	It("finds none where there is none, or nonsense", func() {
		Expect(readApps("*filter\nCOMMIT\n-A\n:\n-A netout--x\n:netout--\n-A netout-- -j\n")).To(HaveLen(1))
	})
})
