package gateway_test

import (
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	. "privnet/ipsec/charontest"
)

var _ = Describe("The status", func() {
	It("is healthy as long as charon holds what is configured, names what a reload refused, and recovers", func() {
		v := NewVM(Network{Gateway: Namespace("gw")}, nil)
		Expect(v.Do("status").Err).To(gbytes.Say("it is written when the gateway starts"))
		session := v.Run()
		Expect(v.Do("status")).To(gexec.Exit(0))

		v.Configure(Settings{"policy": "default"}, Settings{"psk_a": psk, "active_psk": "a"})
		Expect(v.Do("reload")).To(gexec.Exit(1))
		status := v.Do("status")
		Expect(status).To(gexec.Exit(1))
		Expect(status.Err).To(gbytes.Say("the last reload failed: "))
		Expect(statusOf(v).Problem).To(ContainSubstring(`policy: "default" must be one of`))
		Expect(statusOf(v).PSKs).To(HaveLen(1))

		v.Configure(nil, Settings{"psk_a": psk, "active_psk": "a"})
		Expect(v.Do("reload")).To(gexec.Exit(0))
		Expect(statusOf(v)).To(And(HaveField("Healthy", true), HaveField("Problem", "")))
		session.Terminate().Wait("10s")
		Expect(statusOf(v)).To(HaveField("Problem", "the gateway was stopped"))

		info, err := os.Stat(filepath.Dir(v.Path("view/status.json")))
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o750)))
	})

	It("shows waivers, of which one that has expired is loud, stops a deploy and closes no tunnel", func() {
		network := NewNetwork(NAT{})
		waivers := func(until time.Time) Settings {
			return Settings{"ike": "1", "policy": "compatible", "waivers": []Settings{
				{"algorithm": "sha1", "reason": "an old device; J. Doe", "until": until.Format(time.RFC3339)},
				{"algorithm": "modp1024", "reason": "an old device; J. Doe", "until": "2098-12-31"},
			}}
		}
		v := NewVM(network, waivers(time.Now().Add(-time.Minute)))
		check := v.Do("check")
		Expect(check).To(gexec.Exit(1))
		Expect(check.Err).To(gbytes.Say("org agency-a: the waiver for sha1 ends on .* Move the endpoint to something better"))

		session := v.Run()
		Eventually(session.Out, "5s").Should(gbytes.Say("a weak algorithm is offered by waiver.*modp1024.*an old device; J. Doe"))
		Eventually(session.Out, "5s").Should(gbytes.Say("something has expired and is still in use.*the waiver for sha1"))
		Eventually(func() bool { return statusOf(v).Healthy }).Should(BeFalse())
		Expect(statusOf(v).Waivers).To(HaveExactElements(HaveField("Algorithm", "sha1"), HaveField("Algorithm", "modp1024")))
		Expect(statusOf(v).Expiries).To(HaveExactElements(HaveField("Expired", true), HaveField("Expired", false)))
		peer := StartCustomer(network, customer(1, NAT{}, "aes256-sha1-modp1024", "aes256-sha1-modp1024"))
		connect(peer)
		before := spis(peer.Swanctl("--list-sas"))
		Expect(v.Do("reload")).To(gexec.Exit(1))
		Expect(network.Reaches(Services[0])).To(BeTrue())

		v.Configure(waivers(time.Now().Add(time.Hour)), Settings{"psk_a": psk, "active_psk": "a"})
		Expect(v.Do("reload")).To(gexec.Exit(0))
		Expect(statusOf(v)).To(HaveField("Healthy", true))
		Expect(spis(peer.Swanctl("--list-sas"))).To(Equal(before))
	})
})
