package vici_test

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/ipsec"
	"privnet/ipsec/charontest"
	"privnet/ipsec/vici"
)

const key = "Zq3vT8mKx1LpR6wYb9NcJ4hGd7FsU2aEoI5tXkQyVrMnBzPu"

// release is a charon of the release's own strongSwan, in a namespace of its own.
type release struct {
	namespace, directory string
	charon               *vici.Charon
}

func startRelease(config ipsec.Config) release {
	GinkgoHelper()
	strongSwan := charontest.StrongSwan()
	r := release{namespace: charontest.Namespace("vici"), directory: GinkgoT().TempDir()}
	rendered := r.render(config)
	r.write("strongswan.conf", rendered.StrongSwanConf())
	cmd := charontest.Command(r.namespace, filepath.Join(strongSwan, "libexec/ipsec/charon"))
	cmd.Env = append(os.Environ(), "STRONGSWAN_CONF="+r.path("strongswan.conf"))
	charontest.Start(cmd)
	Eventually(func(ctx context.Context) (err error) {
		r.charon, err = vici.Connect(ctx, r.path("charon.vici"))
		return err
	}).WithContext(context.Background()).WithTimeout(soon).Should(Succeed())
	DeferCleanup(func() { r.charon.Close() })
	return r
}

func (r release) path(name string) string { return filepath.Join(r.directory, name) }

func (r release) write(name, text string) {
	GinkgoHelper()
	Expect(os.WriteFile(r.path(name), []byte(text), 0o600)).To(Succeed())
}

func (r release) render(config ipsec.Config) ipsec.Rendered {
	GinkgoHelper()
	rendered, err := ipsec.Render(config, ipsec.Paths{Socket: r.path("charon.vici")})
	Expect(err).NotTo(HaveOccurred())
	return rendered
}

func (r release) load(ctx context.Context, config ipsec.Config, have vici.Loaded) (vici.Loaded, vici.Changes) {
	GinkgoHelper()
	now, changes, err := r.charon.Load(ctx, r.render(config), have)
	Expect(err).NotTo(HaveOccurred())
	Expect(r.charon.Verify(ctx, r.render(config))).To(Succeed())
	return now, changes
}

// swanctl is the release's own, of the same version.
func (r release) swanctl(arguments ...string) string {
	GinkgoHelper()
	arguments = append(arguments, "--uri", "unix://"+r.path("charon.vici"))
	cmd := exec.Command(filepath.Join(charontest.StrongSwan(), "sbin/swanctl"), arguments...)
	cmd.Env = append(os.Environ(), "STRONGSWAN_CONF="+r.path("strongswan.conf"))
	output, err := cmd.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "swanctl %v: %s", arguments, output)
	return string(output)
}

func agencyA(ike connection.IKE) ipsec.Connection {
	gateway := connection.Gateway{
		Address:       netip.MustParseAddr(charontest.GatewaySegment),
		PublicAddress: netip.MustParseAddr(charontest.GatewayPublic),
	}
	return ipsec.Connection{
		Connection: connection.Connection{
			Org:             "agency-a",
			Segment:         []netip.Prefix{netip.MustParsePrefix("10.20.0.0/26")},
			PrivateNetworks: []netip.Prefix{netip.MustParsePrefix("10.150.0.0/16"), netip.MustParsePrefix("172.30.8.0/22")},
			Gateways:        []connection.Gateway{gateway},
			Endpoints:       []connection.Endpoint{{Address: netip.MustParseAddr(charontest.Endpoint), Device: "paloalto", ID: charontest.Endpoint}},
		},
		Gateway: gateway,
		IKE:     ike,
		Policy:  ipsec.DefaultPolicy(ike),
		Keys:    ipsec.Keys{A: ipsec.NewKey(key), Active: ipsec.SlotA},
	}
}

func agencyB() ipsec.Connection {
	c := agencyA(connection.IKEv2)
	c.Org = "agency-b"
	c.PrivateNetworks = []netip.Prefix{netip.MustParsePrefix("10.160.0.0/16")}
	c.Endpoints = []connection.Endpoint{{Address: netip.MustParseAddr("198.51.100.20"), Device: "aws", ID: "vpn.agency-b.example"}}
	return c
}

// hostile is a connection of endpoints whose identities try to end what they stand in.
func hostile() ipsec.Connection {
	c := agencyB()
	c.Endpoints = nil
	for i, id := range []string{
		`a"b`, `a\"b`, `a\`, `a\n`, "a#b", "# a", "a}", "} x {", "a { b = c }", "a = b", "a, b", "include /etc/hosts", `" include /etc/hosts`,
		"0xdeadbeef", "0sAAAA", "${HOME}", "$(id)", "%any", "%any6", "*", "a:b", ": x", "secrets", "a;b", "a'b", "C=CH, O=x, CN=*", "@#abcd", "keyid:0x00", "{}",
	} {
		c.Endpoints = append(c.Endpoints, connection.Endpoint{Address: netip.AddrFrom4([4]byte{198, 18, 0, byte(i)}), Device: "other", ID: id})
	}
	return c
}

func kernel(connections ...ipsec.Connection) ipsec.Config {
	return ipsec.Config{
		Addresses:   []netip.Addr{netip.MustParseAddr(charontest.GatewaySegment)},
		DataPath:    connection.DataPathKernel,
		LogLevel:    1,
		Connections: connections,
	}
}

var _ = Describe("Loading what is rendered", func() {
	It("makes charon hold what was meant", func(ctx context.Context) {
		r := startRelease(kernel())
		r.load(ctx, kernel(agencyA(connection.IKEAuto), agencyB()), nil)

		conns := r.swanctl("--list-conns")
		Expect(conns).To(ContainSubstring("agency-a-198-51-100-10-ikev1: IKEv1, reauthentication every 25200s, dpd delay 10s"))
		Expect(conns).To(ContainSubstring("agency-a-198-51-100-10-ikev2: IKEv2, no reauthentication, rekeying every 82800s, dpd delay 10s"))
		Expect(conns).To(MatchRegexp(`10-20-0-0_26-to-10-150-0-0_16: TUNNEL, .*\n +local:  10\.20\.0\.0/26\n +remote: 10\.150\.0\.0/16\n`))
		Expect(conns).To(MatchRegexp(`all-pairs: TUNNEL, .*\n +local:  10\.20\.0\.0/26\n +remote: 10\.150\.0\.0/16 172\.30\.8\.0/22\n`))
		Expect(conns).To(ContainSubstring("id: vpn.agency-b.example"))
		Expect(conns).To(ContainSubstring("id: " + charontest.GatewayPublic))
		Expect(r.swanctl("--list-algs")).To(ContainSubstring("ML_KEM_1024"))
	})

	DescribeTable("means the same as the text that an engineer reads, which swanctl reads too",
		func(ctx context.Context, config ipsec.Config) {
			r := startRelease(kernel())
			r.load(ctx, config, nil)
			loaded := r.swanctl("--list-conns", "--raw")

			other := startRelease(kernel())
			rendered := other.render(config)
			other.write("swanctl.conf", rendered.Swanctl("secrets.conf"))
			other.write("secrets.conf", rendered.Secrets())
			other.swanctl("--load-all", "--file", other.path("swanctl.conf"))
			Expect(strings.Split(other.swanctl("--list-conns", "--raw"), "\n")).To(ConsistOf(strings.Split(loaded, "\n")))
			Expect(other.charon.Verify(ctx, rendered)).To(Succeed())
		},
		Entry("for two orgs", kernel(agencyA(connection.IKEAuto), agencyB())),
		Entry("whatever the identities hold", kernel(hostile())),
	)

	It("drops what no tunnel takes between segment and private networks", func(ctx context.Context) {
		r := startRelease(kernel())
		r.load(ctx, kernel(agencyA(connection.IKEv2)), nil)
		policies, err := exec.Command("ip", "-n", r.namespace, "xfrm", "policy").CombinedOutput()
		Expect(err).NotTo(HaveOccurred())
		for _, private := range []string{"10.150.0.0/16", "172.30.8.0/22"} {
			Expect(string(policies)).To(MatchRegexp(`src 10\.20\.0\.0/26 dst ` + private + ` \n\tdir out action block`))
			Expect(string(policies)).To(MatchRegexp(`src 10\.20\.0\.0/26 dst ` + private + ` \n\tdir fwd action block`))
			Expect(string(policies)).To(MatchRegexp(`src ` + private + ` dst 10\.20\.0\.0/26 \n\tdir fwd action block`))
		}
	})

	It("misses none of many drop policies", func(ctx context.Context) {
		r := startRelease(kernel())
		var many []ipsec.Connection
		for i := range 300 {
			c := agencyB()
			c.Org = fmt.Sprintf("agency-%d", i)
			c.PrivateNetworks = []netip.Prefix{netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 160 + byte(i/256), byte(i), 0}), 24)}
			c.Endpoints = []connection.Endpoint{{Address: netip.AddrFrom4([4]byte{198, 18, byte(i / 256), byte(i)}), Device: "aws", ID: fmt.Sprintf("vpn%d.example", i)}}
			many = append(many, c)
		}
		r.load(ctx, kernel(many...), nil)
		for range 10 {
			Expect(r.charon.Verify(ctx, r.render(kernel(many...)))).To(Succeed())
		}
	})

	It("touches only what changed", func(ctx context.Context) {
		r := startRelease(kernel())
		have, changes := r.load(ctx, kernel(agencyA(connection.IKEv2), agencyB()), nil)
		Expect(changes.Added).To(ConsistOf("agency-a-198-51-100-10-ikev2", "agency-a-drop", "agency-b-198-51-100-20-ikev2", "agency-b-drop"))

		have, changes = r.load(ctx, kernel(agencyA(connection.IKEv2), agencyB()), have)
		Expect(changes.Any()).To(BeFalse())

		wider := agencyB()
		wider.PrivateNetworks = append(wider.PrivateNetworks, netip.MustParsePrefix("10.170.0.0/16"))
		have, changes = r.load(ctx, kernel(agencyA(connection.IKEv2), wider), have)
		Expect(changes).To(Equal(vici.Changes{Changed: []string{"agency-b-198-51-100-20-ikev2", "agency-b-drop"}}))

		_, changes = r.load(ctx, kernel(agencyA(connection.IKEv2)), have)
		Expect(changes.Removed).To(ConsistOf("agency-b-198-51-100-20-ikev2", "agency-b-drop"))
		Expect(r.swanctl("--list-conns")).NotTo(ContainSubstring("agency-b"))
		Expect(r.charon.Verify(ctx, r.render(kernel(agencyB())))).To(MatchError(And(
			ContainSubstring("charon does not hold connection agency-b-198-51-100-20-ikev2"),
			ContainSubstring("charon does not hold key ike-agency-b-198-51-100-20"),
			ContainSubstring("the kernel does not hold the drop policy agency-b-drop/agency-b-drop"),
		)))
	})

	It("names what charon refuses, and gives it back what it had before: all or nothing", func(ctx context.Context) {
		r := startRelease(kernel())
		have, _ := r.load(ctx, kernel(agencyA(connection.IKEv2), agencyB()), nil)
		held := func() []string {
			return strings.Split(r.swanctl("--list-conns", "--raw")+r.swanctl("--list-pols"), "\n")
		}
		before := held()

		// The first changes and is taken, the drop policies change, one is added, and the last is refused.
		wider, broken := agencyA(connection.IKEv2), agencyB()
		wider.PrivateNetworks = append(wider.PrivateNetworks, netip.MustParsePrefix("10.170.0.0/16"))
		added := agencyB()
		added.Org, added.Endpoints = "agency-c", []connection.Endpoint{{Address: netip.MustParseAddr("198.51.100.30"), Device: "aws", ID: "vpn.agency-c.example"}}
		refused := r.render(kernel(wider, added, broken))
		for i, section := range refused.Connections {
			if section.Name == "agency-b-198-51-100-20-ikev2" {
				refused.Connections[i] = replaced(section, "proposals", "rot13")
			}
		}
		now, changes, err := r.charon.Load(ctx, refused, have)
		Expect(err).To(MatchError(And(ContainSubstring("loading connection agency-b-198-51-100-20-ikev2: charon refuses it"),
			ContainSubstring("invalid value for: proposals"), HaveSuffix("charon has again what it had"))))
		Expect(changes.Any()).To(BeFalse())
		Expect(slices.Collect(maps.Keys(now))).To(ConsistOf(slices.Collect(maps.Keys(have))))
		Expect(held()).To(ConsistOf(before))
		Expect(r.charon.Verify(ctx, r.render(kernel(agencyA(connection.IKEv2), agencyB())))).To(Succeed())

		By("also of what it was told by someone else, which it says it cannot undo")
		_, changes, err = r.charon.Load(ctx, refused, nil)
		Expect(err).To(MatchError(And(ContainSubstring("could not be brought back"),
			ContainSubstring("it is not known what connection agency-a-198-51-100-10-ikev2 was: charon keeps the new one"))))
		Expect(changes.Changed).To(ConsistOf("agency-a-198-51-100-10-ikev2", "agency-a-drop"))
		Expect(r.swanctl("--list-conns")).NotTo(ContainSubstring("agency-c"))
	})
})

// replaced is a section with another value of a setting.
func replaced(section ipsec.Section, key, value string) ipsec.Section {
	section.Settings = slices.Clone(section.Settings)
	for i, setting := range section.Settings {
		if setting.Key == key {
			section.Settings[i].Values = []string{value}
		}
	}
	return section
}
