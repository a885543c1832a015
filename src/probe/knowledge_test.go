package probe_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"

	"privnet/connection"
	"privnet/ipsec"
	"privnet/ipsec/gateway"
	"privnet/ipsec/vici"
	"privnet/probe"
	"privnet/probe/health"
)

// say makes the gateway's status file.
func (w *world) say(s gateway.Status) {
	GinkgoHelper()
	data, err := json.Marshal(s)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(w.gateway, data, 0o600)).To(Succeed())
}

// value is a series' value, by its name and labels as in /metrics, without org and gateway.
func (w *world) value(series string) func() float64 {
	name, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	return func() float64 {
		families, err := w.prober.Metrics().Registry.Gather()
		Expect(err).NotTo(HaveOccurred())
		for _, family := range families {
			for _, metric := range family.GetMetric() {
				var pairs []string
				for _, l := range metric.GetLabel() {
					if l.GetName() != "org" && l.GetName() != "gateway" {
						pairs = append(pairs, l.GetName()+`="`+l.GetValue()+`"`)
					}
				}
				if family.GetName() == name && strings.Join(pairs, ",") == labels {
					return metric.GetGauge().GetValue() + metric.GetCounter().GetValue()
				}
			}
		}
		Fail("there is no series " + series)
		return 0
	}
}

const pair = `pair="10.20.0.0/26=10.150.0.0/16"`

var _ = Describe("What a prober on a gateway knows of the gateway", func() {
	var w *world
	ends := time.Date(2027, 3, 31, 0, 0, 0, 0, time.UTC)
	said := gateway.Status{
		Version: 1, Healthy: true, Offer: gateway.OfferStatus{IKE: connection.IKEv2, Phase1: []string{"aes256gcm16-prfsha384-ecp384"}, Phase2: []string{"aes256gcm16-ecp384"}},
		PSKs:     []gateway.PSKStatus{{Endpoint: netip.MustParseAddr("198.51.100.10"), InUse: ipsec.SlotB, Active: ipsec.SlotA, Overlap: true, Swaps: 1}},
		Keys:     []gateway.KeyStatus{{PSK: ipsec.SlotA, FirstSeen: ends.AddDate(-1, 0, 0)}, {PSK: ipsec.SlotB, FirstSeen: ends.AddDate(0, -6, 0)}},
		Waivers:  []gateway.WaiverStatus{{Algorithm: "sha1", Reason: "an old device; J. Doe", Until: ends}},
		Expiries: []gateway.ExpiryStatus{{What: "the waiver for sha1", At: ends}, {What: "the gateway's certificate", At: ends.AddDate(1, 0, 0)}},
	}
	BeforeEach(func() { w = newWorld() })

	It("is its keys with their ages, its waivers and what ends when", func() {
		w.say(said)
		w.start(gatewayJSON)
		w.tell(sa("c1", 1, 1))
		Eventually(w.value("privnet_configuration_healthy")).Should(Equal(1.0))
		for series, value := range map[string]float64{
			`privnet_psk_in_use{psk="b",tunnel="198.51.100.10"}`: 1,
			`privnet_psk_in_use{psk="a",tunnel="198.51.100.10"}`: 0,
			`privnet_psk_overlap{tunnel="198.51.100.10"}`:        1,
			`privnet_psk_swaps_total{tunnel="198.51.100.10"}`:    1,
			`privnet_psk_first_seen_timestamp_seconds{psk="a"}`:  float64(ends.AddDate(-1, 0, 0).Unix()),
			`privnet_waivers`:                                              1,
			`privnet_next_expiry_timestamp_seconds`:                        float64(ends.Unix()),
			`privnet_expiry_timestamp_seconds{what="the waiver for sha1"}`: float64(ends.Unix()),
			`privnet_fips`:                                                 0,
		} {
			Expect(w.value(series)()).To(Equal(value), series)
		}
		Expect(w.prober.Status().Configuration.Waivers[0].Reason).To(Equal("an old device; J. Doe"))
	})

	It("is that the gateway has a problem, or says nothing; the tunnels are watched all the same", func() {
		w.start(gatewayJSON)
		w.tell(sa("c1", 1, 1))
		Eventually(w.state).Should(Equal(health.Up))
		Expect(w.prober.Status().Configuration).To(And(HaveField("Known", false), HaveField("Reason", ContainSubstring("it is written when the gateway starts"))))
		Expect(w.value("privnet_configuration_healthy")()).To(BeZero())
		w.say(gateway.Status{Problem: "the last reload failed"})
		Eventually(func() string { return w.prober.Status().Configuration.Reason }, "3s").Should(Equal("the last reload failed"))
	})

	It("is whether a tunnel was negotiated under another configuration than the one of now", func() {
		w.say(said)
		w.start(gatewayJSON)
		old := sa("c1", 1, 1)
		old.Version, old.Algorithms = 1, vici.Algorithms{Encryption: "AES_CBC-256", Integrity: "HMAC_SHA2_256_128", PRF: "PRF_HMAC_SHA2_256", KeyExchange: "MODP_2048"}
		old.Children[0].Algorithms = vici.Algorithms{Encryption: "AES_GCM_16-256"}
		w.tell(old)
		Eventually(func() []probe.Difference { return w.prober.Status().Tunnels[0].Differences }, "3s").Should(Equal([]probe.Difference{
			{Parameter: "ike_version", Negotiated: "1"},
			{Parameter: "ike_algorithms", Negotiated: "AES_CBC-256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048"},
		}))
		Expect(w.value(`privnet_tunnel_differs{parameter="ike_version",tunnel="198.51.100.10"}`)()).To(Equal(1.0))
		Expect(w.value(`privnet_tunnel_differs{parameter="esp_algorithms",tunnel="198.51.100.10"}`)()).To(Equal(0.0))
		Expect(w.value(`privnet_tunnel_info{algorithms="AES_CBC-256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048",ike_version="1",tunnel="198.51.100.10"}`)()).To(Equal(1.0))
	})
})

var _ = Describe("What a prober on a gateway knows of failures", func() {
	It("is what charon's log says: the parameter, the side and what to do, counted by reason, also after a restart", func() {
		w := newWorld()
		w.start(gatewayJSON)
		w.tell()
		for _, text := range []string{
			"received packet: from 198.51.100.10[500] to 203.0.113.10[500] (240 bytes)",
			"198.51.100.10 is initiating an IKE_SA",
			"received packet: from 198.51.100.10[4500] to 203.0.113.10[4500] (240 bytes)",
			"tried 1 shared key for '203.0.113.10' - '198.51.100.10', but MAC mismatched",
		} {
			w.lines <- vici.LogLine{SA: "7", Text: text}
		}
		Eventually(func() []probe.Failure { return w.prober.Status().Failures }, "3s").Should(HaveExactElements(And(
			HaveField("Reason", "psk-v2"), HaveField("Parameter", "pre-shared key"), HaveField("Side", "customer"),
			HaveField("Endpoint", netip.MustParseAddr("198.51.100.10")), HaveField("Advice", ContainSubstring("enter the pre-shared key again")))))
		counted := `privnet_tunnel_failures_total{reason="psk-v2",tunnel="198.51.100.10"}`
		Expect(w.value(counted)()).To(Equal(1.0))
		Expect(w.log).To(gbytes.Say(`"event":"failure","org":"agency-a","tunnel":"198.51.100.10","failure":"psk-v2","parameter":"pre-shared key","side":"customer"`))

		w.stop()
		w.start(gatewayJSON)
		w.tell()
		Eventually(func() *probe.Failure { return w.prober.Status().LastFailure }).Should(HaveField("Reason", "psk-v2"))
		Expect(w.value(counted)()).To(Equal(1.0))
		Expect(w.prober.Status().Failures).To(BeEmpty(), "it is not seen again")
	})

	It("is, of what strangers send, one of a kind a second, however they vary it", func() {
		w := newWorld()
		w.start(gatewayJSON)
		w.tell()
		for i := range 200 {
			w.lines <- vici.LogLine{Text: fmt.Sprintf("no IKE config found for 203.0.113.10...192.0.2.%d, sending NO_PROPOSAL_CHOSEN", i)}
		}
		Eventually(func() []probe.Failure { return w.prober.Status().Failures }, "3s").Should(HaveLen(200))
		Expect(w.value(`privnet_tunnel_failures_total{reason="no-ike-config",tunnel="undeclared"}`)()).To(BeNumerically("<=", 3))
		Expect(strings.Count(string(w.log.Contents()), `"event":"failure"`)).To(BeNumerically("<=", 3))
		shown, more := w.prober.Status().ShownFailures()
		Expect(shown).To(HaveLen(5))
		Expect(more).To(Equal(195))
		Expect(shown[0].Evidence).To(ContainSubstring("192.0.2.199"))
	})
})

var _ = Describe("What a prober on a gateway knows of a path", func() {
	var w *world
	BeforeEach(func() { w = newWorld() })

	It("is what the kernel would send for every pair, and what passes to the targets that answer echo requests", func() {
		w.mtu.Store(1300)
		w.start(strings.Replace(gatewayJSON, `"check": "tcp", "port": 443`, `"check": "icmp"`, 1))
		w.tell(sa("c1", 1, 1))
		Eventually(w.value(`privnet_pair_path_mtu_bytes{`+pair+`}`)).Should(Equal(1422.0), "of the target, which it has been told of")
		Expect(w.value(`privnet_pair_path_mtu_bytes{pair="10.20.0.0/26=172.30.8.0/22"}`)()).To(Equal(1500.0))
		Eventually(w.value(`privnet_probe_path_mtu_bytes{` + pair + `,target="icmp://10.150.0.10"}`)).Should(Equal(1300.0))
	})

	It("is that packets go out and none comes back, with no target to ask", func() {
		w.start(strings.Replace(gatewayJSON, `{"address": "10.150.0.10", "check": "tcp", "port": 443}`, "", 1))
		silent := func(out uint64) vici.SA {
			s := sa("c1", 0, 0)
			s.Children[0].PacketsIn, s.Children[0].PacketsOut, s.Children[0].UsedIn = 0, out, -1
			return s
		}
		w.tell(silent(1))
		Eventually(w.state).Should(Equal(health.Up))
		w.tell(silent(100))
		w.ahead.Store(int64(time.Minute))
		w.tell(silent(200))
		Eventually(w.state).Should(Equal(health.Partial))
		Expect(w.prober.Status().Pairs[0].Reason).To(ContainSubstring("none has come back"))
		answered := silent(201)
		answered.Children[0].PacketsIn = 1
		w.tell(answered)
		Eventually(w.state).Should(Equal(health.Up))
	})

	It("is that it flaps, beside the state that is true", func() {
		w.start(gatewayJSON)
		for range health.FlapChanges/2 + 1 {
			w.tell(sa("c1", 1, 1))
			Eventually(w.state).Should(Equal(health.Up))
			w.tell()
			Eventually(w.state).Should(Equal(health.Down))
		}
		Expect(w.prober.Status().Pairs[0]).To(And(HaveField("State", health.Down), HaveField("Flapping", true)))
		Expect(w.value(`privnet_pair_flapping{` + pair + `}`)()).To(Equal(1.0))
		Expect(w.value(`privnet_pair_changes_total{` + pair + `}`)()).To(BeNumerically(">=", health.FlapChanges))
		Eventually(w.log).Should(gbytes.Say(`"event":"flapping","org":"agency-a","what":"10.20.0.0/26=10.150.0.0/16","flapping":true`))
	})
})

var _ = Describe("The events", func() {
	It("are JSON lines with a name and the org, for what happened and nothing else", func() {
		w := newWorld()
		w.start(gatewayJSON)
		w.updates <- vici.Update{Events: []vici.Event{{Kind: vici.IKEUpDown, Up: true, SA: sa("x", 0, 0)}}, SAs: []vici.SA{sa("x", 0, 0)}}
		Eventually(w.state).Should(Equal(health.Up))
		w.tell()
		Eventually(w.state).Should(Equal(health.Down))
		w.enforced.Store(false)
		Eventually(w.log, "3s").Should(gbytes.Say(`"event":"enforcement","org":"agency-a","state":"off"`))
		quiet := len(w.log.Contents())
		Consistently(func() int { return len(w.log.Contents()) }, "1500ms").Should(Equal(quiet))

		events := map[string]int{}
		for _, line := range strings.Split(strings.TrimSpace(string(w.log.Contents())), "\n") {
			var fields map[string]any
			Expect(json.Unmarshal([]byte(line), &fields)).To(Succeed(), line)
			Expect(fields).To(And(HaveKey("time"), HaveKey("level"), HaveKey("msg"), HaveKeyWithValue("org", "agency-a")))
			events[fields["event"].(string)]++
		}
		Expect(events).To(And(HaveKey("state"), HaveKey("charon"), HaveKey("enforcement"), HaveLen(3)))
	})
})
