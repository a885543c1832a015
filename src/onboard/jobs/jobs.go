// Package jobs knows which properties of the gateway each job of this release renders. BOSH restarts a VM's
// jobs when one of its rendered files changes: so this is what a change of a connection restarts. The
// templates are ERB, and cannot be asked; a spec renders all of them and compares (spec/templates).
package jobs

import "slices"

// Place is a job in the role that it has on a VM; the role is empty for a job that has one only.
type Place struct{ Job, Role string }

// The roles of a VM.
const (
	Gateway = "gateway"
	Cell    = "cell"
)

// everywhere is what each job needs that consumes the link.
var everywhere = []string{"org", "segment", "private_networks", "gateways"}

// rendered are the properties that change a file of the place when they change.
var rendered = map[Place][]string{
	{"ipsec-gateway", ""}: with("endpoints", "data_path", "ike", "policy", "proposals", "waivers", "psk_a", "psk_b", "active_psk",
		"psk_overlap_until", "certificate", "endpoint_ca", "endpoint_crl", "fips", "log_level"),
	{"egress-enforcer", Gateway}: with("routing", "allow", "inbound", "endpoints", "data_path", "path_mtu"),
	{"egress-enforcer", Cell}:    with("routing", "allow", "inbound"),
	{"tunnel-prober", Gateway}:   with("probes", "endpoints"),
	{"tunnel-prober", Cell}:      with("probes"),
	{"tunnel-doctor", Gateway}:   with("routing", "probes", "endpoints", "path_mtu"),
	{"tunnel-doctor", Cell}:      with("routing", "probes"),
	{"org-isolation", ""}:        with("allow"),
}

func with(more ...string) []string { return slices.Concat(everywhere, more) }

// Rendered are the gateway's properties that the place renders: for the gateway's own job all that it has,
// for the others those that they get by the link. It is nil for a job that renders none.
func Rendered(p Place) []string { return rendered[p] }

// Renders says whether a change of one of the properties changes a file of the place.
func Renders(p Place, properties []string) bool {
	return slices.ContainsFunc(properties, func(property string) bool { return slices.Contains(rendered[p], property) })
}
