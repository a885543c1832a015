package artefact

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"go4.org/netipx"
	"gopkg.in/yaml.v3"

	"privnet/connection"
	"privnet/egress"
	"privnet/ipsec"
	"privnet/onboard/jobs"
)

// keyFile stands for the gateway's keys: the manifest has only their variables' names. Nothing that is
// rendered here depends on them.
var keyFile = ipsec.File{Name: "psk.json", Data: []byte(`{"psk_a": "no.key.takes.part.in.the.proof.of.isolation", "active_psk": "a"}`)}

// withDefaults are a gateway job's properties and, where the manifest has none, the defaults of the job's
// spec.
func withDefaults(node *yaml.Node) map[string]any {
	out := map[string]any{
		"ike": "2", "log_level": 1, "fips": false, "routing": "host", "data_path": "kernel", "path_mtu": 1500,
		"allow": []any{}, "inbound": []any{}, "probes": []any{},
	}
	given := map[string]any{}
	if node != nil && node.Decode(&given) == nil {
		for name, value := range given {
			// A director takes null for no value.
			if value != nil {
				out[name] = value
			}
		}
	}
	return out
}

// identities are the properties that say who the peer is: the manifest has only their variables' names, and they
// decide nothing about packets.
var identities = []string{"psk_a", "psk_b", "active_psk", "psk_overlap_until", "certificate", "endpoint_ca", "endpoint_crl"}

// gatewayFile is what the job ipsec-gateway's template gateway.json.erb makes, but for identities.
func gatewayFile(vm string, addresses []netip.Addr, properties map[string]any) ipsec.File {
	connected := map[string]any{}
	config := map[string]any{"connection": connected, "addresses": addresses}
	for name, value := range pick(properties, jobs.Rendered(jobs.Place{Job: "ipsec-gateway"})...) {
		switch {
		case slices.Contains(connection.Fields, name):
			connected[name] = value
		case !slices.Contains(identities, name):
			config[name] = value
		}
	}
	return jsonFile(vm+"/gateway.json", config)
}

// enforcerFile is what the job egress-enforcer's template enforcer.json.erb makes. own are the job's
// properties, link the gateway job's.
func enforcerFile(vm string, role egress.Role, addresses []netip.Addr, own *yaml.Node, link map[string]any) ipsec.File {
	given := map[string]any{}
	if own != nil {
		// What is no mapping has no role either, which the enforcer's reader says.
		_ = own.Decode(&given)
	}
	config := map[string]any{"addresses": addresses, "backend": "auto"}
	for name, value := range pick(given, "role", "backend", "iptables_bin_dir") {
		config[name] = value
	}
	if networks := given["management_networks"]; networks != nil && role == egress.RoleGateway {
		config["management_networks"] = networks
	}
	if role == egress.RoleSharedCell {
		config["segments_pool"] = given["segments_pool"]
	} else {
		config["connection"] = pick(link, jobs.Rendered(jobs.Place{Job: "egress-enforcer", Role: string(role)})...)
	}
	return jsonFile(vm+"/enforcer.json", config)
}

func pick(from map[string]any, names ...string) map[string]any {
	out := map[string]any{}
	for _, name := range names {
		if value := from[name]; value != nil {
			out[name] = value
		}
	}
	return out
}

func jsonFile(name string, value any) ipsec.File {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		// A value with keys that are no strings is YAML that JSON, and so a job's template, cannot write.
		data = nil
	}
	return ipsec.File{Name: name, Data: data}
}

// someCell is an address of the segment, for the cells that BOSH chooses the addresses of.
func someCell(properties map[string]any) []netip.Addr {
	segment, _ := properties["segment"].([]any)
	if len(segment) == 0 {
		return nil
	}
	prefix, err := netip.ParsePrefix(fmt.Sprint(segment[0]))
	if err != nil {
		return nil
	}
	return []netip.Addr{netipx.PrefixLastIP(prefix).Prev()}
}

// parseAddresses reads one of static_ips: an address or a range of them.
func parseAddresses(text string) ([]netip.Addr, error) {
	if address, err := netip.ParseAddr(text); err == nil {
		return []netip.Addr{address}, nil
	}
	r, err := netipx.ParseIPRange(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	const most = 1 << 16
	for a := r.From(); a.IsValid() && a.Compare(r.To()) <= 0 && len(out) < most; a = a.Next() {
		out = append(out, a)
	}
	return out, nil
}
