package command_test

import (
	"os"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"privnet/probe"
	"privnet/probe/health"

	. "privnet/ipsec/charontest"
)

var _ = Describe("The prober beside a real charon", func() {
	networks := []string{"10.150.0.0/16", "172.30.8.0/22"}

	It("follows a customer from the wrong key to a tunnel, a dead path, and a charon that begins anew", func() {
		t := newTunnel(networks, "4h")
		t.probe("500ms")
		Eventually(t.state, "5s").Should(Equal(health.Down))
		Expect(t.status().Reason).To(ContainSubstring("has not connected"))

		By("telling the wrong key")
		const wrong = "another.key.of.more.than.32.characters"
		t.customer.Configure(t.configuration(wrong, "4h"))
		Expect(t.initiate()).NotTo(Succeed())
		Eventually(func() []probe.Failure { return t.status().Failures }, "5s").Should(ContainElement(And(
			HaveField("Reason", "psk-v2"), HaveField("Side", "customer"), HaveField("Advice", Not(BeEmpty())))))
		Expect(t.state()).To(Equal(health.Down))

		By("saying up not before a packet could pass")
		t.customer.Configure(t.configuration(PSK, "4h"))
		initiated := make(chan error, 1)
		go func() { initiated <- t.initiate() }()
		Eventually(func() health.State {
			s := t.state()
			if s == health.Up {
				// A first SYN that is lost on a busy machine is repeated after a second.
				Eventually(func() bool { return t.network.Reaches(Services[0]) }, "3s").Should(BeTrue())
			}
			return s
		}, "15s", "5ms").Should(Equal(health.Up))
		Eventually(initiated, "15s").Should(Receive(BeNil()))
		Eventually(func() []probe.Failure { return t.status().Failures }, "5s").Should(BeEmpty(), "the tunnel has overtaken them")
		s := t.status()
		Expect(s.LastFailure.Reason).To(Equal("psk-v2"))
		Expect(s.Tunnels[0]).To(And(HaveField("IKEVersion", 2), HaveField("Differences", BeEmpty()), HaveField("Ups", uint64(1))))
		Expect(s.Configuration).To(And(HaveField("Known", true), HaveField("Healthy", true), HaveField("Keys", HaveLen(1))))
		Eventually(func() probe.Pair { return t.status().Pairs[0] }, "15s").Should(And(
			HaveField("PathMTU", 1400), HaveField("Algorithms", HavePrefix("AES_CBC-256/HMAC_SHA2_256_128"))))
		Eventually(func() probe.Target { return t.status().Targets[0] }, "20s").Should(And(
			HaveField("Name", "icmp://10.150.0.1"), HaveField("PathMTU", 1400)))

		By("showing neither key in what it serves, logs and keeps")
		shown := []string{string(t.prober.Out.Contents()), string(t.prober.Err.Contents())}
		for _, path := range []string{"/", "/v1/status", "/metrics"} {
			body, err := t.ask(path)
			Expect(err).NotTo(HaveOccurred())
			shown = append(shown, string(body))
		}
		kept, err := os.ReadFile(t.gateway.Path("prober-state.json"))
		Expect(err).NotTo(HaveOccurred())
		Expect(append(shown, string(kept))).To(And(
			ContainElement(ContainSubstring("psk-v2")), Not(ContainElement(Or(ContainSubstring(PSK), ContainSubstring(wrong))))))

		By("telling a dead path from a lost target")
		t.cut("-I")
		Eventually(t.state, "15s", "20ms").Should(Equal(health.Down))
		Expect(t.status().Pairs[0].Reason).To(ContainSubstring("nothing comes back through it"))
		t.cut("-D")
		Eventually(t.state, "15s").Should(Equal(health.Up))

		By("surviving its own restart")
		since := t.status().Since
		t.prober.Terminate().Wait("5s")
		t.startProber()
		Eventually(t.state, "5s").Should(Equal(health.Up))
		Expect(t.status()).To(And(HaveField("Since", BeTemporally("==", since)), HaveField("LastFailure.Reason", "psk-v2")))

		By("finding the tunnels again after charon's end")
		t.running.Kill().Wait("5s")
		Eventually(t.state, "5s").Should(Equal(health.Unknown))
		Expect(t.status().Charon.Answers).To(BeFalse())
		t.running = t.gateway.Run()
		Eventually(t.state, "10s").Should(Equal(health.Down))
		Expect(t.customer.Try("--terminate", "--ike", "platform", "--force")).To(Succeed(), "it still holds the old one")
		Eventually(t.initiate, "30s").Should(Succeed())
		Eventually(t.state, "10s").Should(Equal(health.Up))
		Expect(t.prober).NotTo(gexec.Exit())
		Expect(t.status().Tunnels[0].EstablishedAt).To(BeTemporally("~", time.Now(), time.Minute))
	})
})
