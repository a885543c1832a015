package faults_test

import (
	"encoding/json"
	"net"
	"os"
	"os/exec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/doctor"
	"privnet/doctor/signature"
	. "privnet/ipsec/charontest"
)

// cellBench is a cell and its gateway on one link; the gateway owns the service's address.
type cellBench struct {
	*bench
	cell, gateway string
}

func newCellBench() cellBench {
	GinkgoHelper()
	if os.Getuid() != 0 {
		Skip("needs root: network namespaces")
	}
	b := cellBench{&bench{dir: GinkgoT().TempDir()}, Namespace("cell"), Namespace("gate")}
	b.in(b.cell, "ip link add net0 type veth peer name net0 netns "+b.gateway)
	for _, end := range [][2]string{{b.cell, "10.20.0.16/26"}, {b.gateway, GatewaySegment + "/26"}} {
		b.in(end[0], "ip address add "+end[1]+" dev net0")
		b.in(end[0], "ip link set net0 up")
	}
	b.in(b.gateway, "ip address add "+Services[0]+"/32 dev lo")
	b.in(b.cell, "ip route add 10.150.0.0/16 via "+GatewaySegment)
	b.in(b.cell, "ip route add unreachable 10.150.0.0/16 metric 4242")
	inside(b.gateway, func() {
		listener, err := net.Listen("tcp", Services[0]+":8443")
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(listener.Close)
	})
	b.write("doctor.json", object{"role": "cell", "addresses": []string{"10.20.0.16"}, "connection": object{
		"org": "agency-a", "segment": []string{"10.20.0.0/26"}, "private_networks": []string{"10.150.0.0/16"},
		"gateways": []object{{"address": GatewaySegment, "public_address": GatewayPublic}},
		"routing":  "host",
		"probes":   []object{{"address": Services[0], "check": "tcp", "port": 8443}},
	}})
	b.enforcer(true)
	return b
}

// ask runs the doctor on the cell.
func (b cellBench) ask() (doctor.Report, int) {
	GinkgoHelper()
	cmd := exec.Command("ip", "netns", "exec", b.cell, program("tunnel-doctor"), "--json", "--config", b.path("doctor.json"),
		"--enforcer", b.path("enforcer.json"), "--jobs", b.path("jobs"), "--pids", b.path("pids"))
	output, _ := cmd.Output()
	GinkgoWriter.Printf("%s\n", output)
	var report doctor.Report
	Expect(json.Unmarshal(output, &report)).To(Succeed())
	return report, cmd.ProcessState.ExitCode()
}

var _ = Describe("On a cell, the doctor", func() {
	It("raises no alarm where apps reach the private network", func() {
		report, code := newCellBench().ask()
		Expect(report.Problems).To(BeEmpty())
		Expect(code).To(BeZero())
	})

	DescribeTable("names exactly", Label(catalogue+" cell"), func(breakIt func(b cellBench), parameter signature.Parameter) {
		b := newCellBench()
		breakIt(b)
		report, code := b.ask()
		Expect(report.Problems).To(HaveLen(1))
		Expect(report.Problems[0].Parameter).To(Equal(parameter))
		Expect(report.Problems[0].Side).To(Equal(signature.Platform))
		Expect(code).To(Equal(1))
	},
		Entry("a route that is gone", func(b cellBench) { b.in(b.cell, "ip route del 10.150.0.0/16 via "+GatewaySegment) }, doctor.RouteToTunnel),
		Entry("a route to elsewhere", func(b cellBench) { b.in(b.cell, "ip route replace 10.150.0.0/16 via 10.20.0.1 dev net0") }, doctor.RouteToTunnel),
		Entry("a gateway that is not on the link", func(b cellBench) { b.in(b.gateway, "ip address del "+GatewaySegment+"/26 dev net0") }, doctor.RouteToTunnel),
		Entry("a fabric that does not let the cell's packets through", func(b cellBench) {
			b.in(b.gateway, "iptables -w -A INPUT -s 10.20.0.16 -j DROP")
		}, doctor.SecurityGroup),
		Entry("rules that are gone", func(b cellBench) { b.enforcer(false) }, doctor.Rules),
	)
})
