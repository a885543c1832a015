package faults_test

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/doctor"
	"privnet/doctor/signature"
	. "privnet/ipsec/charontest"
)

// fault is one thing that is wrong.
type fault struct {
	name string
	// versions are those of IKE in which it can be.
	versions string
	// peer changes what the customer has configured, bench what the gateway has, both does both.
	peer  func(p *peer)
	bench settings
	both  func(p *peer, s *settings)
	// before is done before the customer tries, after when its tunnel stands.
	before, after func(b *bench)
	// silent says that the customer does not try, or has tried before.
	silent    bool
	parameter signature.Parameter
	side      signature.Side
	// warning says that the tunnel works all the same, beside is what is worth knowing besides.
	warning bool
	beside  signature.Parameter
}

// edited is a peer with something else in its configuration.
func edited(words ...string) func(p *peer) { return func(p *peer) { p.edit = words } }

// each does the same to every child.
func each(list *[]string, value string) {
	for i := range *list {
		(*list)[i] = value
	}
}

var faults = []fault{
	// Phase 1.
	{name: "phase 1 encryption AES-128", versions: "12", peer: func(p *peer) { p.ike = "aes128-sha256-modp2048" }, parameter: signature.IKEEncryption, side: signature.Customer},
	{name: "phase 1 encryption 3DES", versions: "12", peer: func(p *peer) { p.ike = "3des-sha256-modp2048" }, parameter: signature.IKEEncryption, side: signature.Customer},
	{name: "phase 1 hash SHA-1", versions: "12", peer: func(p *peer) { p.ike = "aes256-sha1-modp2048" }, parameter: signature.IKEHash, side: signature.Customer},
	{name: "phase 1 hash MD5", versions: "12", peer: func(p *peer) { p.ike = "aes256-md5-modp2048" }, parameter: signature.IKEHash, side: signature.Customer},
	{name: "phase 1 PRF SHA-1", versions: "2", peer: func(p *peer) { p.ike = "aes256-sha256-prfsha1-modp2048" }, parameter: signature.IKEPRF, side: signature.Customer},
	{name: "phase 1 group 2", versions: "12", peer: func(p *peer) { p.ike = "aes256-sha256-modp1024" }, parameter: signature.IKEGroup, side: signature.Customer},
	{name: "phase 1 group 5", versions: "12", peer: func(p *peer) { p.ike = "aes256-sha256-modp1536" }, parameter: signature.IKEGroup, side: signature.Customer},
	{name: "IKEv1 to a gateway of IKEv2", versions: "1", bench: settings{ike: "2"}, parameter: signature.IKEVersion, side: signature.Customer},
	{name: "IKEv2 to a gateway of IKEv1", versions: "2", bench: settings{ike: "1"}, parameter: signature.IKEVersion, side: signature.Customer},
	{name: "aggressive mode", versions: "1", peer: func(p *peer) { p.aggressive = true }, parameter: signature.ExchangeMode, side: signature.Customer},
	{name: "another source address", versions: "12", peer: func(p *peer) { p.source = "198.51.100.77" }, parameter: signature.SourceAddress, side: signature.Customer},
	// Identity and key.
	{name: "a wrong key", versions: "12", peer: func(p *peer) { p.key = "wrong" + key }, parameter: signature.PreSharedKey, side: signature.Customer},
	{name: "a key with a blank at its end", versions: "12", peer: func(p *peer) { p.key = key + " " }, parameter: signature.PreSharedKey, side: signature.Customer},
	{name: "an identity of type FQDN", versions: "12", peer: func(p *peer) { p.id = "fqdn:vpn.agency.example" }, parameter: signature.OwnIdentityType, side: signature.Customer},
	{name: "an identity of type e-mail", versions: "12", peer: func(p *peer) { p.id = "email:vpn@agency.example" }, parameter: signature.OwnIdentityType, side: signature.Customer},
	{name: "an identity of type key id", versions: "12", peer: func(p *peer) { p.id = "keyid:agency" }, parameter: signature.OwnIdentityType, side: signature.Customer},
	{name: "its private address as identity", versions: "12", peer: func(p *peer) { p.id = "192.168.1.5" }, parameter: signature.OwnIdentityValue, side: signature.Customer},
	{name: "the gateway's private address as peer identity", versions: "12", peer: func(p *peer) { p.gatewayID = GatewaySegment }, parameter: signature.PeerIdentity, side: signature.Customer},
	{name: "a name as peer identity", versions: "12", peer: func(p *peer) { p.gatewayID = "fqdn:gateway.example" }, parameter: signature.PeerIdentity, side: signature.Customer},
	{name: "a distinguished name as identity", versions: "12", peer: func(p *peer) { p.id = `"C=AU, O=Agency A, CN=vpn"` }, parameter: signature.OwnIdentityType, side: signature.Customer},
	{name: "a key id that reads like the agreed address", versions: "12", peer: func(p *peer) { p.id = "keyid:" + Endpoint }, parameter: signature.OwnIdentityType, side: signature.Customer},
	{name: "a peer identity that reads like the gateway's address", versions: "1", peer: func(p *peer) { p.gatewayID = "keyid:" + GatewayPublic }, parameter: signature.PeerIdentity, side: signature.Customer},
	{name: "a peer identity that reads like the gateway's address", versions: "2", peer: func(p *peer) { p.gatewayID = "keyid:" + GatewayPublic }, parameter: signature.OwnIdentityType, side: signature.Customer},
	{name: "no key for this gateway", versions: "1", peer: edited("ike-platform { id = "+GatewayPublic, "ike-platform { id = 192.0.2.9"), parameter: signature.PreSharedKey, side: signature.Customer},
	{name: "a user's password besides the key", versions: "1", peer: edited("remote { auth", "local-user { auth = xauth }\n remote { auth"), parameter: signature.AuthMethod, side: signature.Customer},
	{name: "EAP instead of a key", versions: "2", peer: edited("local { auth = psk", "local { auth = eap"), parameter: signature.AuthMethod, side: signature.Customer},
	{name: "hammering with a wrong key", versions: "12", peer: func(p *peer) { p.key = "wrong" + key },
		before: func(b *bench) {
			for range 4 {
				_ = b.customer.Try("--initiate", "--child", "pair-0", "--timeout", "1")
			}
		}, parameter: signature.PreSharedKey, side: signature.Customer},
	// Certificates.
	{name: "a certificate that has ended", versions: "12", both: certified(func(agency Authority) Pair { return agency.IssueFrom(inDays(-30), inDays(-1), customerName) }), parameter: signature.Certificate, side: signature.Customer},
	{name: "a clock that is ahead: a certificate that is not valid yet", versions: "12", both: certified(func(agency Authority) Pair { return agency.IssueFrom(inDays(1), inDays(30), customerName) }), parameter: signature.Clock, side: signature.Customer},
	{name: "a certificate of another CA", versions: "12", both: certified(func(Authority) Pair { return authorities().platform.Issue(inDays(60), customerName) }), parameter: signature.CertificateCA, side: signature.Customer},
	{name: "a certificate of another name", versions: "2", both: certified(func(agency Authority) Pair { return agency.Issue(inDays(60), "other.agency-a.example") }), parameter: signature.CertificateName, side: signature.Customer},
	{name: "a certificate that is revoked", versions: "12", both: func(p *peer, s *settings) {
		certified(valid)(p, s)
		s.gateway = object{"endpoint_crl": authorities().agency.Revoke(*p.certificate)}
	}, parameter: signature.Revoked, side: signature.Customer},
	{name: "a customer that does not know the gateway's CA", versions: "12", both: func(p *peer, s *settings) { certified(valid)(p, s); s.distrusted = true }, parameter: signature.GatewayTrust, side: signature.Customer},
	{name: "a certificate instead of a key", versions: "12", both: func(p *peer, s *settings) {
		certified(func(agency Authority) Pair { return agency.Issue(inDays(60), Endpoint) })(p, s)
		p.id, s.byKey = Endpoint, true
	}, parameter: signature.AuthMethod, side: signature.Customer},
	{name: "a key instead of a certificate", versions: "12", both: func(p *peer, s *settings) {
		certified(valid)(p, s)
		p.byKey = true
	}, parameter: signature.AuthMethod, side: signature.Customer},
	// Lifetimes, and what happens once the tunnel stands.
	{name: "a phase 2 lifetime longer than the gateway's", versions: "1", peer: func(p *peer) { p.life = "24h" }, parameter: signature.ESPLifetime, side: signature.Customer, warning: true},
	{name: "a phase 2 lifetime of a minute", versions: "12", after: func(b *bench) { b.rekey(6) }, parameter: signature.ESPLifetime, side: signature.Customer, warning: true},
	{name: "a phase 1 lifetime of a minute", versions: "12", after: func(b *bench) { b.renew(6) }, parameter: signature.IKELifetime, side: signature.Customer, warning: true},
	{name: "a device that closes the tunnel whenever it is idle", versions: "12", after: func(b *bench) {
		for range 4 {
			b.customer.Swanctl("--terminate", "--ike", "platform")
			Expect(b.initiate()).To(Succeed())
		}
		b.logs("received DELETE for IKE_SA", 4)
	}, parameter: signature.IdleTimeout, side: signature.Customer, warning: true},
	{name: "a key that was changed under a tunnel that stands", versions: "1", after: func(b *bench) {
		b.peer.key = "wrong" + key
		b.customer.Configure(b.peer.configuration())
		b.customer.Swanctl("--rekey", "--ike", "platform")
		b.logs("decryption failed?", 1)
	}, parameter: signature.PreSharedKey, side: signature.Customer},
	{name: "two devices with one identity", versions: "12", bench: settings{nat: NAT{Customer: true}}, after: func(b *bench) {
		// Each finds its tunnel dead, and makes it anew.
		second := b.secondBox()
		for _, box := range []Customer{second, b.customer, second, b.customer} {
			_ = box.Try("--terminate", "--ike", "platform", "--force", "--timeout", "1")
			for i := range b.peer.local {
				_ = box.Try("--initiate", "--child", fmt.Sprintf("pair-%d", i), "--timeout", "5")
			}
		}
	}, parameter: signature.OneBox, side: signature.Customer, warning: true},
	{name: "attempts without a pause", versions: "1", peer: func(p *peer) { p.copies, p.key = 25, "wrong"+key }, before: func(b *bench) { b.hammer() },
		silent: true, parameter: signature.PreSharedKey, side: signature.Customer, beside: signature.Retries},
	{name: "attempts without a pause", versions: "2", peer: func(p *peer) { p.copies = 25 }, before: func(b *bench) {
		b.block("-d " + GatewayPublic + " -p udp --dport 4500")
		b.hammer()
	}, silent: true, parameter: signature.RequestsOn4500, side: signature.Between, beside: signature.Retries},
	// Phase 2.
	{name: "phase 2 encryption AES-128", versions: "12", peer: func(p *peer) { p.esp = "aes128-sha256-modp2048" }, parameter: signature.ESPEncryption, side: signature.Customer},
	{name: "phase 2 encryption 3DES", versions: "12", peer: func(p *peer) { p.esp = "3des-sha256-modp2048" }, parameter: signature.ESPEncryption, side: signature.Customer},
	{name: "phase 2 hash SHA-1", versions: "12", peer: func(p *peer) { p.esp = "aes256-sha1-modp2048" }, parameter: signature.ESPHash, side: signature.Customer},
	{name: "phase 2 group 2", versions: "1", peer: func(p *peer) { p.esp = "aes256-sha256-modp1024" }, parameter: signature.ESPGroup, side: signature.Customer},
	{name: "no PFS", versions: "1", peer: func(p *peer) { p.esp = "aes256-sha256" }, parameter: signature.ESPGroup, side: signature.Customer},
	{name: "no PFS, at the first rekeying", versions: "2", peer: func(p *peer) { p.esp = "aes256-sha256" },
		after: func(b *bench) { _ = b.customer.Try("--rekey", "--child", "pair-0") }, parameter: signature.ESPGroup, side: signature.Customer},
	{name: "phase 2 group 2, at the first rekeying", versions: "2", peer: func(p *peer) { p.esp = "aes256-sha256-modp1024" },
		after: func(b *bench) { _ = b.customer.Try("--rekey", "--child", "pair-0") }, parameter: signature.ESPGroup, side: signature.Customer},
	{name: "extended sequence numbers", versions: "12", peer: func(p *peer) { p.esp += "-esn" }, parameter: signature.ESPSequence, side: signature.Customer},
	{name: "AH instead of ESP", versions: "12", peer: edited("esp_proposals = aes256-sha256", "ah_proposals = sha256"), parameter: signature.ESPMode, side: signature.Customer},
	{name: "transport mode", versions: "12", peer: func(p *peer) {
		p.edit = []string{"esp_proposals", "mode = transport\n esp_proposals"}
		p.local, p.remote = []string{Endpoint}, []string{GatewayPublic}
	}, parameter: signature.ESPMode, side: signature.Customer},
	{name: "a request for a virtual address", versions: "2", peer: edited("local_addrs", "vips = 0.0.0.0\n local_addrs"), parameter: signature.VirtualAddress, side: signature.Customer},
	{name: "a hash cut to 96 bits in IP protocol 50", versions: "2", bench: settings{kernel: true}, peer: edited("esp_proposals", "sha256_96 = yes\n esp_proposals"),
		after: func(b *bench) { b.use() }, parameter: signature.ESPHash, side: signature.Customer},
	{name: "swapped selectors", versions: "12", peer: func(p *peer) { each(&p.local, "10.20.0.0/26"); each(&p.remote, "10.150.0.0/16") }, parameter: signature.Selectors, side: signature.Customer},
	{name: "another private network", versions: "12", peer: func(p *peer) { each(&p.local, "10.99.0.0/16") }, parameter: signature.PrivateSelector, side: signature.Customer},
	{name: "another segment", versions: "12", peer: func(p *peer) { each(&p.remote, "10.21.0.0/26") }, parameter: signature.SegmentSelector, side: signature.Customer},
	{name: "a single host of each private network", versions: "12", peer: func(p *peer) {
		p.local = []string{"10.150.0.1/32", "172.30.8.1/32"}[:len(p.local)]
		if p.version == 2 {
			p.local = []string{"10.150.0.1/32,172.30.8.1/32"}
		}
	}, parameter: signature.PrivateSelector, side: signature.Customer},
	{name: "a part of a private network", versions: "12", peer: func(p *peer) {
		p.local[0] = map[int]string{1: "10.150.0.0/24", 2: "10.150.0.0/24,172.30.8.0/22"}[p.version]
	}, parameter: signature.PrivateSelector, side: signature.Customer},
	{name: "a part of the segment", versions: "12", peer: func(p *peer) { each(&p.remote, "10.20.0.0/28") }, parameter: signature.SegmentSelector, side: signature.Customer},
	{name: "one port only", versions: "12", peer: func(p *peer) {
		p.local[0] = map[int]string{1: "10.150.0.0/16[tcp/8443]", 2: "10.150.0.0/16[tcp/8443],172.30.8.0/22"}[p.version]
	}, parameter: signature.PrivateSelector, side: signature.Customer},
	{name: "a pair too few", versions: "1", peer: func(p *peer) { p.local, p.remote = p.local[:1], p.remote[:1] }, parameter: doctor.PairMissing, side: signature.Customer},
	{name: "a network too few", versions: "2", peer: func(p *peer) { p.local[0] = "10.150.0.0/16" }, parameter: doctor.PairMissing, side: signature.Customer},
	{name: "0.0.0.0/0 for all", versions: "1", peer: func(p *peer) {
		p.local, p.remote = []string{"0.0.0.0/0"}, []string{"0.0.0.0/0"}
	}, parameter: doctor.PairMissing, side: signature.Customer},
	{name: "a network too many", versions: "1", peer: func(p *peer) { p.local, p.remote = append(p.local, "10.99.0.0/16"), append(p.remote, p.remote[0]) }, parameter: signature.PrivateSelector, side: signature.Customer, warning: true},
	// The way between.
	{name: "a customer that does not initiate", versions: "12", silent: true, parameter: doctor.NoPackets, side: signature.Customer},
	{name: "UDP 500 to the gateway blocked", versions: "12", before: func(b *bench) { b.block("-d " + GatewayPublic + " -p udp --dport 500") }, parameter: doctor.NoPackets, side: signature.Customer},
	{name: "UDP 500 from the gateway blocked", versions: "12", before: func(b *bench) {
		b.block("-s " + GatewayPublic + " -p udp --sport 500")
		_ = b.customer.Try("--initiate", "--child", "pair-0", "--timeout", "13")
	}, silent: true, parameter: signature.AnswersOn500, side: signature.Between},
	{name: "UDP 4500 to the gateway blocked", versions: "12", before: func(b *bench) { b.block("-d " + GatewayPublic + " -p udp --dport 4500") }, parameter: signature.RequestsOn4500, side: signature.Between},
	{name: "UDP 4500 from the gateway blocked", versions: "12", before: func(b *bench) {
		b.block("-s " + GatewayPublic + " -p udp --sport 4500")
		_ = b.customer.Try("--initiate", "--child", "pair-0", "--timeout", "13")
	}, silent: true, parameter: signature.AnswersOn4500, side: signature.Between},
	{name: "a path that swallows large IKE packets", versions: "2", both: certified(valid), before: func(b *bench) {
		b.block("-d " + GatewayPublic + " -p udp -m length --length 1000:")
	}, parameter: signature.LargePackets, side: signature.Between},
	{name: "a tunnel that the gateway's restart ended", versions: "12", after: func(b *bench) { b.restart(); b.use() }, parameter: doctor.DeadPeer, side: signature.Customer},
	{name: "a tunnel that the gateway's restart ended, and a device that looks for it", versions: "12",
		peer: edited("aggressive", "dpd_delay = 1s\n aggressive"), after: func(b *bench) { b.restart() }, parameter: doctor.DeadPeer, side: signature.Customer},
	{name: "NAT without NAT traversal", versions: "1", bench: settings{nat: NAT{Customer: true}}, before: func(b *bench) { b.withoutNATTraversal() }, parameter: signature.NATTraversal, side: signature.Customer},
	{name: "ESP to the gateway blocked", versions: "12", after: func(b *bench) { b.block("-d " + GatewayPublic + " -p udp --dport 4500 -m u32 ! --u32 0>>22&0x3C@8=0") }, parameter: doctor.NoAnswer, side: signature.Customer},
	{name: "ESP from the gateway blocked", versions: "12", after: func(b *bench) { b.block("-s " + GatewayPublic + " -p udp --sport 4500 -m u32 ! --u32 0>>22&0x3C@8=0") }, parameter: doctor.NoAnswer, side: signature.Customer},
	{name: "IP protocol 50 to the gateway blocked", versions: "1", bench: settings{kernel: true}, after: func(b *bench) { b.block("-d " + GatewayPublic + " -p esp") }, parameter: doctor.NoAnswer, side: signature.Customer},
	{name: "IP protocol 50 from the gateway blocked", versions: "2", bench: settings{kernel: true}, after: func(b *bench) { b.block("-s " + GatewayPublic + " -p esp") }, parameter: doctor.NoAnswer, side: signature.Customer},
	{name: "a path that swallows large packets", versions: "12", after: func(b *bench) { b.block("-p udp -m length --length 1300:") }, parameter: doctor.MTU, side: signature.Between},
	// Behind the endpoint.
	{name: "their firewall drops what comes out of the tunnel", versions: "12", after: func(b *bench) { b.in(b.network.Customer, "iptables -w -I INPUT -s 10.20.0.0/26 -j DROP") }, parameter: doctor.NoAnswer, side: signature.Customer},
	{name: "no route back into the tunnel", versions: "12", after: func(b *bench) {
		b.in(b.network.Customer, "ip rule add to 10.20.0.0/26 priority 10 blackhole")
	}, parameter: doctor.NoAnswer, side: signature.Customer},
	{name: "no way back for one network", versions: "12", after: func(b *bench) {
		b.in(b.network.Customer, "ip rule add from 172.30.8.0/22 to 10.20.0.0/26 priority 10 blackhole")
	}, parameter: doctor.NoAnswer, side: signature.Customer},
	{name: "a service that is down", versions: "12", after: func(b *bench) { _ = b.stopService() }, parameter: doctor.ServiceThere, side: signature.Customer},
	{name: "a service whose firewall is closed", versions: "12", after: func(b *bench) { b.in(b.network.Customer, "iptables -w -I INPUT -p tcp --dport 8443 -j DROP") }, parameter: doctor.ServiceThere, side: signature.Customer},
	// Our own side.
	{name: "our firewall drops IKE on its way in", versions: "12", before: func(b *bench) {
		b.in(b.network.Gateway, "iptables -w -I INPUT -p udp --dport 500 -j DROP")
		// Only the wire shows it, so the customer must try while the doctor listens.
		go func() {
			for range 5 {
				_ = b.customer.Try("--initiate", "--child", "pair-0", "--timeout", "1")
				_ = b.customer.Try("--terminate", "--ike", "platform", "--force", "--timeout", "1")
			}
		}()
	}, silent: true, parameter: signature.GatewayFirewall, side: signature.Platform},
	{name: "our firewall drops IKE on its way out", versions: "12", before: func(b *bench) { b.in(b.network.Gateway, "iptables -w -I OUTPUT -p udp --sport 500 -j DROP") }, parameter: signature.GatewayFirewall, side: signature.Platform},
	{name: "our firewall drops ESP on its way in", versions: "12", after: func(b *bench) {
		b.in(b.network.Gateway, "iptables -w -I INPUT -p udp --dport 4500 -m u32 ! --u32 0>>22&0x3C@8=0 -j DROP")
	}, parameter: signature.GatewayFirewall, side: signature.Platform},
	{name: "our firewall drops IP protocol 50 on its way out", versions: "2", bench: settings{kernel: true}, after: func(b *bench) { b.in(b.network.Gateway, "iptables -w -I OUTPUT -p esp -j DROP") }, parameter: signature.GatewayFirewall, side: signature.Platform},
	{name: "the gateway's process gone", versions: "12", after: func(b *bench) { b.process.Kill().Wait("5s") }, parameter: doctor.ServiceHere, side: signature.Platform},
	{name: "the egress rules gone", versions: "12", after: func(b *bench) { b.enforcer(false) }, parameter: doctor.Rules, side: signature.Platform},
	{name: "an enforcer that says nothing", versions: "12", after: func(b *bench) { Expect(os.Remove(b.path("enforcer.json"))).To(Succeed()) }, parameter: doctor.Rules, side: signature.Platform},
	{name: "a charon that lost its connections", versions: "12", before: func(b *bench) { b.unload() }, parameter: signature.GatewayConnection, side: signature.Platform},
	{name: "a key that waits for a reload", versions: "12", after: func(b *bench) { b.write("psk.json", object{"psk_a": "new" + key, "active_psk": "a"}) }, parameter: signature.GatewayConnection, side: signature.Platform},
	{name: "a configuration that waits for a reload", versions: "12", after: func(b *bench) {
		b.gateway["log_level"] = 0
		b.write("gateway.json", b.gateway)
	}, parameter: signature.GatewayConnection, side: signature.Platform},
	{name: "no forwarding", versions: "12", after: func(b *bench) { b.in(b.network.Gateway, "sysctl -qw net.ipv4.ip_forward=0") }, parameter: doctor.Forwarding, side: signature.Platform},
	{name: "a wrong configuration", versions: "12", after: func(b *bench) {
		b.write("gateway.json", object{"ike": "3"})
	}, parameter: doctor.Configuration, side: signature.Platform},
	{name: "a certificate of ours that is not valid yet", versions: "12", both: func(p *peer, s *settings) { certified(valid)(p, s); s.early = true }, parameter: doctor.Configuration, side: signature.Platform},
	{name: "the gateway's address gone", versions: "12", after: func(b *bench) { b.in(b.network.Gateway, "ip address del "+GatewaySegment+"/26 dev net0") }, parameter: doctor.Interface, side: signature.Platform},
}

var _ = Describe("The doctor names exactly", func() {
	for _, f := range faults {
		for _, digit := range f.versions {
			version := int(digit - '0')
			It(fmt.Sprintf("%s (IKEv%d)", f.name, version), Label(fmt.Sprintf("%s IKEv%d", catalogue, version)), func() {
				p := healthyPeer(version)
				s := f.bench
				if f.peer != nil {
					f.peer(&p)
				}
				if f.both != nil {
					f.both(&p, &s)
				}
				b := newBench(p, s)
				if f.before != nil {
					f.before(b)
				}
				switch {
				case f.after != nil:
					Expect(b.initiate()).To(Succeed())
					f.after(b)
				case !f.silent:
					_ = b.fail()
				}
				// Longer than a customer's charon waits before it repeats a packet again.
				listen := map[signature.Parameter]string{doctor.NoPackets: "1s", doctor.DeadPeer: "3s"}[f.parameter]
				report, code := b.ask("--listen", cmp.Or(listen, "20s"))
				Expect(report.Problems).NotTo(BeEmpty())
				var named, beside []string
				for _, problem := range report.Problems {
					if problem.Warning == f.warning {
						named = append(named, string(problem.Parameter)+", "+string(problem.Side))
					} else {
						beside = append(beside, string(problem.Parameter))
					}
					Expect(problem.Change).NotTo(BeEmpty())
					Expect(problem.Message != "").To(Equal(problem.Side != signature.Platform))
				}
				// What is wrong with two pairs in the same way is named twice.
				Expect(slices.Compact(named)).To(Equal([]string{string(f.parameter) + ", " + string(f.side)}))
				Expect(strings.Join(beside, ", ")).To(Equal(string(f.beside)))
				Expect(code).To(Equal(map[bool]int{false: 1, true: 0}[f.warning]))
				Expect(report.UnknownLines).To(BeEmpty())
			})
		}
	}
})

var _ = Describe("Of two faults, the doctor names", func() {
	names := func(b *bench) []signature.Parameter {
		GinkgoHelper()
		report, _ := b.ask()
		var out []signature.Parameter
		for _, problem := range report.Problems {
			out = append(out, problem.Parameter)
		}
		return out
	}
	for _, version := range []int{1, 2} {
		It(fmt.Sprintf("both where one exchange shows both (IKEv%d)", version), func() {
			p := healthyPeer(version)
			p.ike = "aes256-sha1-modp1024"
			b := newBench(p, settings{})
			Expect(b.fail()).NotTo(Succeed())
			Expect(names(b)).To(Equal([]signature.Parameter{signature.IKEHash, signature.IKEGroup}))
		})

		It(fmt.Sprintf("the nearer, and the other once that is corrected (IKEv%d)", version), func() {
			p := healthyPeer(version)
			p.key = "wrong" + key
			each(&p.local, "10.99.0.0/16")
			b := newBench(p, settings{})
			Expect(b.fail()).NotTo(Succeed())
			Expect(names(b)).To(Equal([]signature.Parameter{signature.PreSharedKey}))
			p.key = key
			_ = b.customer.Try("--terminate", "--ike", "platform", "--force", "--timeout", "1")
			b.customer.Configure(p.configuration())
			Expect(b.fail()).NotTo(Succeed())
			Expect(names(b)).To(Equal([]signature.Parameter{signature.PrivateSelector}))
		})

		It(fmt.Sprintf("both behind a tunnel that stands (IKEv%d)", version), func() {
			p := healthyPeer(version)
			if version == 1 {
				p.local, p.remote = p.local[:1], p.remote[:1]
			} else {
				p.local[0] = "10.150.0.0/16"
			}
			b := newBench(p, settings{})
			Expect(b.initiate()).To(Succeed())
			Expect(b.stopService()).To(Succeed())
			Expect(names(b)).To(Equal([]signature.Parameter{doctor.PairMissing, doctor.ServiceThere}))
		})

		It(fmt.Sprintf("the broken one before the one that is worth knowing (IKEv%d)", version), func() {
			b := newBench(healthyPeer(version), settings{})
			Expect(b.initiate()).To(Succeed())
			b.rekey(6)
			b.in(b.network.Customer, "iptables -w -I INPUT -s 10.20.0.0/26 -j DROP")
			Expect(slices.Compact(names(b))).To(Equal([]signature.Parameter{doctor.NoAnswer, signature.ESPLifetime}))
		})

		It(fmt.Sprintf("ours and theirs (IKEv%d)", version), func() {
			p := healthyPeer(version)
			p.key = "wrong" + key
			b := newBench(p, settings{unenforced: true})
			Expect(b.fail()).NotTo(Succeed())
			Expect(names(b)).To(Equal([]signature.Parameter{doctor.Rules, signature.PreSharedKey}))
		})
	}
})
