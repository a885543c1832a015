package gateway_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	. "privnet/ipsec/charontest"
)

const customerName = "vpn.agency-a.example"

// byCertificate is a customer's swanctl.conf with certificates instead of keys. It does not ask for the
// gateway's, as some devices do not.
func byCertificate(version int) string {
	configuration := customer(version, NAT{}, compatibleIKE, compatibleESP)
	configuration = configuration[:strings.Index(configuration, "secrets")]
	configuration = strings.ReplaceAll(configuration, "auth = psk", "auth = pubkey")
	configuration = strings.Replace(configuration, "  local_addrs", "  send_certreq = no\n  local_addrs", 1)
	return strings.Replace(configuration, "id = "+Endpoint, "certs = own.pem\n id = fqdn:"+customerName, 1)
}

var _ = Describe("Certificates", func() {
	later := time.Now().Add(60 * 24 * time.Hour)
	var platform, agency Authority
	var own Pair
	BeforeEach(func() {
		platform, agency = NewAuthority("Platform CA"), NewAuthority("Agency CA")
		own = platform.Issue(later, GatewayPublic)
	})
	start := func(network Network, version string, extra Settings) (VM, *gexec.Session) {
		GinkgoHelper()
		overrides := Settings{"ike": version, "policy": "compatible",
			"endpoints":   []Settings{{"address": Endpoint, "device": "strongswan", "id": customerName}},
			"certificate": own.Certificate, "endpoint_ca": agency.PEM}
		for key, value := range extra {
			overrides[key] = value
		}
		v := NewVM(network, overrides)
		v.Configure(overrides, Settings{"private_key": own.PrivateKey})
		return v, v.Run()
	}
	peer := func(network Network, version int, certificate Pair) Customer {
		return StartCustomer(network, byCertificate(version),
			File{Name: "x509ca/platform.pem", Text: platform.PEM},
			File{Name: "x509/own.pem", Text: certificate.Certificate}, File{Name: "private/own.pem", Text: certificate.PrivateKey})
	}

	DescribeTable("authenticate both sides, bound to the identities that were declared",
		func(version int, ike string) {
			network := NewNetwork(NAT{})
			gateway, session := start(network, ike, nil)
			customer := peer(network, version, agency.Issue(later, customerName))
			customer.Swanctl("--initiate", "--child", "pair-0")
			Expect(network.Reaches(Services[0])).To(BeTrue())
			Expect(gateway.Do("reload").Out).To(gbytes.Say("no connection changed"))
			Expect(statusOf(gateway).Expiries).To(ConsistOf(HaveField("What", "the gateway's certificate CN="+GatewayPublic), HaveField("What", "the certificate in endpoint_ca CN=Agency CA")))
			Expect(string(session.Out.Contents())).NotTo(ContainSubstring("PRIVATE KEY"))
			swanctl, err := os.ReadFile(gateway.Path("data/swanctl/swanctl.conf"))
			Expect(err).NotTo(HaveOccurred())
			Expect(string(swanctl)).To(And(ContainSubstring("# CN=Agency CA, until "), ContainSubstring("id = fqdn:"+customerName)))
		},
		Entry("IKEv1", 1, "1"), Entry("IKEv2", 2, "2"), Entry("auto, the customer speaks IKEv1", 1, "auto"),
	)

	DescribeTable("turn away",
		func(other func() Pair, extra func(Pair) Settings) {
			network := NewNetwork(NAT{})
			certificate := other()
			start(network, "2", extra(certificate))
			customer := peer(network, 2, certificate)
			Expect(customer.Try("--initiate", "--child", "pair-0", "--timeout", "3")).NotTo(Succeed())
		},
		Entry("a certificate of another name, though of the customer's CA", func() Pair { return agency.Issue(later, "other.agency-a.example") }, func(Pair) Settings { return nil }),
		Entry("a certificate of the name from another CA", func() Pair { return platform.Issue(later, customerName) }, func(Pair) Settings { return nil }),
		Entry("a certificate that has ended", func() Pair { return agency.Issue(time.Now().Add(-time.Minute), customerName) }, func(Pair) Settings { return nil }),
		Entry("a certificate that is revoked", func() Pair { return agency.Issue(later, customerName) }, func(p Pair) Settings { return Settings{"endpoint_crl": agency.Revoke(p)} }),
	)

	It("may be pinned instead of issued by a CA that is known", func() {
		network := NewNetwork(NAT{})
		pinned := agency.Issue(later, customerName)
		gateway, _ := start(network, "2", Settings{"endpoint_ca": pinned.Certificate})
		peer(network, 2, pinned).Swanctl("--initiate", "--child", "pair-0")
		Expect(network.Reaches(Services[0])).To(BeTrue())

		gateway.Overrides["endpoint_ca"] = agency.Issue(later, customerName).Certificate
		gateway.Configure(gateway.Overrides, Settings{"private_key": own.PrivateKey})
		Expect(gateway.Do("reload").Out).To(gbytes.Say("changed agency-a-198-51-100-10-ikev2"))
	})

	It("can be revoked while the gateway runs: a tunnel that is up stays until it is authenticated again", func() {
		network := NewNetwork(NAT{})
		certificate := agency.Issue(later, customerName)
		gateway, _ := start(network, "2", nil)
		customer := peer(network, 2, certificate)
		customer.Swanctl("--initiate", "--child", "pair-0")

		gateway.Overrides["endpoint_crl"] = agency.Revoke(certificate)
		gateway.Configure(gateway.Overrides, Settings{"private_key": own.PrivateKey})
		Expect(gateway.Do("reload").Out).To(gbytes.Say("no connection changed"))
		Expect(network.Reaches(Services[0])).To(BeTrue())
		customer.Swanctl("--terminate", "--ike", "platform")
		Expect(customer.Try("--initiate", "--child", "pair-0", "--timeout", "3")).NotTo(Succeed())
	})

	DescribeTable("of ours are renewed without closing the tunnel, also when they have ended",
		func(version int) {
			network := NewNetwork(NAT{})
			own = platform.Issue(time.Now().Add(6*time.Second), GatewayPublic)
			gateway, session := start(network, strconv.Itoa(version), Settings{"private_networks": []string{"10.150.0.0/16"}})
			customer := peer(network, version, agency.Issue(later, customerName))
			customer.Swanctl("--initiate", "--child", "pair-0")
			sas, traffic := spis(gateway.Swanctl("--list-sas")), network.StartStream(GatewaySegment, Services[0])

			By("which the gateway says in time, which refuses a deploy and a reload, and closes nothing")
			Eventually(func() string { return statusOf(gateway).Problem }, "10s", "100ms").Should(ContainSubstring("org agency-a: the gateway's certificate CN=203.0.113.10 ends on "))
			Eventually(session.Out).Should(gbytes.Say("something has expired and is still in use"))
			for _, command := range []string{"check", "reload"} {
				refused := gateway.Do(command)
				Expect(refused).To(gexec.Exit(1))
				Expect(refused.Err).To(gbytes.Say("the gateway's certificate CN=203.0.113.10 ends on .* Regenerate the variable and deploy"))
			}

			next := platform.Issue(later, GatewayPublic)
			gateway.Overrides["certificate"] = next.Certificate
			gateway.Configure(gateway.Overrides, Settings{"private_key": next.PrivateKey})
			Expect(string(gateway.Do("reload").Out.Contents())).To(Equal(fmt.Sprintf("renewed agency-a-198-51-100-10-ikev%d\n", version)))
			Expect(gateway.Do("status")).To(gexec.Exit(0))
			Expect(spis(gateway.Swanctl("--list-sas"))).To(Equal(sas))
			sent, answered := traffic.Stop()
			Expect(answered).To(Equal(sent))

			By("and what changes later reaches the tunnel that is older than the certificate")
			delete(gateway.Overrides, "private_networks")
			gateway.Configure(gateway.Overrides, Settings{"private_key": next.PrivateKey})
			Expect(gateway.Do("reload").Out).To(gbytes.Say("changed agency-a-198-51-100-10"))
			for i, service := range Services {
				customer.Swanctl("--initiate", "--child", fmt.Sprintf("pair-%d", i))
				Expect(network.Reaches(service)).To(BeTrue(), "with the new certificate, for the old one has ended")
			}
		},
		Entry("IKEv1", 1), Entry("IKEv2", 2),
	)

	It("that have ended do not keep a gateway from starting again, which says so", func() {
		own = platform.Issue(time.Now().Add(-time.Minute), GatewayPublic)
		gateway, session := start(NewNetwork(NAT{}), "2", nil)
		Eventually(session.Out).Should(gbytes.Say("something has expired and is still in use; no deploy is accepted"))
		Eventually(func() bool { return statusOf(gateway).Healthy }).Should(BeFalse())
	})

	It("are all or nothing on a reload: what charon took before it refused something is undone", func() {
		network := NewNetwork(NAT{})
		gateway, _ := start(network, "2", nil)
		customer := peer(network, 2, agency.Issue(later, customerName))
		customer.Swanctl("--initiate", "--child", "pair-0")
		before, sas, traffic := gateway.Swanctl("--list-conns", "--raw"), spis(gateway.Swanctl("--list-sas")), network.StartStream(GatewaySegment, Services[0])
		next := platform.Issue(later, GatewayPublic)
		gateway.Overrides["certificate"], gateway.Overrides["private_networks"] = next.Certificate, []string{"10.150.0.0/16"}
		gateway.Overrides["endpoints"] = []Settings{{"address": Endpoint, "device": "strongswan", "id": customerName}, {"address": "198.51.100.20", "device": "aws", "id": "vpn2.agency-a.example"}}
		for _, refused := range []struct{ key, value, want string }{
			{"endpoint_ca", NewAuthority("Strange CA", Unknown).PEM, "loading connection agency-a-198-51-100-10-ikev2: charon refuses it: .* unable to load certificate: cacert1"},
			{"endpoint_crl", agency.RevokePart(), "loading endpoint_crl, the CRL of CN=Agency CA: charon refuses it: .*"},
		} {
			good := gateway.Overrides[refused.key]
			gateway.Overrides[refused.key] = refused.value
			gateway.Configure(gateway.Overrides, Settings{"private_key": next.PrivateKey})
			reload := gateway.Do("reload")
			Expect(reload).To(gexec.Exit(1))
			Expect(reload.Out.Contents()).To(BeEmpty())
			Expect(reload.Err).To(gbytes.Say(refused.want + "; charon has again what it had"))
			status := gateway.Do("status")
			Expect(status).To(gexec.Exit(1))
			Expect(status.Err).To(gbytes.Say("the last reload failed: " + refused.want))
			if gateway.Overrides[refused.key] = good; good == nil {
				delete(gateway.Overrides, refused.key)
			}
		}
		Expect(gateway.Swanctl("--list-conns", "--raw")).To(Equal(before))
		Expect(strings.Count(gateway.Swanctl("--list-certs"), "has private key")).To(Equal(1))
		Expect(spis(gateway.Swanctl("--list-sas"))).To(Equal(sas))

		By("and taken when it is right, without closing what did not change")
		gateway.Overrides["endpoint_crl"] = agency.Revoke()
		delete(gateway.Overrides, "private_networks")
		gateway.Overrides["certificate"] = own.Certificate
		gateway.Configure(gateway.Overrides, Settings{"private_key": own.PrivateKey})
		reload := gateway.Do("reload")
		Expect(reload).To(gexec.Exit(0))
		Expect(string(reload.Out.Contents())).To(Equal("added agency-a-198-51-100-20-ikev2\n"))
		Expect(gateway.Do("status")).To(gexec.Exit(0))
		Expect(spis(gateway.Swanctl("--list-sas"))).To(Equal(sas))
		sent, answered := traffic.Stop()
		Expect(answered).To(Equal(sent))
		customer.Swanctl("--terminate", "--ike", "platform")
		customer.Swanctl("--initiate", "--child", "pair-0")
	})

	It("refuse what cannot work before anything is started", func() {
		network := Network{Gateway: Namespace("gw")}
		expired := platform.Issue(time.Now().Add(-time.Minute), GatewayPublic)
		for _, wrong := range []struct {
			overrides, keys Settings
			want            string
		}{
			{Settings{"certificate": platform.Issue(later, "198.18.0.1").Certificate}, Settings{"private_key": own.PrivateKey},
				`certificate: CN=198.18.0.1 does not name the gateway's identity; generate it with alternative_names: \[203.0.113.10\]`},
			{Settings{}, Settings{"private_key": agency.Issue(later, "x").PrivateKey}, "private_key: is not the private key of the certificate"},
			{Settings{}, Settings{"private_key": own.PrivateKey, "psk_a": psk}, "psk_a: and certificate exclude each other"},
			{Settings{"endpoint_ca": "customer"}, Settings{"private_key": own.PrivateKey}, "endpoint_ca: holds something else than PEM blocks of type CERTIFICATE"},
			{Settings{"endpoint_ca": nil}, Settings{"private_key": own.PrivateKey}, "endpoint_ca: is missing"},
			{Settings{"endpoint_crl": platform.Revoke()}, Settings{"private_key": own.PrivateKey}, "endpoint_crl: is signed by no certificate of endpoint_ca: its issuer is CN=Platform CA"},
			{Settings{"endpoints": []Settings{{"address": Endpoint, "device": "strongswan", "id": "keyid:branch"}}}, Settings{"private_key": own.PrivateKey}, "cannot be in a certificate"},
			{Settings{"certificate": expired.Certificate}, Settings{"private_key": expired.PrivateKey}, "the gateway's certificate CN=203.0.113.10 ends on .* Regenerate the variable and deploy"},
		} {
			overrides := Settings{"certificate": own.Certificate, "endpoint_ca": agency.PEM,
				"endpoints": []Settings{{"address": Endpoint, "device": "strongswan", "id": customerName}}}
			for key, value := range wrong.overrides {
				overrides[key] = value
			}
			v := NewVM(network, overrides)
			v.Configure(overrides, wrong.keys)
			check := v.Do("check")
			Expect(check).To(gexec.Exit(1), wrong.want)
			Expect(string(check.Err.Contents())).To(And(MatchRegexp(wrong.want), Not(ContainSubstring("BEGIN"))))
		}
	})
})
