package probe

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"privnet/ipsec"
	"privnet/ipsec/gateway"
	"privnet/probe/health"
)

// Metrics are a prober's metrics, in a registry of their own. All series are there from the start: those
// of state and counts are made from the status whenever somebody asks, the histograms are filled in
// beforehand. No label changes while the prober runs, but for the algorithms of the two _info series, and what
// is configured on the gateway to end.
type Metrics struct {
	Registry *prometheus.Registry
	took     *prometheus.HistogramVec
}

func newMetrics(status func() Status) *Metrics {
	s := status()
	constant := prometheus.Labels{"org": s.Org, "gateway": s.Gateway}
	m := &Metrics{
		Registry: prometheus.NewRegistry(),
		took: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: durationName, Help: "How long answers took that came back.",
			ConstLabels: constant, Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18),
		}, durationLabels),
	}
	for _, t := range s.Targets {
		m.took.WithLabelValues(t.labels()...)
	}
	m.Registry.MustRegister(m.took, newCollector(status, constant))
	return m
}

func (m *Metrics) answered(labels []string, took time.Duration) {
	m.took.WithLabelValues(labels...).Observe(took.Seconds())
}

func (t *targetSeen) labels() []string { return t.report().labels() }

func (t Target) labels() []string {
	return []string{PairName(t.Segment, t.PrivateNetwork), t.Name}
}

// durationName is the name of the histogram of answers.
const durationName = "privnet_probe_duration_seconds"

var durationLabels = []string{"pair", "target"}

// collector makes metrics of a status.
type collector struct {
	status       func() Status
	descriptions map[string]*prometheus.Desc
}

// series are the names of the collector's metrics, their labels and meanings. What ends in _total counts.
var series = []struct{ name, labels, help string }{
	{"privnet_observed_timestamp_seconds", "", "Unix time of the last look; 0 before the first."},
	{"privnet_connection_state", "state", "1 for the state that the connection is in, 0 for the others."},
	{"privnet_connection_flapping", "", "1 if the connection's state changes all the time."},
	{"privnet_pair_state", "pair state", "1 for the state that the pair is in, 0 for the others."},
	{"privnet_pair_state_since_timestamp_seconds", "pair", "Unix time since when the pair is in its state; 0 before the first look."},
	{"privnet_pair_flapping", "pair", "1 if the pair's state changes all the time."},
	{"privnet_pair_changes_total", "pair", "Changes of the pair's state, but for those between up and idle."},
	{"privnet_pair_bytes_total", "pair direction", "Bytes that the pair's CHILD_SAs carried, in from the private network or out to it."},
	{"privnet_pair_packets_total", "pair direction", "Packets that the pair's CHILD_SAs carried."},
	{"privnet_pair_last_in_timestamp_seconds", "pair", "Unix time of the last packet from the private network; 0 for none."},
	{"privnet_pair_path_mtu_bytes", "pair", "The largest packet that this VM's kernel would send to the private network in one piece; 0 for none."},
	{"privnet_pair_info", "pair algorithms", "1; the algorithms of the CHILD_SA that carries the pair, empty without one."},
	{"privnet_tunnel_up", "tunnel", "1 if the IKE_SA with the endpoint is established."},
	{"privnet_tunnel_established_timestamp_seconds", "tunnel", "Unix time since when it is; 0 if it is not."},
	{"privnet_tunnel_info", "tunnel ike_version algorithms", "1; what was negotiated for the IKE_SA, empty without one."},
	{"privnet_tunnel_differs", "tunnel parameter", "1 if what was negotiated is not what the gateway offers now; 0 without a tunnel."},
	{"privnet_tunnel_ups_total", "tunnel", "IKE_SAs that were established with the endpoint."},
	{"privnet_tunnel_downs_total", "tunnel", "IKE_SAs with the endpoint that ended."},
	{"privnet_tunnel_rekeys_total", "tunnel phase", "Rekeyings of the IKE_SA (phase 1) or of CHILD_SAs (phase 2)."},
	{"privnet_tunnel_failures_total", "tunnel reason", "Failures that charon's log tells, at most one of a kind a second."},
	{"privnet_psk_in_use", "tunnel psk", "1 for the pre-shared key that charon has for the endpoint."},
	{"privnet_psk_overlap", "tunnel", "1 while the endpoint may use either of two pre-shared keys."},
	{"privnet_psk_swaps_total", "tunnel", "Times that charon got the other pre-shared key because the endpoint failed with the one before."},
	{"privnet_psk_first_seen_timestamp_seconds", "psk", "Unix time since when the VM has had the pre-shared key; 0 for none."},
	{"privnet_configuration_healthy", "", "1 if charon holds what the gateway job configures."},
	{"privnet_fips", "", "1 if only OpenSSL's FIPS provider does the cryptography."},
	{"privnet_waivers", "", "Weak algorithms that are offered by waiver."},
	{"privnet_next_expiry_timestamp_seconds", "", "Unix time when the first waiver, certificate or CRL ends or has ended; 0 for none."},
	{"privnet_expiry_timestamp_seconds", "what", "Unix time when the waiver, certificate or CRL ends; a series for each that is configured."},
	{"privnet_probe_questions_total", "pair target", "Questions sent to the target."},
	{"privnet_probe_losses_total", "pair target", "Questions to the target that had no answer."},
	{"privnet_probe_reached", "pair target", "1 if the target's last answer came back through the path."},
	{"privnet_probe_served", "pair target", "1 if the target's last answer was a good one."},
	{"privnet_probe_path_mtu_bytes", "pair target", "The largest echo request that was answered; 0 if it was not measured."},
	{"privnet_gateway_reached", "address", "1 if the gateway answered the cell when it was last asked."},
	{"privnet_enforcement_state", "state", "1 for the state of the rules that keep traffic in the tunnel, 0 for the others."},
	{"privnet_enforcement_repairs_total", "", "Repairs of the rules."},
	{"privnet_enforcement_dropped_packets_total", "", "Packets that the rules dropped."},
	{"privnet_charon_up", "", "1 if charon answers."},
}

// MetricLabels are the labels of each metric that a prober exports, but for org and gateway, which all have.
func MetricLabels() map[string][]string {
	out := map[string][]string{durationName: durationLabels}
	for _, s := range series {
		out[s.name] = strings.Fields(s.labels)
	}
	return out
}

func newCollector(status func() Status, constant prometheus.Labels) *collector {
	c := &collector{status: status, descriptions: map[string]*prometheus.Desc{}}
	for _, s := range series {
		c.descriptions[s.name] = prometheus.NewDesc(s.name, s.help, strings.Fields(s.labels), constant)
	}
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.descriptions {
		out <- d
	}
}

// giver takes a value of one of the series.
type giver func(name string, value float64, labels ...string)

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	give := func(name string, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if strings.HasSuffix(name, "_total") {
			kind = prometheus.CounterValue
		}
		out <- prometheus.MustNewConstMetric(c.descriptions[name], kind, value, labels...)
	}
	s := c.status()
	give("privnet_observed_timestamp_seconds", unix(s.ObservedAt))
	for _, state := range health.States {
		give("privnet_connection_state", truth(s.State == state), string(state))
	}
	give("privnet_connection_flapping", truth(s.Flapping))
	for _, p := range s.Pairs {
		p.give(give)
	}
	for _, t := range s.Tunnels {
		t.give(give)
	}
	for _, t := range s.Targets {
		t.give(give)
	}
	for _, g := range s.Gateways {
		give("privnet_gateway_reached", truth(g.Reached), g.Address.String())
	}
	for key, count := range s.failureCounts {
		tunnel, reason, _ := strings.Cut(key, " ")
		give("privnet_tunnel_failures_total", float64(count), tunnel, reason)
	}
	for _, state := range []health.Switch{health.On, health.Off, health.Unclear} {
		give("privnet_enforcement_state", truth(s.Enforcement.State == state), string(state))
	}
	give("privnet_enforcement_repairs_total", float64(s.Enforcement.Repairs))
	give("privnet_enforcement_dropped_packets_total", float64(s.Enforcement.DroppedPackets))
	if s.Charon != nil {
		give("privnet_charon_up", truth(s.Charon.Answers))
		s.Configuration.give(give, s.Tunnels)
	}
}

func (p Pair) give(give giver) {
	pair := PairName(p.Segment, p.PrivateNetwork)
	for _, state := range health.States {
		give("privnet_pair_state", truth(p.State == state), pair, string(state))
	}
	give("privnet_pair_state_since_timestamp_seconds", unix(p.Since), pair)
	give("privnet_pair_flapping", truth(p.Flapping), pair)
	give("privnet_pair_changes_total", float64(p.Changes), pair)
	give("privnet_pair_last_in_timestamp_seconds", unix(p.LastIn), pair)
	give("privnet_pair_bytes_total", float64(p.BytesIn), pair, "in")
	give("privnet_pair_bytes_total", float64(p.BytesOut), pair, "out")
	give("privnet_pair_packets_total", float64(p.PacketsIn), pair, "in")
	give("privnet_pair_packets_total", float64(p.PacketsOut), pair, "out")
	give("privnet_pair_path_mtu_bytes", float64(p.PathMTU), pair)
	give("privnet_pair_info", 1, pair, p.Algorithms)
}

func (t Tunnel) give(give giver) {
	endpoint, version := t.Endpoint.String(), ""
	if t.IKEVersion != 0 {
		version = strconv.Itoa(t.IKEVersion)
	}
	give("privnet_tunnel_up", truth(t.Established), endpoint)
	give("privnet_tunnel_established_timestamp_seconds", unix(t.EstablishedAt), endpoint)
	give("privnet_tunnel_info", 1, endpoint, version, t.Algorithms)
	for _, parameter := range Parameters {
		differs := slices.ContainsFunc(t.Differences, func(d Difference) bool { return d.Parameter == parameter })
		give("privnet_tunnel_differs", truth(differs), endpoint, parameter)
	}
	give("privnet_tunnel_ups_total", float64(t.Ups), endpoint)
	give("privnet_tunnel_downs_total", float64(t.Downs), endpoint)
	give("privnet_tunnel_rekeys_total", float64(t.IKERekeys), endpoint, "1")
	give("privnet_tunnel_rekeys_total", float64(t.ChildRekeys), endpoint, "2")
}

func (t Target) give(give giver) {
	give("privnet_probe_questions_total", float64(t.Questions), t.labels()...)
	give("privnet_probe_losses_total", float64(t.Losses), t.labels()...)
	give("privnet_probe_reached", truth(t.Reached), t.labels()...)
	give("privnet_probe_served", truth(t.Served), t.labels()...)
	give("privnet_probe_path_mtu_bytes", float64(t.PathMTU), t.labels()...)
}

func (c Configuration) give(give giver, tunnels []Tunnel) {
	give("privnet_configuration_healthy", truth(c.Known && c.Healthy))
	give("privnet_fips", truth(c.FIPS))
	give("privnet_waivers", float64(len(c.Waivers)))
	for _, slot := range []ipsec.Slot{ipsec.SlotA, ipsec.SlotB} {
		var seen time.Time
		for _, k := range c.Keys {
			if k.PSK == slot {
				seen = k.FirstSeen
			}
		}
		give("privnet_psk_first_seen_timestamp_seconds", unix(seen), string(slot))
	}
	for _, t := range tunnels {
		var psk gateway.PSKStatus
		for _, p := range c.PSKs {
			if p.Endpoint == t.Endpoint {
				psk = p
			}
		}
		for _, slot := range []ipsec.Slot{ipsec.SlotA, ipsec.SlotB} {
			give("privnet_psk_in_use", truth(psk.InUse == slot), t.Endpoint.String(), string(slot))
		}
		give("privnet_psk_overlap", truth(psk.Overlap), t.Endpoint.String())
		give("privnet_psk_swaps_total", float64(psk.Swaps), t.Endpoint.String())
	}
	var next time.Time
	ends := map[string]time.Time{}
	for _, e := range c.Expiries {
		if next.IsZero() || e.At.Before(next) {
			next = e.At
		}
		// Two may have one name, as two CRLs: the first to end counts.
		if known, ok := ends[e.What]; !ok || e.At.Before(known) {
			ends[e.What] = e.At
		}
	}
	give("privnet_next_expiry_timestamp_seconds", unix(next))
	for what, at := range ends {
		give("privnet_expiry_timestamp_seconds", unix(at), what)
	}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}
