package faults_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/doctor"
	"privnet/doctor/signature"
	. "privnet/ipsec/charontest"
	"privnet/netnstest"
)

// cellBench is a cell and its gateway on one link, and what is behind the tunnel: a service and a DNS server.
type cellBench struct {
	*bench
	cell, gateway, there string
	// stopDNS ends the customer's DNS server, stopResolver the cell's own.
	stopDNS, stopResolver func() error
}

const cellAddress, resolver = "10.20.0.16", "127.0.0.1:5353"

func newCellBench() cellBench {
	GinkgoHelper()
	if os.Getuid() != 0 {
		Skip("needs root: network namespaces")
	}
	b := cellBench{bench: &bench{dir: GinkgoT().TempDir()}, cell: Namespace("cell"), gateway: Namespace("gate"), there: Namespace("there")}
	b.in(b.cell, "ip link add net0 type veth peer name net0 netns "+b.gateway)
	b.in(b.gateway, "ip link add tunnel type veth peer name tunnel netns "+b.there)
	for _, end := range [][3]string{
		{b.cell, cellAddress + "/26", "net0"}, {b.gateway, GatewaySegment + "/26", "net0"}, {b.gateway, "192.0.2.1/30", "tunnel"}, {b.there, "192.0.2.2/30", "tunnel"},
	} {
		b.in(end[0], "ip address add "+end[1]+" dev "+end[2])
		b.in(end[0], "ip link set "+end[2]+" up")
	}
	b.in(b.gateway, "sysctl -qw net.ipv4.ip_forward=1")
	b.in(b.gateway, "ip route add 10.150.0.0/16 via 192.0.2.2")
	b.in(b.there, "ip address add "+Services[0]+"/32 dev lo")
	b.in(b.there, "ip route add 10.20.0.0/26 via 192.0.2.1")
	b.in(b.cell, "ip route add 10.150.0.0/16 via "+GatewaySegment)
	b.in(b.cell, "ip route add unreachable 10.150.0.0/16 metric 4242")
	netnstest.In(b.there, func() {
		listener, err := net.Listen("tcp", Services[0]+":8443")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(listener.Close)
	})
	b.stopDNS = serveNames(b.there, Services[0]+":53")
	b.stopResolver = serveNames(b.cell, resolver)
	b.configure("host", true)
	b.job("rep/config/rep.json", object{"placement_tags": []string{"private-network-agency-a"}, "optional_placement_tags": []string{}})
	b.job("private-dns/dns/handlers.json", []object{{"domain": "corp.example.", "source": object{"type": "dns", "recursors": []string{Services[0]}}}})
	b.container("app", "-m iprange --dst-range 10.150.0.0-10.150.255.255 -j ACCEPT")
	b.enforcer(true)
	return b
}

// configure writes what the doctor knows, with a probe target or without.
func (b cellBench) configure(routing string, target bool) {
	GinkgoHelper()
	probes := []object{}
	if target {
		probes = append(probes, object{"address": Services[0], "check": "tcp", "port": 8443})
	}
	b.write("doctor.json", object{"role": "cell", "addresses": []string{cellAddress}, "connection": object{
		"org": "agency-a", "segment": []string{"10.20.0.0/26"}, "private_networks": []string{"10.150.0.0/16"},
		"gateways": []object{{"address": GatewaySegment, "public_address": GatewayPublic}},
		"routing":  routing,
		"probes":   probes,
	}})
}

// job writes a file of a job that is on the cell.
func (b cellBench) job(name string, content any) {
	GinkgoHelper()
	Expect(os.MkdirAll(filepath.Dir(b.path("jobs/"+name)), 0o755)).To(Succeed())
	b.write("jobs/"+name, content)
}

// container makes the chain that silk makes for one, with what a security group allows.
func (b cellBench) container(name, allowed string) {
	GinkgoHelper()
	chain := "netout--" + name
	b.in(b.cell, "iptables -w -N "+chain)
	b.in(b.cell, "iptables -w -A "+chain+" -p udp -m iprange --dst-range 0.0.0.0-255.255.255.255 --dport 53 -j ACCEPT")
	if allowed != "" {
		b.in(b.cell, "iptables -w -A "+chain+" "+allowed)
	}
	b.in(b.cell, "iptables -w -A "+chain+" -j REJECT")
}

// serveNames answers each question of DNS with "no such name".
func serveNames(namespace, address string) (stop func() error) {
	GinkgoHelper()
	var socket net.PacketConn
	netnstest.In(namespace, func() {
		var err error
		socket, err = net.ListenPacket("udp4", address)
		Expect(err).NotTo(HaveOccurred())
	})
	DeferCleanup(func() { socket.Close() })
	go func() {
		packet := make([]byte, 512)
		for {
			n, from, err := socket.ReadFrom(packet)
			if err != nil {
				return
			}
			packet[2] |= 0x80
			packet[3] = 3
			_, _ = socket.WriteTo(packet[:n], from)
		}
	}()
	return socket.Close
}

// ask runs the doctor on the cell.
func (b cellBench) ask() (doctor.Report, int) {
	GinkgoHelper()
	cmd := exec.Command("ip", "netns", "exec", b.cell, program("tunnel-doctor"), "--json", "--config", b.path("doctor.json"),
		"--enforcer", b.path("enforcer.json"), "--jobs", b.path("jobs"), "--pids", b.path("pids"), "--resolver", resolver)
	output, _ := cmd.Output()
	GinkgoWriter.Printf("%s\n", output)
	var report doctor.Report
	Expect(json.Unmarshal(output, &report)).To(Succeed())
	return report, cmd.ProcessState.ExitCode()
}

var _ = Describe("On a cell, the doctor", func() {
	It("raises no alarm where apps reach the private network, and has looked at everything", func() {
		report, code := newCellBench().ask()
		Expect(report.Problems).To(BeEmpty())
		Expect(code).To(BeZero())
		states := map[string]doctor.State{}
		for _, check := range report.Checks {
			states[check.Name] = check.State
		}
		for _, name := range []string{"dedication of the cell", "route", "gateway sees the packets", "security groups", "traffic", "service", "private DNS"} {
			Expect(states).To(HaveKeyWithValue(name, doctor.OK))
		}
	})

	It("raises none where the fabric delivers, by a router of its own or none", func() {
		b := newCellBench()
		b.configure("iaas", true)
		_, code := b.ask()
		Expect(code).To(BeZero())
	})

	It("says that it cannot tell where no target is declared: a cell does not see the tunnel", func() {
		b := newCellBench()
		b.configure("host", false)
		report, code := b.ask()
		Expect(report.Problems).To(BeEmpty())
		Expect(report.Verdict).To(Equal(doctor.Unclear))
		Expect(code).To(Equal(3))
	})

	It("warns of a container that is older than its security group", func() {
		b := newCellBench()
		b.container("old", "")
		report, code := b.ask()
		Expect(report.Problems).To(HaveLen(1))
		Expect(report.Problems[0].What).To(ContainSubstring("1 of 2 containers have no security group that lets them out to 10.150.0.0/16: old"))
		Expect(report.Problems[0].Change).To(ContainSubstring("restart the apps"))
		Expect(report.Problems[0].Warning).To(BeTrue())
		Expect(code).To(BeZero())
	})

	It("looks once as an errand, ends as it found things, and leaves its archive for --download-logs", func() {
		b := newCellBench()
		run, err := filepath.Abs("../../jobs/tunnel-doctor/templates/run.erb")
		Expect(err).NotTo(HaveOccurred())
		Expect(os.Mkdir(b.path("logs"), 0o755)).To(Succeed())
		// A /var of its own, with what the errand finds on a VM that has no enforcer.
		errand := exec.Command("ip", "netns", "exec", b.cell, "unshare", "--mount", "bash", "-euc", `
			mount -t tmpfs tmpfs /var
			vcap=/var/vcap
			mkdir -p $vcap/{packages/privnet/bin,jobs/tunnel-doctor/config,sys/log/tunnel-doctor}
			mount --bind "$1/logs" $vcap/sys/log/tunnel-doctor
			ln -s "$2" $vcap/packages/privnet/bin/
			cp "$1/doctor.json" $vcap/jobs/tunnel-doctor/config/
			exec bash "$3"`, "errand", b.dir, program("tunnel-doctor"), run)
		output, err := errand.CombinedOutput()
		Expect(err).To(HaveOccurred())
		Expect(errand.ProcessState.ExitCode()).To(Equal(1), "%s", output)
		Expect(string(output)).To(And(ContainSubstring("BROKEN: egress rules (platform side)"), ContainSubstring("sys/log/tunnel-doctor/bundle.tgz")))
		Expect(b.path("logs/bundle.tgz")).To(BeARegularFile())
	})

	DescribeTable("names exactly", Label(catalogue+" cell"), func(breakIt func(b cellBench), parameter signature.Parameter, side signature.Side) {
		b := newCellBench()
		breakIt(b)
		report, code := b.ask()
		Expect(report.Problems).To(HaveLen(1))
		Expect(report.Problems[0].Parameter).To(Equal(parameter))
		Expect(report.Problems[0].Side).To(Equal(side))
		Expect(report.Problems[0].Change).NotTo(BeEmpty())
		Expect(code).To(Equal(1))
	},
		Entry("a route that is gone", func(b cellBench) { b.in(b.cell, "ip route del 10.150.0.0/16 via "+GatewaySegment) }, doctor.RouteToTunnel, signature.Platform),
		Entry("a route to elsewhere", func(b cellBench) { b.in(b.cell, "ip route replace 10.150.0.0/16 via 10.20.0.1 dev net0") }, doctor.RouteToTunnel, signature.Platform),
		Entry("a gateway that is not on the link", func(b cellBench) { b.in(b.gateway, "ip address del "+GatewaySegment+"/26 dev net0") }, doctor.RouteToTunnel, signature.Platform),
		Entry("a fabric that delivers to elsewhere", func(b cellBench) {
			b.configure("iaas", true)
			b.in(b.gateway, "ip address del "+GatewaySegment+"/26 dev net0")
			b.in(b.gateway, "ip address add 10.20.0.9/26 dev net0")
			b.in(b.there, "ip route del 10.20.0.0/26")
			b.in(b.cell, "ip route replace 10.150.0.0/16 via 10.20.0.9 dev net0")
		}, doctor.RouteToTunnel, signature.Platform),
		Entry("a fabric that does not let the cell's packets through", func(b cellBench) {
			b.in(b.gateway, "iptables -w -t mangle -A PREROUTING -s "+cellAddress+" -j DROP")
		}, doctor.WayOut, signature.Platform),
		Entry("a gateway that has the packets, and no tunnel for them", func(b cellBench) {
			b.in(b.gateway, "iptables -w -A FORWARD -j DROP")
		}, doctor.Beyond, signature.Platform),
		Entry("a cell that takes everybody's apps", func(b cellBench) { b.job("rep/config/rep.json", object{"placement_tags": []string{}}) }, doctor.Dedication, signature.Platform),
		Entry("a cell of another org", func(b cellBench) {
			b.job("rep/config/rep.json", object{"placement_tags": []string{"private-network-agency-b"}})
		}, doctor.Dedication, signature.Platform),
		Entry("a security group that is missing", func(b cellBench) { b.in(b.cell, "iptables -w -D netout--app 2") }, doctor.SecurityGroup, signature.Platform),
		Entry("a DNS server that does not answer", func(b cellBench) { _ = b.stopDNS() }, doctor.PrivateDNS, signature.Customer),
		Entry("a resolver that does not pass questions on", func(b cellBench) { _ = b.stopResolver() }, doctor.ResolverHere, signature.Platform),
		Entry("rules that are gone", func(b cellBench) { b.enforcer(false) }, doctor.Rules, signature.Platform),
	)
})
