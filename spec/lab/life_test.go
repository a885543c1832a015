package lab_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// The whole life of one org's connection, beside another org whose app sends all the time and must not notice:
// every change is planned, rendered and deployed as an operator does, and proved after each step.
var _ = Describe("the life of a connection", Serial, Ordered, func() {
	const ledger, rendered = "tmp/lab/orgs", "tmp/lab/rendered"
	const app, neighbour = "isolated-app-agency-a-0", "isolated-app-agency-b-0"
	const staying, leaving = "10.150.0.2", "172.30.8.2"

	// must runs one of the operator's commands.
	must := func(name string, args ...string) string {
		GinkgoHelper()
		r := run(name, args...)
		Expect(r.code).To(BeZero(), r.stdout+r.stderr)
		return r.stdout
	}
	onLab := func(args ...string) string { GinkgoHelper(); return must("scripts/lab", args...) }
	privnet := func(command string, args ...string) string {
		GinkgoHelper()
		return must("bin/privnet", append([]string{command, "--platform", "manifests/lab/platform.yml", "--orgs", ledger}, args...)...)
	}
	proof := func() {
		GinkgoHelper()
		Expect(privnet("verify", "--manifest", "tmp/lab/deployed.yml")).To(HavePrefix("All obligations hold"))
	}
	// change is what the operator does with a changed request; it returns what plan said and what was restarted.
	change := func(edits ...string) (plan, deploy string) {
		GinkgoHelper()
		data, err := os.ReadFile(filepath.Join(root, ledger, "agency-a", "request.yml"))
		Expect(err).NotTo(HaveOccurred())
		request := filepath.Join(GinkgoT().TempDir(), "request.yml")
		Expect(os.WriteFile(request, []byte(strings.NewReplacer(edits...).Replace(string(data))), 0o644)).To(Succeed())
		plan = privnet("plan", "--request", request)
		privnet("render", "--org", "agency-a", "--manifest", "manifests/lab/manifest.yml", "--out", rendered)
		deploy = onLab("deploy")
		proof()
		Expect(deploy).To(And(ContainSubstring("unchanged  isolated-diego-cell-agency-b-0"), ContainSubstring("unchanged  vpn-gateway-agency-b-0"),
			ContainSubstring("unchanged  diego-cell-0")))
		return plan, deploy
	}
	appReaches := func(address string) func() bool { return func() bool { return reaches(app, address) } }
	var stream *echoes
	sas := func() string { return onLab("shell", "endpoint-agency-a", "--", "swanctl", "--list-sas") }
	restarted := func(deploy string) []string {
		var out []string
		for _, m := range regexp.MustCompile(`(?m)^restarted  (\S+):`).FindAllStringSubmatch(deploy, -1) {
			out = append(out, m[1])
		}
		return out
	}

	BeforeAll(func() {
		Expect(lab("down").code).To(BeZero())
		DeferCleanup(func() { Expect(lab("down").code).To(BeZero()) })
		Expect(lab("up", "--no-check", "--request", first, "--request", second).code).To(BeZero())
		proof()
		Eventually(func() bool { return reaches(neighbour, staying) }).WithTimeout(tunnels).Should(BeTrue())
		stream = sendEchoes(neighbour, staying, 20*time.Millisecond)
	})

	It("loses a private network, as plan has said", func() {
		Eventually(appReaches(leaving)).WithTimeout(tunnels).Should(BeTrue())
		plan, deploy := change("- 172.30.8.0/22\n", "", "- {address: 172.30.8.10, check: icmp}\n", "")
		Expect(plan).To(And(
			ContainSubstring("vpn-gateway-agency-a: ipsec-gateway, egress-enforcer, tunnel-prober, tunnel-doctor"),
			ContainSubstring("isolated-diego-cell-agency-a: egress-enforcer, tunnel-prober, tunnel-doctor"),
			ContainSubstring("Take from phase 2 (proxy IDs): yours 172.30.8.0/22")))
		Expect(restarted(deploy)).To(ConsistOf("isolated-diego-cell-agency-a-0", "vpn-gateway-agency-a-0"))
		onLab("follow", "agency-a")
		Eventually(appReaches(staying)).WithTimeout(tunnels).Should(BeTrue())
		Expect(reaches(app, leaving)).To(BeFalse())
	})

	It("gets it back, and accepts IKEv2 beside IKEv1", func() {
		_, deploy := change("- 10.150.0.0/16\n", "- 10.150.0.0/16\n- 172.30.8.0/22\n", "ike: 1", "ike: auto\npolicy: compatible")
		Expect(restarted(deploy)).To(ConsistOf("isolated-diego-cell-agency-a-0", "vpn-gateway-agency-a-0"))
		Expect(sas()).NotTo(ContainSubstring("IKEv2"))
		onLab("follow", "agency-a")
		Eventually(appReaches(leaving)).WithTimeout(tunnels).Should(BeTrue())
		Expect(sas()).To(ContainSubstring("ESTABLISHED, IKEv2"))
	})

	It("moves to IKEv2 alone, and gets a second key", func() {
		plan, deploy := change("ike: auto", "ike: 2\npsk: {next: true}")
		Expect(restarted(deploy)).To(ConsistOf("vpn-gateway-agency-a-0"))
		Expect(plan).To(ContainSubstring("credhub get -q -n /DIRECTOR/DEPLOYMENT/private-network-agency-a-psk-2"))
		// Its device has opened the tunnel again by itself, as the hand-off's configuration says.
		Eventually(appReaches(staying)).WithTimeout(tunnels).Should(BeTrue(), "with the key that it has")
		onLab("follow", "agency-a")
		Eventually(appReaches(staying)).WithTimeout(tunnels).Should(BeTrue(), "with the new key")
		Expect(onLab("shell", "vpn-gateway-agency-a-0", "--", "/var/vcap/jobs/ipsec-gateway/bin/status")).To(ContainSubstring(`"in_use": "b"`))
	})

	It("ends the old key", func() {
		_, deploy := change("psk: {next: true}", "psk: {generation: 2}")
		Expect(restarted(deploy)).To(ConsistOf("vpn-gateway-agency-a-0"))
		Eventually(appReaches(staying)).WithTimeout(tunnels).Should(BeTrue())
	})

	It("is taken away step by step", func() {
		remove := func(args ...string) string {
			GinkgoHelper()
			return privnet("remove", append([]string{"--org", "agency-a", "--manifest", "manifests/lab/manifest.yml", "--out", rendered}, args...)...)
		}
		remove()
		Expect(onLab("deploy")).NotTo(ContainSubstring("restarted"))
		proof()
		// The errand org-isolation takes the apps out; the lab has no Cloud Foundry that it could ask.
		remove("--done", "apps")
		Expect(onLab("deploy")).To(ContainSubstring("deleted    isolated-diego-cell-agency-a-0"))
		proof()
		remove("--done", "cells", "--deployed", "tmp/lab/deployed.yml")
		Expect(onLab("deploy")).To(ContainSubstring("deleted    vpn-gateway-agency-a-0"))
		proof()
		remove("--done", "gateway", "--deployed", "tmp/lab/deployed.yml")
		remove("--done", "cloud-config")
		Expect(remove("--done", "key")).To(ContainSubstring("Its addresses are nobody's until"))
		Expect(onLab("deploy")).NotTo(Or(ContainSubstring("restarted"), ContainSubstring("deleted")))
		proof()
	})

	It("has cost the other org not one packet in all that time", func() {
		sent, answered := stream.end()
		AddReportEntry("packets of the other org meanwhile", fmt.Sprintf("%d sent, %d lost: %v", sent, sent-answered, stream.gaps()))
		Expect(sent).To(BeNumerically(">", 100))
		Expect(answered).To(Equal(sent))
		promises, code := check()
		Expect(code).To(BeZero())
		Expect(promises).To(And(HaveLen(one), HaveEach(HaveField("OK", true))))
	})
})
