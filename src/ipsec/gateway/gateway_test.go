package gateway_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"
	"golang.org/x/sys/unix"

	. "privnet/ipsec/charontest"
	"privnet/ipsec/vici"
)

const psk = PSK

// customer is a customer's swanctl.conf with one child a pair, and one for both.
func customer(version int, nat NAT, ike, esp string) string {
	local := Endpoint
	if nat.Customer {
		local = EndpointPrivate
	}
	var children strings.Builder
	for i, network := range []string{"10.150.0.0/16", "172.30.8.0/22"} {
		fmt.Fprintf(&children, "pair-%d {\n local_ts = %s\n remote_ts = 10.20.0.0/26\n esp_proposals = %s\n }\n", i, network, esp)
	}
	fmt.Fprintf(&children, "both {\n local_ts = 10.150.0.0/16, 172.30.8.0/22\n remote_ts = 10.20.0.0/26\n esp_proposals = %s\n }\n", esp)
	return fmt.Sprintf(`connections { platform {
  version = %d
  local_addrs = %s
  remote_addrs = %s
  proposals = %s
  local { auth = psk
    id = %s }
  remote { auth = psk
    id = %s }
  children { %s }
} }
secrets { ike-platform { id = %s
  secret = "%s" } }
`, version, local, GatewayPublic, ike, Endpoint, GatewayPublic, children.String(), GatewayPublic, psk)
}

const (
	modernIKE, modernESP         = "aes256gcm16-prfsha384-ecp384", "aes256gcm16-ecp384"
	compatibleIKE, compatibleESP = "aes256-sha256-modp2048", "aes256-sha256-modp2048"
)

var _ = Describe("A gateway", func() {
	DescribeTable("carries traffic on every pair after the customer initiated, and on none before",
		func(version int, ike, policy string, nat NAT, ikeProposal, espProposal string) {
			network := NewNetwork(nat)
			gateway := NewVM(network, Settings{"ike": ike, "policy": policy})
			session := gateway.Run()
			peer := StartCustomer(network, customer(version, nat, ikeProposal, espProposal))
			for _, service := range Services {
				Expect(network.Reaches(service)).To(BeFalse())
			}
			for i := range Services {
				peer.Swanctl("--initiate", "--child", fmt.Sprintf("pair-%d", i))
			}
			for _, service := range Services {
				Expect(network.Reaches(service)).To(BeTrue())
			}
			Expect(session.Out).To(gbytes.Say(`"org":"agency-a"`))
			Expect(string(session.Out.Contents())).NotTo(ContainSubstring(psk))
		},
		Entry("IKEv1, compatible", 1, "1", "compatible", NAT{}, compatibleIKE, compatibleESP),
		Entry("IKEv1, compatible, customer behind NAT", 1, "1", "compatible", NAT{Customer: true}, compatibleIKE, compatibleESP),
		Entry("IKEv1, compatible, gateway behind 1:1 NAT", 1, "1", "compatible", NAT{Gateway: true}, compatibleIKE, compatibleESP),
		Entry("IKEv1, compatible, both behind NAT", 1, "1", "compatible", NAT{Gateway: true, Customer: true}, "aes256-sha512-ecp384", "aes256-sha512-ecp384"),
		Entry("IKEv2, modern", 2, "2", "modern", NAT{}, modernIKE, modernESP),
		Entry("IKEv2, modern, customer behind NAT", 2, "2", "modern", NAT{Customer: true}, modernIKE, modernESP),
		Entry("IKEv2, modern, gateway behind 1:1 NAT", 2, "2", "modern", NAT{Gateway: true}, modernIKE, modernESP),
		Entry("IKEv2, compatible, both behind NAT", 2, "2", "compatible", NAT{Gateway: true, Customer: true}, compatibleIKE, compatibleESP),
		Entry("auto, the customer speaks IKEv1", 1, "auto", "compatible", NAT{}, compatibleIKE, compatibleESP),
		Entry("auto, the customer speaks IKEv2", 2, "auto", "compatible", NAT{}, modernIKE, modernESP),
	)

	Describe("with a tunnel that is up", func() {
		var (
			network Network
			gateway VM
			session *gexec.Session
			peer    Customer
		)
		BeforeEach(func() {
			network = NewNetwork(NAT{})
			gateway = NewVM(network, nil)
			session = gateway.Run()
			peer = StartCustomer(network, customer(2, NAT{}, modernIKE, modernESP))
			for i := range Services {
				peer.Swanctl("--initiate", "--child", fmt.Sprintf("pair-%d", i))
			}
		})
		sas := func() string { return peer.Swanctl("--list-sas") }

		It("keeps it over a reload that does not concern it", func() {
			before := sas()
			Expect(spis(before)).NotTo(BeEmpty())
			Expect(gateway.Do("reload").Out).To(gbytes.Say("no connection changed"))

			gateway.Configure(Settings{"endpoints": []Settings{
				{"address": Endpoint, "device": "strongswan"},
				{"address": "198.51.100.20", "device": "paloalto"},
			}}, Settings{"psk_a": psk, "psk_b": strings.ToUpper(psk) + "b", "active_psk": "b"})
			Expect(gateway.Do("reload").Out).To(gbytes.Say("added agency-a-198-51-100-20-ikev2"))
			Expect(spis(sas())).To(Equal(spis(before)))
			Expect(network.Reaches(Services[0])).To(BeTrue())
		})

		It("loses no packet of it while another is added, changed, given another key and removed", func() {
			first := Settings{"address": Endpoint, "device": "strongswan"}
			one := Settings{"psk_a": psk, "active_psk": "a"}
			traffic := network.StartStream(GatewaySegment, Services[0])
			for _, step := range []struct {
				second any
				keys   Settings
				want   string
			}{
				{Settings{"address": "198.51.100.20", "device": "paloalto"}, one, "added agency-a-198-51-100-20-ikev2"},
				{Settings{"address": "198.51.100.20", "device": "paloalto", "id": "vpn2.agency-a.example"}, one, "changed agency-a-198-51-100-20-ikev2"},
				{Settings{"address": "198.51.100.20", "device": "paloalto", "id": "vpn2.agency-a.example"},
					Settings{"psk_a": psk, "psk_b": nextPSK, "active_psk": "b"}, "no connection changed"},
				{nil, one, "removed agency-a-198-51-100-20-ikev2"},
			} {
				endpoints := []any{first}
				if step.second != nil {
					endpoints = append(endpoints, step.second)
				}
				gateway.Configure(Settings{"endpoints": endpoints}, step.keys)
				Expect(gateway.Do("reload").Out).To(gbytes.Say(step.want))
			}
			sent, answered := traffic.Stop()
			Expect(sent).To(BeNumerically(">", 0))
			Expect(answered).To(Equal(sent))
		})

		It("closes it on a reload that changes it, and takes the new one", func() {
			gateway.Configure(Settings{"private_networks": []string{"10.150.0.0/16"}}, Settings{"psk_a": psk, "active_psk": "a"})
			Expect(gateway.Do("reload").Out).To(gbytes.Say("changed agency-a-198-51-100-10-ikev2"))
			Expect(network.Reaches(Services[1])).To(BeFalse())
			peer.Swanctl("--initiate", "--child", "pair-0")
			Expect(network.Reaches(Services[0])).To(BeTrue())
		})

		It("keeps it when the new configuration is wrong", func() {
			before := sas()
			gateway.Configure(Settings{"policy": "default"}, Settings{"psk_a": psk, "active_psk": "a"})
			reload := gateway.Do("reload")
			Expect(reload).To(gexec.Exit(1))
			Expect(reload.Err).To(gbytes.Say(`policy: "default" must be one of compatible, modern, quantum-safe`))
			Expect(spis(sas())).To(Equal(spis(before)))
		})

		It("closes it on drain and tells the customer", func() {
			drain := gateway.Do("drain")
			Expect(drain).To(gexec.Exit(0))
			Expect(string(drain.Out.Contents())).To(Equal("0\n"))
			Expect(sas()).To(BeEmpty())
		})

		It("closes it on SIGTERM, tells the customer and ends without an error", func() {
			session.Terminate()
			Eventually(session, "10s").Should(gexec.Exit(0))
			Expect(sas()).To(BeEmpty())
		})

		It("does not open it again when the customer has closed it, whatever the apps send", func() {
			peer.Swanctl("--terminate", "--ike", "platform")
			for _, service := range Services {
				Expect(network.Reaches(service)).To(BeFalse())
			}
			Expect(sas()).To(BeEmpty())
		})

		It("takes charon with it when it is itself killed", func() {
			session.Kill()
			Eventually(session, "5s").Should(gexec.Exit())
			Eventually(func() string { return network.Exec(network.Gateway, "ss", "-Hlnu") }, "5s").ShouldNot(ContainSubstring(":4500"))
		})

		It("shows it to the prober", func(ctx context.Context) {
			looking, stop := context.WithCancel(ctx)
			defer stop()
			vici.Watch(looking, gateway.Path("view/vici.sock"), time.Second, func(update vici.Update) {
				defer stop()
				Expect(update.Err).NotTo(HaveOccurred())
				Expect(update.SAs).To(HaveLen(1))
				Expect(update.SAs[0].Children).To(HaveLen(len(Services)))
			})
		})

		It("shows its keys to nobody but root", func() {
			Expect(filepath.Walk(gateway.Path("data"), func(path string, info os.FileInfo, err error) error {
				Expect(err).NotTo(HaveOccurred())
				Expect(info.Mode().Perm()&0o007).To(BeZero(), path)
				return nil
			})).To(Succeed())
			info, err := os.Stat(gateway.Path("data/swanctl/secrets.conf"))
			Expect(err).NotTo(HaveOccurred())
			Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))
			swanctl, err := os.ReadFile(gateway.Path("data/swanctl/swanctl.conf"))
			Expect(err).NotTo(HaveOccurred())
			Expect(string(swanctl)).NotTo(ContainSubstring("secret ="))
		})

		It("shows no key in arguments, environment or core dumps, and charon keeps one capability", func() {
			pids, err := exec.Command("ip", "netns", "pids", network.Gateway).Output()
			Expect(err).NotTo(HaveOccurred())
			charons := 0
			for _, pid := range strings.Fields(string(pids)) {
				of := func(name string) string {
					data, err := os.ReadFile("/proc/" + pid + "/" + name)
					Expect(err).NotTo(HaveOccurred())
					return string(data)
				}
				Expect(of("cmdline") + of("environ")).NotTo(ContainSubstring(psk))
				Expect(of("limits")).To(MatchRegexp(`Max core file size +0 +0 `), of("cmdline"))
				if of("comm") == "charon\n" {
					charons++
					Expect(of("status")).To(MatchRegexp(`CapEff:\s+%016x\n`, 1<<unix.CAP_NET_ADMIN))
				}
			}
			Expect(charons).To(Equal(1))
		})
	})

	DescribeTable("knows a customer by the identity that it declared, whatever its address",
		func(version int, ike, id, spelled string) {
			nat := NAT{Customer: true}
			network := NewNetwork(nat)
			NewVM(network, Settings{"ike": ike, "policy": "compatible",
				"endpoints": []Settings{{"address": Endpoint, "device": "meraki", "id": id}}}).Run()
			configuration := customer(version, nat, compatibleIKE, compatibleESP)
			peer := StartCustomer(network, strings.Replace(configuration, "id = "+Endpoint, "id = "+spelled, 1))
			peer.Swanctl("--initiate", "--child", "pair-0")
			Expect(network.Reaches(Services[0])).To(BeTrue())
		},
		Entry("a name, IKEv1", 1, "1", "vpn.agency-a.example", "fqdn:vpn.agency-a.example"),
		Entry("a name, IKEv2", 2, "2", "vpn.agency-a.example", "fqdn:vpn.agency-a.example"),
		Entry("its private address, IKEv1", 1, "1", EndpointPrivate, EndpointPrivate),
		Entry("a key id, IKEv2", 2, "2", "keyid:branch-7", "keyid:branch-7"),
	)

	It("turns away a customer with another key", func() {
		network := NewNetwork(NAT{})
		session := NewVM(network, nil).Run()
		peer := StartCustomer(network, strings.Replace(customer(2, NAT{}, modernIKE, modernESP), psk, strings.ToUpper(psk), 1))
		Expect(peer.Try("--initiate", "--child", "pair-0")).NotTo(Succeed())
		Eventually(session.Out).Should(gbytes.Say("tried 1 shared key for .* but MAC mismatched"))
	})

	It("drops with the kernel's data path what no tunnel takes, from the start", func() {
		network := Network{Gateway: Namespace("gw")}
		NewVM(network, Settings{"data_path": "kernel"}).Run()
		Expect(network.Exec(network.Gateway, "ip", "xfrm", "policy")).To(ContainSubstring("dst 10.150.0.0/16 \n\tdir fwd action block"))
	})

	It("makes the TUN device of the userland data path in a /dev that lacks it, as bpm's does", func() {
		network := NewNetwork(NAT{})
		gateway := NewVM(network, nil)
		gateway.Container = []string{"unshare", "--mount", "bash", "-ec", `mount -t tmpfs -o mode=755,noexec,nosuid tmpfs /dev
			mknod -m 666 /dev/null c 1 3; mknod -m 666 /dev/random c 1 8; mknod -m 666 /dev/urandom c 1 9; exec "$@"`, "bpm"}
		gateway.Run()
		StartCustomer(network, customer(2, NAT{}, modernIKE, modernESP)).Swanctl("--initiate", "--child", "both")
		Expect(network.Reaches(Services[0])).To(BeTrue())
	})

	It("takes a new log level on a reload", func() {
		gateway := NewVM(Network{Gateway: Namespace("gw")}, nil)
		session := gateway.Run()
		gateway.Configure(Settings{"log_level": 2}, Settings{"psk_a": psk, "active_psk": "a"})
		Expect(gateway.Do("reload")).To(gexec.Exit(0))
		gateway.Do("ready")
		Eventually(session.Out).Should(gbytes.Say(`"charon_level":2`))
	})

	It("negotiates ML-KEM with a peer of its own version", func() {
		network := NewNetwork(NAT{})
		NewVM(network, Settings{"policy": "quantum-safe"}).Run()
		peer := StartReleaseCustomer(network, customer(2, NAT{},
			"aes256gcm16-prfsha384-ecp384-ke1_mlkem768", "aes256gcm16-ecp384-ke1_mlkem768"))
		peer.Swanctl("--initiate", "--child", "pair-0")
		Expect(peer.Swanctl("--list-sas")).To(ContainSubstring("KE1_ML_KEM_768"))
		Expect(network.Reaches(Services[0])).To(BeTrue())
	})

	DescribeTable("needs no cryptography but OpenSSL's, which FIPS asks for",
		func(version int, ike, ikeProposal, espProposal string) {
			network := NewNetwork(NAT{})
			NewVM(network, Settings{"ike": ike, "policy": "compatible"}).Run()
			peer := StartOpenSSLCustomer(network, customer(version, NAT{}, ikeProposal, espProposal))
			peer.Swanctl("--initiate", "--child", "pair-0")
			Expect(network.Reaches(Services[0])).To(BeTrue())
		},
		Entry("IKEv1", 1, "1", compatibleIKE, compatibleESP),
		Entry("IKEv2", 2, "2", modernIKE, modernESP),
	)

	It("does not start with fips where OpenSSL has no FIPS provider", func() {
		if exec.Command("openssl", "list", "-providers", "-provider", "fips").Run() == nil {
			Skip("this machine's OpenSSL has a FIPS provider")
		}
		gateway := NewVM(Network{Gateway: Namespace("gw")}, Settings{"fips": true})
		for _, command := range []string{"check", "run"} {
			session := gateway.Do(command)
			Expect(session).To(gexec.Exit(1))
			Expect(session.Err).To(gbytes.Say("fips: true needs OpenSSL's FIPS provider"))
		}
	})

	It("refuses a wrong configuration before anything is started, with everything that is wrong", func() {
		gateway := NewVM(Network{Gateway: Namespace("gw")}, Settings{"ike": "3", "addresses": []string{"10.20.0.9"}})
		gateway.Configure(Settings{"ike": "3", "addresses": []string{"10.20.0.9"}}, Settings{"psk_a": "changeme", "active_psk": "a"})
		for _, command := range []string{"check", "run"} {
			session := gateway.Do(command)
			Expect(session).To(gexec.Exit(1))
			Expect(string(session.Err.Contents())).To(And(
				ContainSubstring(`ike: "3" must be one of 1, 2, auto`),
				ContainSubstring("10.20.0.9: none is the address of a gateway (10.20.0.4)"),
				ContainSubstring("psk_a: is a placeholder; make a new one with: credhub regenerate -n /DIRECTOR/DEPLOYMENT/private-network-agency-a-psk"),
				Not(ContainSubstring("changeme")),
			))
		}
		Expect(gateway.Path("data")).NotTo(BeADirectory())
	})

	It("is not ready without charon, and says so", func() {
		session := NewVM(Network{Gateway: Namespace("gw")}, nil).Do("ready", "--timeout", "300ms")
		Expect(session).To(gexec.Exit(1))
		Expect(session.Err).To(gbytes.Say("the gateway is not ready: connecting to charon"))
	})

	It("has nothing to drain without charon", func() {
		session := NewVM(Network{Gateway: Namespace("gw")}, nil).Do("drain")
		Expect(session).To(gexec.Exit(0))
		Expect(string(session.Out.Contents())).To(Equal("0\n"))
	})

	It("explains itself, and exits with 2 on wrong usage", func() {
		gateway := NewVM(Network{Gateway: Namespace("gw")}, nil)
		Expect(gateway.Do("check").Out).To(gbytes.Say("org agency-a: gateway 203.0.113.10"))
		Expect(gateway.Do("check", "--help").Out).To(gbytes.Say("start nothing"))
		Expect(gateway.Do("check", "--bogus")).To(gexec.Exit(2))
		Expect(gateway.Do("bogus")).To(gexec.Exit(2))
	})
})

// spis are the SPIs in what swanctl lists: they are the same as long as the SAs are.
func spis(list string) []string {
	return regexp.MustCompile(`[0-9a-f]{8,16}_[io]|\b(in|out) +[0-9a-f]{8}`).FindAllString(list, -1)
}
