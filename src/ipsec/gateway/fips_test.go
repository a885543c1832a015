package gateway_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	. "privnet/ipsec/charontest"
)

// fipsEnvironment makes OpenSSL use a FIPS provider as a FIPS stemcell does: by its configuration. It is
// the one that FIPS_MODULE names, as Debian has none: fips.so of the installed OpenSSL's version.
func fipsEnvironment() []string {
	GinkgoHelper()
	module := os.Getenv("FIPS_MODULE")
	if module == "" {
		Skip("needs an OpenSSL FIPS provider, which Debian does not have: build fips.so (./Configure enable-fips) and set FIPS_MODULE to its path")
	}
	directory := GinkgoT().TempDir()
	output, err := exec.Command("openssl", "fipsinstall", "-module", module, "-out", filepath.Join(directory, "fipsmodule.cnf")).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s", output)
	Expect(os.WriteFile(filepath.Join(directory, "openssl.cnf"), []byte(`openssl_conf = openssl_init
.include `+directory+`/fipsmodule.cnf
[openssl_init]
providers = providers
alg_section = algorithms
[providers]
fips = fips_sect
base = base_sect
[base_sect]
activate = 1
[algorithms]
default_properties = fips=yes
`), 0o600)).To(Succeed())
	return []string{"OPENSSL_CONF=" + filepath.Join(directory, "openssl.cnf"), "OPENSSL_MODULES=" + filepath.Dir(module)}
}

var _ = Describe("With fips", func() {
	DescribeTable("the gateway takes tunnels on OpenSSL's FIPS provider alone",
		func(version int, ike, ikeProposal, espProposal string) {
			network := NewNetwork(NAT{})
			gateway := NewVM(network, Settings{"ike": strconv.Itoa(version), "policy": ike, "fips": true})
			gateway.Env = fipsEnvironment()
			Expect(gateway.Do("check")).To(gexec.Exit(0))
			session := gateway.Run()
			Expect(session.Out).To(gbytes.Say("providers loaded by OpenSSL: .*fips"))
			Eventually(func() bool { return statusOf(gateway).FIPS }).Should(BeTrue())
			peer := StartCustomer(network, customer(version, NAT{}, ikeProposal, espProposal))
			for i, service := range Services {
				peer.Swanctl("--initiate", "--child", "pair-"+strconv.Itoa(i))
				Expect(network.Reaches(service)).To(BeTrue())
			}
			before := spis(peer.Swanctl("--list-sas"))
			peer.Swanctl("--rekey", "--ike", "platform")
			Eventually(func() []string { return spis(peer.Swanctl("--list-sas")) }, "10s", "100ms").ShouldNot(ContainElement(before[0]))
			Expect(network.Reaches(Services[0])).To(BeTrue())
		},
		Entry("IKEv1, compatible", 1, "compatible", compatibleIKE, compatibleESP),
		Entry("IKEv2, compatible", 2, "compatible", compatibleIKE, compatibleESP),
		Entry("IKEv2, modern", 2, "modern", modernIKE, modernESP),
	)

	It("authenticates by certificate on the FIPS provider alone", func() {
		environment := fipsEnvironment()
		network, later := NewNetwork(NAT{}), time.Now().Add(time.Hour)
		platform, agency := NewAuthority("Platform CA"), NewAuthority("Agency CA")
		own, theirs := platform.Issue(later, GatewayPublic), agency.Issue(later, customerName)
		gateway := NewVM(network, Settings{"fips": true, "policy": "compatible", "certificate": own.Certificate, "endpoint_ca": agency.PEM,
			"endpoints": []Settings{{"address": Endpoint, "device": "strongswan", "id": customerName}}})
		gateway.Configure(gateway.Overrides, Settings{"private_key": own.PrivateKey})
		gateway.Env = environment
		gateway.Run()
		StartCustomer(network, byCertificate(2), File{Name: "x509ca/platform.pem", Text: platform.PEM},
			File{Name: "x509/own.pem", Text: theirs.Certificate}, File{Name: "private/own.pem", Text: theirs.PrivateKey}).
			Swanctl("--initiate", "--child", "pair-0")
		Expect(network.Reaches(Services[0])).To(BeTrue())
	})
})
