package probe

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"privnet/probe/health"
)

// Metrics are a prober's metrics, in a registry of their own. All series are there from the start: those
// of state and counts are made from the status whenever somebody asks, the histograms are filled in
// beforehand. No label changes while the prober runs.
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
			Name: "privnet_probe_duration_seconds", Help: "How long answers took that came back.",
			ConstLabels: constant, Buckets: prometheus.ExponentialBuckets(50e-6, 2, 18),
		}, []string{"pair", "target"}),
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

func (t *targetSeen) labels() []string { return []string{PairName(t.pair), t.name} }

func (t Target) labels() []string {
	return []string{t.Segment.String() + "=" + t.PrivateNetwork.String(), t.Name}
}

// collector makes metrics of a status.
type collector struct {
	status       func() Status
	descriptions map[string]*prometheus.Desc
}

// series are the names of the collector's metrics, their labels and meanings. What ends in _total counts.
var series = []struct{ name, labels, help string }{
	{"privnet_connection_state", "state", "1 for the state that the connection is in, 0 for the others."},
	{"privnet_pair_state", "pair state", "1 for the state that the pair is in, 0 for the others."},
	{"privnet_pair_state_since_seconds", "pair", "Unix time since when the pair is in its state; 0 before the first look."},
	{"privnet_pair_bytes_total", "pair direction", "Bytes that the pair's CHILD_SAs carried, in from the private network or out to it."},
	{"privnet_pair_packets_total", "pair direction", "Packets that the pair's CHILD_SAs carried."},
	{"privnet_pair_last_in_seconds", "pair", "Unix time of the last packet from the private network; 0 for none."},
	{"privnet_tunnel_up", "tunnel", "1 if the IKE_SA with the endpoint is established."},
	{"privnet_tunnel_ups_total", "tunnel", "IKE_SAs that were established with the endpoint."},
	{"privnet_tunnel_downs_total", "tunnel", "IKE_SAs with the endpoint that ended."},
	{"privnet_tunnel_rekeys_total", "tunnel phase", "Rekeyings of the IKE_SA (phase 1) or of CHILD_SAs (phase 2)."},
	{"privnet_probe_questions_total", "pair target", "Questions sent to the target."},
	{"privnet_probe_losses_total", "pair target", "Questions to the target that had no answer."},
	{"privnet_probe_served", "pair target", "1 if the target's last answer was a good one."},
	{"privnet_enforcement_state", "state", "1 for the state of the rules that keep traffic in the tunnel, 0 for the others."},
	{"privnet_enforcement_repairs_total", "", "Repairs of the rules."},
	{"privnet_enforcement_dropped_packets_total", "", "Packets that the rules dropped."},
	{"privnet_charon_up", "", "1 if charon answers."},
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
	for _, state := range health.States {
		give("privnet_connection_state", truth(s.State == state), string(state))
	}
	for _, p := range s.Pairs {
		p.give(give)
	}
	for _, t := range s.Tunnels {
		endpoint := t.Endpoint.String()
		give("privnet_tunnel_up", truth(t.Established), endpoint)
		give("privnet_tunnel_ups_total", float64(t.Ups), endpoint)
		give("privnet_tunnel_downs_total", float64(t.Downs), endpoint)
		give("privnet_tunnel_rekeys_total", float64(t.IKERekeys), endpoint, "1")
		give("privnet_tunnel_rekeys_total", float64(t.ChildRekeys), endpoint, "2")
	}
	for _, t := range s.Targets {
		give("privnet_probe_questions_total", float64(t.Questions), t.labels()...)
		give("privnet_probe_losses_total", float64(t.Losses), t.labels()...)
		give("privnet_probe_served", truth(t.Served), t.labels()...)
	}
	for _, state := range []health.Switch{health.On, health.Off, health.Unclear} {
		give("privnet_enforcement_state", truth(s.Enforcement.State == state), string(state))
	}
	give("privnet_enforcement_repairs_total", float64(s.Enforcement.Repairs))
	give("privnet_enforcement_dropped_packets_total", float64(s.Enforcement.DroppedPackets))
	if s.Charon != nil {
		give("privnet_charon_up", truth(s.Charon.Answers))
	}
}

func (p Pair) give(give func(name string, value float64, labels ...string)) {
	pair := p.Segment.String() + "=" + p.PrivateNetwork.String()
	for _, state := range health.States {
		give("privnet_pair_state", truth(p.State == state), pair, string(state))
	}
	give("privnet_pair_state_since_seconds", unix(p.Since), pair)
	give("privnet_pair_last_in_seconds", unix(p.LastIn), pair)
	give("privnet_pair_bytes_total", float64(p.BytesIn), pair, "in")
	give("privnet_pair_bytes_total", float64(p.BytesOut), pair, "out")
	give("privnet_pair_packets_total", float64(p.PacketsIn), pair, "in")
	give("privnet_pair_packets_total", float64(p.PacketsOut), pair, "out")
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
