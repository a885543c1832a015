package ipsec_test

import (
	"net/netip"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"privnet/connection"
	"privnet/ipsec"
)

const socket = "/var/vcap/sys/run/ipsec-gateway/charon.vici"

var paths = ipsec.Paths{Socket: socket, Certificates: "/var/vcap/data/ipsec-gateway/x509"}

// good is what the good files say, with a change.
func good(change func(*ipsec.Config)) ipsec.Config {
	GinkgoHelper()
	config, err := read(goodGateway, keys(goodKey))
	Expect(err).NotTo(HaveOccurred())
	change(&config)
	return config
}

func ike(version connection.IKE) func(*ipsec.Config) {
	return func(c *ipsec.Config) {
		c.Connections[0].IKE, c.Connections[0].Policy = version, ipsec.DefaultPolicy(version)
	}
}

func render(config ipsec.Config) ipsec.Rendered {
	GinkgoHelper()
	rendered, err := ipsec.Render(config, paths)
	Expect(err).NotTo(HaveOccurred())
	return rendered
}

// setting is the value of a key at a path of section names.
func setting(root ipsec.Section, path ...string) string {
	GinkgoHelper()
	for _, name := range path[:len(path)-1] {
		found := false
		for _, sub := range root.Sections {
			if sub.Name == name {
				root, found = sub, true
				break
			}
		}
		Expect(found).To(BeTrue(), "no section %s", name)
	}
	for _, s := range root.Settings {
		if s.Key == path[len(path)-1] {
			return strings.Join(s.Values, ", ")
		}
	}
	return ""
}

var _ = Describe("Rendering", func() {
	DescribeTable("writes what a network engineer reads",
		func(file string, version connection.IKE) {
			rendered := render(good(ike(version)))
			want, err := os.ReadFile("testdata/" + file)
			Expect(err).NotTo(HaveOccurred())
			Expect(rendered.Swanctl("secrets.conf")).To(Equal(string(want)))
			Expect(render(good(ike(version)))).To(Equal(rendered))
		},
		Entry("for IKEv1", "ikev1.conf", connection.IKEv1),
		Entry("for IKEv2", "ikev2.conf", connection.IKEv2),
	)

	DescribeTable("leaves it to the endpoint to renew phase 1, but for IKEv1 with PAN-OS, which lets it end",
		func(version connection.IKE, device string, first bool) {
			config := good(ike(version))
			config.Connections[0].Endpoints[0].Device = device
			rekey, err := time.ParseDuration(setting(render(config).Connections[0], "rekey_time"))
			Expect(err).NotTo(HaveOccurred())
			Expect(rekey < ipsec.EndpointIKEHours*time.Hour).To(Equal(first))
		},
		Entry("PAN-OS", connection.IKEv1, "paloalto", true), Entry("PAN-OS with IKEv2", connection.IKEv2, "paloalto", false),
		Entry("another", connection.IKEv1, "strongswan", false),
	)

	It("writes all that charon is set to, and which plugins it has, where everybody can see it change", func() {
		want, err := os.ReadFile("testdata/strongswan.conf")
		Expect(err).NotTo(HaveOccurred())
		Expect(render(good(ike(connection.IKEv1))).StrongSwanConf()).To(Equal(string(want)))
	})

	It("gives IKEv1 one child a pair, IKEv2 one child with all, and auto a connection of each", func() {
		auto := render(good(ike(connection.IKEAuto)))
		Expect(auto.Tunnels).To(HaveLen(2))
		Expect(auto.Connections[:2]).To(HaveExactElements(
			render(good(func(c *ipsec.Config) { ike(connection.IKEv2)(c); c.Connections[0].Policy = ipsec.Compatible })).Connections[0],
			render(good(ike(connection.IKEv1))).Connections[0]))
		Expect(auto.Keys).To(HaveLen(1))
	})

	It("keys the secret on the endpoint's identity, in base64, and keeps it out of swanctl.conf", func() {
		rendered := render(good(func(c *ipsec.Config) { c.Connections[0].Endpoints[0].ID = "vpn.agency-a.example" }))
		Expect(rendered.Secrets()).To(ContainSubstring("    id = fqdn:vpn.agency-a.example\n    secret = " + ipsec.NewKey(goodKey).Base64() + "\n"))
		Expect(rendered.Swanctl("secrets.conf")).To(And(ContainSubstring("\ninclude secrets.conf\n"), Not(ContainSubstring("secret ="))))
	})

	DescribeTable("spells out the type of an identity",
		func(id, want string) {
			rendered := render(good(func(c *ipsec.Config) { c.Connections[0].Endpoints[0].ID = id }))
			Expect(setting(rendered.Connections[0], "remote", "id")).To(Equal(want))
			Expect(rendered.Keys[0].Remote).To(Equal(want))
		},
		Entry("an address", "198.51.100.10", "198.51.100.10"),
		Entry("a name", "vpn.example", "fqdn:vpn.example"),
		Entry("a name that strongSwan takes for a range of addresses", "10.0.0.1-10.0.0.9", "fqdn:10.0.0.1-10.0.0.9"),
		Entry("a user at a name", "vpn@example.org", "email:vpn@example.org"),
		Entry("a key id", "keyid:branch.7", "keyid:branch.7"),
	)

	It("takes packets to any address of the instance and has the public one as identity, for a 1:1 NAT", func() {
		c := render(good(func(*ipsec.Config) {})).Connections[0]
		Expect(setting(c, "local_addrs")).To(Equal("203.0.113.11, 10.20.0.5, 192.168.3.9"))
		Expect(setting(c, "local", "id")).To(Equal("203.0.113.11"))
	})

	It("never initiates and never offers strongSwan's default proposals", func() {
		for _, version := range []connection.IKE{connection.IKEv1, connection.IKEv2, connection.IKEAuto} {
			text := render(good(ike(version))).Swanctl("secrets.conf")
			Expect(text).NotTo(MatchRegexp(`default|start_action = start|(close|dpd)_action = (start|trap)`))
			Expect(strings.Count(text, "start_action = trap")).To(Equal(1), "the drop shunts, which are no tunnel")
		}
	})

	It("loads the userland data path before the kernel's, and no drop shunts with it", func() {
		rendered := render(good(func(c *ipsec.Config) { c.DataPath = connection.DataPathUserland }))
		Expect(rendered.StrongSwanConf()).To(ContainSubstring("kernel-libipsec kernel-netlink"))
		Expect(rendered.Swanctl("x")).NotTo(ContainSubstring("drop"))
		Expect(render(good(func(*ipsec.Config) {})).StrongSwanConf()).NotTo(ContainSubstring("libipsec"))
	})

	It("lets all pairs be negotiated at once, gives a dead peer up in seconds, and logs no key", func() {
		conf := render(good(func(c *ipsec.Config) {
			ike(connection.IKEv1)(c)
			for i := range 8 {
				c.Connections[0].PrivateNetworks = append(c.Connections[0].PrivateNetworks, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(160 + i), 0, 0}), 16))
			}
		})).StrongSwan
		Expect(setting(conf, "charon", "max_ikev1_exchanges")).To(Equal("20"))
		Expect(setting(conf, "charon", "retransmit_timeout")).To(Equal("1.0"))
		Expect(setting(conf, "charon", "filelog", "stderr", "default")).To(Equal("1"))
		Expect(setting(conf, "charon", "plugins", "vici", "socket")).To(Equal("unix://" + socket))
	})

	It("lets few endpoints at their limit of half-open IKE_SAs lock out no other", func() {
		limit := func(endpoints int) string {
			return setting(render(good(func(c *ipsec.Config) {
				for i := 1; i < endpoints; i++ {
					address := netip.AddrFrom4([4]byte{198, 18, 0, byte(i)})
					c.Connections[0].Endpoints = append(c.Connections[0].Endpoints, connection.Endpoint{Address: address, ID: address.String()})
				}
			})).StrongSwan, "charon", "init_limit_half_open")
		}
		Expect(limit(1)).To(Equal("500"))
		Expect(limit(30)).To(Equal("1200"))
	})

	It("refuses two orgs whose endpoints have one identity", func() {
		_, err := ipsec.Render(good(func(c *ipsec.Config) {
			other := c.Connections[0]
			other.Org = "agency-b"
			c.Connections = append(c.Connections, other)
		}), paths)
		Expect(err).To(MatchError(ContainSubstring(`org agency-a and org agency-b both have an endpoint with the identity "198.51.100.10"`)))
	})

	It("lets no name, identity, device or key change the meaning of another section", func() {
		want := plain(render(good(func(*ipsec.Config) {})).Connections[1])
		rapid.Check(GinkgoT(), func(t *rapid.T) {
			config := good(func(c *ipsec.Config) {
				other := c.Connections[0]
				other.Org = anyText().Draw(t, "org")
				other.Policy = ipsec.Policy(anyText().Draw(t, "policy"))
				if rapid.Bool().Draw(t, "known policy") {
					other.Policy = ipsec.Modern
				}
				other.Endpoints = []connection.Endpoint{{
					Address: netip.MustParseAddr("198.51.100.99"), Device: anyText().Draw(t, "device"), ID: anyText().Draw(t, "id"),
				}}
				other.Keys.A = ipsec.NewKey(rapid.OneOf(anyText(), rapid.Just(goodKey)).Draw(t, "key"))
				c.Connections = append([]ipsec.Connection{other}, c.Connections...)
			})
			rendered, err := ipsec.Render(config, paths)
			if err != nil {
				return
			}
			swanctl, includes, err := parse(rendered.Swanctl("secrets.conf"))
			if err != nil || len(includes) != 1 || len(swanctl.Sections) != 1 || len(swanctl.Sections[0].Sections) != 4 {
				t.Fatalf("swanctl.conf is read as something else: %v\n%s", err, rendered.Swanctl("secrets.conf"))
			}
			if got := swanctl.Sections[0].Sections[3]; got.Text() != want.Text() {
				t.Fatalf("another section changed:\n%s", got.Text())
			}
			secrets, _, err := parse(rendered.Secrets())
			if err != nil || len(secrets.Sections[0].Sections) != 2 {
				t.Fatalf("the secrets are read as something else: %v\n%s", err, rendered.Secrets())
			}
		})
	})
})
