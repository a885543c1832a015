package templates_test

import (
	"encoding/json"
	"net/netip"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/doctor"
	"privnet/document"
	"privnet/egress"
	"privnet/ipsec"
	"privnet/probe"
)

// The templates only turn properties into JSON; here the programs that read it get what the specs'
// examples mean.
var _ = Describe("The programs read what is rendered", func() {
	privateNetworks := []netip.Prefix{netip.MustParsePrefix("10.150.0.0/16"), netip.MustParsePrefix("172.30.8.0/22")}

	file := func(place, path string) []byte {
		GinkgoHelper()
		files, err := render(place, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(files).To(HaveKey(path))
		return []byte(files[path])
	}

	It("on a gateway, charon's connection with the active key", func() {
		config, err := ipsec.Read(
			ipsec.File{Name: "gateway.json", Data: file("ipsec-gateway", "config/gateway.json")},
			ipsec.File{Name: "psk.json", Data: file("ipsec-gateway", "config/psk.json")},
		)
		Expect(err).NotTo(HaveOccurred())
		Expect(config.Connections).To(HaveLen(1))
		Expect(config.Connections[0].PrivateNetworks).To(Equal(privateNetworks))
		Expect(config.Connections[0].IKE).To(Equal(connection.IKEAuto))
		Expect(config.Connections[0].Gateway.PublicAddress).To(Equal(netip.MustParseAddr("203.0.113.10")))
		Expect(config.LogLevel).To(Equal(2))
	})

	It("on a gateway with a certificate, whose private key is where the pre-shared keys would be", func() {
		files, err := render("ipsec-gateway", map[string]any{
			"psk_a": nil, "psk_b": nil, "psk_overlap_until": nil, "endpoint_ca": "THE CA", "certificate": map[string]any{"certificate": "PUBLIC", "private_key": "PRIVATE"},
		})
		Expect(err).NotTo(HaveOccurred())
		Expect(files["config/psk.json"]).To(MatchJSON(`{"active_psk": "b", "private_key": "PRIVATE"}`))
		for path, content := range files {
			if path != "config/psk.json" {
				Expect(content).NotTo(ContainSubstring("PRIVATE"), path)
			}
		}
		Expect(files["config/gateway.json"]).To(And(ContainSubstring(`"certificate": "PUBLIC"`), ContainSubstring(`"endpoint_ca": "THE CA"`)))
	})

	DescribeTable("for the rules",
		func(place string, role egress.Role, networks []netip.Prefix) {
			doc, err := document.Parse("enforcer.json", file(place, "config/enforcer.json"))
			Expect(err).NotTo(HaveOccurred())
			policy := egress.Read(doc.Root())
			Expect(doc.Err()).NotTo(HaveOccurred())
			Expect(policy.Role).To(Equal(role))
			Expect(policy.Connection.PrivateNetworks).To(Equal(networks))
		},
		Entry("of a dedicated cell", "egress-enforcer/cell", egress.RoleCell, privateNetworks),
		Entry("of a gateway", "egress-enforcer/gateway", egress.RoleGateway, privateNetworks),
		Entry("of a shared cell, which knows no private network", "egress-enforcer/shared-cell", egress.RoleSharedCell, nil),
	)

	DescribeTable("for the doctor",
		func(place string, role doctor.Role, source string) {
			config, err := doctor.ParseConfig("doctor.json", file(place, "config/doctor.json"))
			Expect(err).NotTo(HaveOccurred())
			Expect(config.Role).To(Equal(role))
			Expect(config.Source).To(Equal(netip.MustParseAddr(source)))
			Expect(config.Connection.PrivateNetworks).To(Equal(privateNetworks))
			Expect(config.Listen).To(Equal(2 * time.Minute))
		},
		Entry("of a cell", "tunnel-doctor/cell", doctor.Cell, cellAddress),
		Entry("of a gateway", "tunnel-doctor/gateway", doctor.Gateway, gatewayAddress),
	)

	DescribeTable("for the prober",
		func(place string, role probe.Role, source string) {
			config, err := probe.ParseConfig("prober.json", file(place, "config/prober.json"))
			Expect(err).NotTo(HaveOccurred())
			Expect(config.Role).To(Equal(role))
			Expect(config.Source).To(Equal(netip.MustParseAddr(source)))
			Expect(config.Connection.PrivateNetworks).To(Equal(privateNetworks))
			Expect(config.TLS).To(BeTrue())
			var secrets map[string]string
			Expect(json.Unmarshal(file(place, "config/tls.json"), &secrets)).To(Succeed())
			Expect(secrets).To(And(HaveLen(3), HaveKey("certificate"), HaveKey("private_key"), HaveKey("client_ca")))
		},
		Entry("of a cell", "tunnel-prober/cell", probe.RoleCell, cellAddress),
		Entry("of a gateway", "tunnel-prober/gateway", probe.RoleGateway, gatewayAddress),
	)

	It("for a prober that serves nobody else, no certificate", func() {
		files, err := renderWith(place{job: "tunnel-prober", address: cellAddress, linked: true, changes: map[string]any{
			"role": "cell", "listen_address": nil, "tls.certificate": nil, "tls.private_key": nil, "tls.client_ca": nil,
		}}, nil)
		Expect(err).NotTo(HaveOccurred())
		config, err := probe.ParseConfig("prober.json", []byte(files["config/prober.json"]))
		Expect(err).NotTo(HaveOccurred())
		Expect(config).To(And(HaveField("TLS", false), HaveField("Listen.Addr()", netip.MustParseAddr("127.0.0.1"))))
		Expect(files["config/tls.json"]).To(MatchJSON("{}"))
	})

	// A director gives a VM with several networks their addresses in any order, and some platforms' have IPv6.
	DescribeTable("on a VM with a public and an IPv6 network beside the segment's",
		func(name, path string, read func(file string, data []byte) error) {
			place := places[name]
			place.others = []string{"2001:db8::4", "203.0.113.10"}
			files, err := renderWith(place, nil)
			Expect(err).NotTo(HaveOccurred())
			Expect(files[path]).To(ContainSubstring("2001:db8::4"))
			Expect(read(path, []byte(files[path]))).To(Succeed())
		},
		Entry("charon", "ipsec-gateway", "config/gateway.json", func(name string, data []byte) error {
			_, err := ipsec.Read(ipsec.File{Name: name, Data: data}, ipsec.File{Name: "psk.json", Data: file("ipsec-gateway", "config/psk.json")})
			return err
		}),
		Entry("a gateway's rules", "egress-enforcer/gateway", "config/enforcer.json", readPolicy),
		Entry("a cell's rules", "egress-enforcer/cell", "config/enforcer.json", readPolicy),
		Entry("a shared cell's rules", "egress-enforcer/shared-cell", "config/enforcer.json", readPolicy),
		Entry("the doctor", "tunnel-doctor/gateway", "config/doctor.json", func(name string, data []byte) error {
			_, err := doctor.ParseConfig(name, data)
			return err
		}),
		Entry("the prober", "tunnel-prober/cell", "config/prober.json", func(name string, data []byte) error {
			_, err := probe.ParseConfig(name, data)
			return err
		}),
	)

	It("bosh-dns, the handlers of the private domains", func() {
		var handlers []struct {
			Domain string
			Source struct {
				Type      string
				Recursors []string
			}
		}
		Expect(json.Unmarshal(file("private-dns", "dns/handlers.json"), &handlers)).To(Succeed())
		Expect(handlers).To(HaveLen(1))
		Expect(handlers[0].Domain).To(Equal("corp.example."), "as bosh-dns compares names")
		Expect(handlers[0].Source.Type).To(Equal("dns"))
		Expect(handlers[0].Source.Recursors).To(Equal([]string{"10.150.0.53", "10.150.1.53"}))
	})
})

func readPolicy(name string, data []byte) error {
	doc, err := document.Parse(name, data)
	if err != nil {
		return err
	}
	egress.Read(doc.Root())
	return doc.Err()
}
