package peers_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	. "privnet/ipsec/charontest"
	"privnet/ipsec/vici"
)

const endpointName = "vpn.agency-a.example"

// shape is what a tunnel looks like, apart from who is behind a NAT.
type shape struct {
	version int
	// policy is the gateway's; ike and esp are the customer's proposals.
	policy, ike, esp string
	segment, private []string
	certificates     bool
	// waived is a weak algorithm that the gateway has a waiver for, if any.
	waived string
	// apart says that the customer asks for each pair in a child of its own. IKEv1 must; with IKEv2 some
	// devices do, and others combine.
	apart bool
}

// The addresses from which and to which packets are sent: one in each segment and private network.
var (
	sources  = map[string]string{"10.20.0.0/26": GatewaySegment, "10.20.1.0/26": "10.20.1.4"}
	services = map[string]string{"10.150.0.0/16": "10.150.0.1", "172.30.8.0/22": "172.30.8.1", "192.168.200.0/24": "192.168.200.1"}
)

var (
	onePair  = shape{segment: []string{"10.20.0.0/26"}, private: []string{"10.150.0.0/16"}}
	sixPairs = shape{segment: []string{"10.20.0.0/26", "10.20.1.0/26"}, private: []string{"10.150.0.0/16", "172.30.8.0/22", "192.168.200.0/24"}}
)

// crypto are the policies, each with what a customer proposes to it.
var crypto = []shape{
	{version: 1, policy: "compatible", ike: "aes256-sha256-modp2048", esp: "aes256-sha256-modp2048"},
	{version: 2, policy: "compatible", ike: "aes256-sha512-modp4096", esp: "aes256-sha256-ecp256"},
	{version: 2, policy: "modern", ike: "aes256gcm16-prfsha384-ecp384", esp: "aes256gcm16-ecp384"},
	{version: 2, policy: "quantum-safe", ike: "aes256gcm16-prfsha384-ecp384-ke1_mlkem1024", esp: "aes256gcm16-ecp384-ke1_mlkem1024"},
}

var nats = []struct {
	name string
	nat  NAT
}{
	{"plain", NAT{}}, {"customer behind NAT", NAT{Customer: true}},
	{"gateway behind 1:1 NAT", NAT{Gateway: true}}, {"both behind NAT", NAT{Gateway: true, Customer: true}},
}

// cases are all combinations.
func cases() []TableEntry {
	var out []TableEntry
	for _, c := range crypto {
		for _, selectors := range []shape{onePair, sixPairs} {
			for _, certificates := range []bool{false, true} {
				for _, n := range nats {
					s := c
					s.segment, s.private, s.certificates = selectors.segment, selectors.private, certificates
					s.apart = s.version == 1 || certificates // so that IKEv2 is seen both ways
					out = append(out, Entry(s.title(n.name), s, n.nat))
				}
			}
		}
	}
	return out
}

// title names a case.
func (s shape) title(nat string) string {
	return fmt.Sprintf("IKEv%d, %s, %d×%d pairs, %s, %s", s.version, s.policy, len(s.segment), len(s.private),
		map[bool]string{false: "PSK", true: "certificates"}[s.certificates], nat)
}

// children are the names and selectors of the customer's children.
func (s shape) children() map[string][2][]string {
	if !s.apart {
		return map[string][2][]string{"all": {s.private, s.segment}}
	}
	out := map[string][2][]string{}
	for i, private := range s.private {
		for j, segment := range s.segment {
			out[fmt.Sprintf("pair-%d-%d", i, j)] = [2][]string{{private}, {segment}}
		}
	}
	return out
}

// gateway are the properties of the gateway's job.
func (s shape) gateway(network Network, dataPath string) VM {
	GinkgoHelper()
	overrides := Settings{"ike": strconv.Itoa(s.version), "policy": s.policy, "segment": s.segment, "private_networks": s.private, "data_path": dataPath}
	if s.waived != "" {
		until := time.Now().AddDate(0, 6, 0).Format(time.DateOnly)
		overrides["waivers"] = []Settings{{"algorithm": s.waived, "reason": "what the peer has", "until": until}}
	}
	keys := Settings{"psk_a": PSK, "active_psk": "a"}
	if s.certificates {
		keys = Settings{"private_key": gatewayPair.PrivateKey}
		overrides["certificate"], overrides["endpoint_ca"] = gatewayPair.Certificate, agency.PEM
		overrides["endpoints"] = []Settings{{"address": Endpoint, "device": "strongswan", "id": endpointName}}
	}
	v := NewVM(network, overrides)
	v.Configure(overrides, keys)
	return v
}

// customer is the customer's swanctl.conf.
func (s shape) customer(nat NAT) string {
	address, auth, id := Endpoint, "psk", Endpoint
	if nat.Customer {
		address = EndpointPrivate
	}
	secrets := fmt.Sprintf("secrets { ike-platform { id = %s\n secret = %s } }\n", GatewayPublic, PSK)
	if s.certificates {
		auth, id, secrets = "pubkey", "fqdn:"+endpointName+"\n certs = own.pem", ""
	}
	var children strings.Builder
	for name, selectors := range s.children() {
		fmt.Fprintf(&children, "%s { local_ts = %s\n remote_ts = %s\n esp_proposals = %s }\n",
			name, strings.Join(selectors[0], ", "), strings.Join(selectors[1], ", "), s.esp)
	}
	return fmt.Sprintf(`connections { platform {
  version = %d
  local_addrs = %s
  remote_addrs = %s
  proposals = %s
  local { auth = %s
    id = %s }
  remote { auth = %s
    id = %s }
  children { %s }
} }
%s`, s.version, address, GatewayPublic, s.ike, auth, id, auth, GatewayPublic, children.String(), secrets)
}

func (s shape) startCustomer(network Network, nat NAT) Customer {
	GinkgoHelper()
	var files []File
	if s.certificates {
		files = []File{{Name: "x509ca/platform.pem", Text: platform.PEM},
			{Name: "x509/own.pem", Text: endpointPair.Certificate}, {Name: "private/own.pem", Text: endpointPair.PrivateKey}}
	}
	if s.policy == "quantum-safe" { // Debian's has no ML-KEM.
		return StartReleaseCustomer(network, s.customer(nat), files...)
	}
	return StartCustomer(network, s.customer(nat), files...)
}

var _ = Describe("The gateway with strongSwan as the customer's peer", func() {
	DescribeTable("carries every pair, also while IKE_SA and CHILD_SAs are rekeyed by either side",
		func(ctx SpecContext, s shape, nat NAT) {
			network := NewNetwork(nat)
			network.Exec(network.Gateway, "ip", "addr", "add", "10.20.1.4/32", "dev", "lo")
			network.Exec(network.Customer, "ip", "addr", "add", "192.168.200.1/32", "dev", "lo")
			gateway := s.gateway(network, "userland")
			gateway.Run()
			peer := s.startCustomer(network, nat)
			Expect(ping(network, s.segment[0], s.private[0])).To(BeZero(), "before the customer has initiated")

			for name := range s.children() {
				peer.Swanctl("--initiate", "--child", name)
			}
			// The endpoint is done before the gateway has its last message.
			settled(ctx, gateway, s)
			for _, segment := range s.segment {
				for _, private := range s.private {
					Expect(ping(network, segment, private)).To(Equal(packets), "%s to %s", segment, private)
				}
			}
			for _, child := range settled(ctx, gateway, s).Children {
				Expect(child.PacketsIn).To(BeNumerically(">=", packets), "%s", child.RemoteTS)
				Expect(child.PacketsOut).To(BeNumerically(">=", packets))
				Expect(child.Algorithms.Encryption).To(HavePrefix("AES_"))
			}

			traffic := network.StartStream(sources[s.segment[0]], services[s.private[0]])
			for _, rekey := range []func(vici.SA){
				func(vici.SA) { peer.Swanctl("--rekey", "--child", s.first()) },
				func(sa vici.SA) { gateway.Swanctl("--rekey", "--child", sa.Children[0].Name) },
				func(vici.SA) { peer.Swanctl("--rekey", "--ike", "platform") },
				func(sa vici.SA) { gateway.Swanctl("--rekey", "--ike", sa.Name) },
			} {
				before := settled(ctx, gateway, s)
				rekey(before)
				Eventually(func() string { return spis(current(ctx, gateway, s)) }, "10s", "20ms").ShouldNot(Or(Equal(spis(before)), BeEmpty()))
			}
			sent, answered := traffic.Stop()
			Expect(sent-answered).To(BeNumerically("<=", s.loss()), "packets lost of %d while keys changed", sent)
		},
		cases(),
	)
})

// loss is how many packets may be lost in the four rekeyings. With IKEv2 whoever asks for a new CHILD_SA is
// ready before the other side uses it; with IKEv1's three messages a packet may come too early.
func (s shape) loss() int {
	if s.version == 1 {
		return 4
	}
	return 0
}

// first is the name of one of the customer's children.
func (s shape) first() string {
	if s.apart {
		return "pair-0-0"
	}
	return "all"
}

// current is the one IKE_SA with all that it should carry; its zero value while that is not so.
func current(ctx context.Context, gateway VM, s shape) vici.SA {
	GinkgoHelper()
	var out []vici.SA
	for _, sa := range gateway.SAs(ctx) {
		sa.Children = slices.DeleteFunc(sa.Children, func(c vici.Child) bool { return c.State != "INSTALLED" })
		if sa.IsEstablished() && len(sa.Children) == len(s.children()) {
			out = append(out, sa)
		}
	}
	if len(out) != 1 {
		return vici.SA{}
	}
	return out[0]
}

// settled waits for the one IKE_SA with all that it should carry.
func settled(ctx context.Context, gateway VM, s shape) vici.SA {
	GinkgoHelper()
	var sa vici.SA
	Eventually(func() string {
		sa = current(ctx, gateway, s)
		return sa.Name
	}, "20s", "50ms").ShouldNot(BeEmpty())
	return sa
}

// spis name what is negotiated anew by a rekeying.
func spis(sa vici.SA) string {
	if sa.Name == "" {
		return ""
	}
	out := []string{sa.LocalSPI, sa.RemoteSPI}
	for _, child := range sa.Children {
		out = append(out, child.SPIIn)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// packets are sent for each pair.
const packets = 3

func ping(network Network, segment, private string) int {
	GinkgoHelper()
	return network.Ping(sources[segment], services[private], packets)
}
