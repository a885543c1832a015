package gateway_test

import (
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	. "privnet/ipsec/charontest"
)

// signalCharon sends a signal to the charon in a namespace, the release's or Debian's.
func signalCharon(network Network, namespace, signal string) {
	GinkgoHelper()
	network.Exec(namespace, "bash", "-c", `for pid in $(ip netns pids `+namespace+`); do
  [[ "$(cat /proc/$pid/comm)" == charon* ]] && kill -`+signal+` $pid; done; true`)
}

// eager is a customer that tries again by itself, as devices do: it notices a dead gateway in seconds, and a
// tunnel that was closed at once.
func eager(network Network, version int) Customer {
	GinkgoHelper()
	configuration := customer(version, NAT{}, compatibleIKE, compatibleESP)
	configuration = strings.Replace(configuration, "  local_addrs", "  dpd_delay = 1s\n  dpd_timeout = 3s\n  keyingtries = 0\n  local_addrs", 1)
	return StartCustomer(network, strings.ReplaceAll(configuration, "remote_ts =", "dpd_action = start\n close_action = start\n remote_ts ="))
}

var _ = Describe("After charon", func() {
	for _, version := range []int{1, 2} {
		ike := []string{"", "1", "2"}[version]
		start := func() (Network, VM, *gexec.Session, Customer) {
			GinkgoHelper()
			network := NewNetwork(NAT{})
			gateway := NewVM(network, Settings{"ike": ike, "policy": "compatible"})
			gateway.HungAfter = "3s"
			session := gateway.Run()
			peer := eager(network, version)
			peer.Swanctl("--initiate", "--child", "pair-0")
			Expect(network.Reaches(Services[0])).To(BeTrue())
			return network, gateway, session, peer
		}
		// back says how long it takes until there is traffic again.
		back := func(network Network, what string) {
			GinkgoHelper()
			since := time.Now()
			Eventually(func() bool { return network.Reaches(Services[0]) }, "40s", "50ms").Should(BeTrue())
			AddReportEntry("IKEv"+ike+": from "+what+" to traffic", time.Since(since).Round(10*time.Millisecond).String())
		}

		It("was killed, the gateway ends, and the tunnel is back when it was started again: IKEv"+ike, func() {
			network, gateway, session, _ := start()
			signalCharon(network, network.Gateway, "KILL")
			Eventually(session, "5s").Should(gexec.Exit(1))
			Expect(session.Err).To(gbytes.Say("charon ended by itself: signal: killed"))
			Expect(statusOf(gateway)).To(And(HaveField("Healthy", false), HaveField("Problem", "charon ended by itself: signal: killed")))
			gateway.Run()
			Expect(statusOf(gateway)).To(HaveField("Healthy", true))
			back(network, "start after kill")
		})

		It("hung, the gateway ends it and itself, and the tunnel is back when it was started again: IKEv"+ike, func() {
			network, gateway, session, _ := start()
			signalCharon(network, network.Gateway, "STOP")
			Eventually(session, "15s").Should(gexec.Exit(1))
			Expect(session.Err).To(gbytes.Say("charon has not answered for 3s and is killed"))
			gateway.Run()
			back(network, "start after hang")
		})

		It("was stopped, the customer knows at once and is back by itself: IKEv"+ike, func() {
			network, gateway, session, peer := start()
			session.Terminate()
			Eventually(session, "10s").Should(gexec.Exit(0))
			Expect(peer.Swanctl("--list-sas")).NotTo(ContainSubstring("ESTABLISHED"))
			gateway.Run()
			back(network, "restart")
		})
	}
})

var _ = Describe("An endpoint", func() {
	It("that has died is forgotten in seconds, with either IKE version", func(ctx SpecContext) {
		var gateways []VM
		for _, version := range []int{1, 2} {
			network := NewNetwork(NAT{})
			gateway := NewVM(network, Settings{"ike": []string{"", "1", "2"}[version], "policy": "compatible"})
			gateway.Run()
			peer := StartCustomer(network, customer(version, NAT{}, compatibleIKE, compatibleESP))
			peer.Swanctl("--initiate", "--child", "pair-0")
			network.Exec(network.Internet, "ip", "link", "set", "cust0", "down")
			gateways = append(gateways, gateway)
		}
		began := time.Now()
		for _, gateway := range gateways {
			Eventually(func() int { return len(gateway.SAs(ctx)) }, "60s", "250ms").Should(BeZero())
		}
		AddReportEntry("a dead endpoint is forgotten after", time.Since(began).Round(time.Second).String())
	})

	It("that could not hear our answers does not have to wait when it can again", func() {
		network := NewNetwork(NAT{})
		session := NewVM(network, Settings{"ike": "1", "policy": "compatible"}).Run()
		peer := StartCustomer(network, customer(1, NAT{}, compatibleIKE, compatibleESP))
		drop := []string{"iptables", "-w", "-A", "FORWARD", "-i", "gw0", "-j", "DROP"}
		network.Exec(network.Internet, drop...)
		for range 8 { // strongSwan's default locks it out after 5; IKEv2 has cookies, IKEv1 nothing better
			_ = peer.Try("--initiate", "--child", "pair-0", "--timeout", "1")
			_ = peer.Try("--terminate", "--ike", "platform", "--force", "--timeout", "1")
		}
		drop[2] = "-D"
		network.Exec(network.Internet, drop...)
		Expect(peer.Try("--initiate", "--child", "pair-0", "--timeout", "3")).To(Succeed())
		Expect(string(session.Out.Contents())).NotTo(ContainSubstring("half-open IKE_SA limit"))
	})
})
