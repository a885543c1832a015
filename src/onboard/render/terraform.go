package render

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"privnet/onboard/platform"
)

// object is a JSON object of a Terraform configuration. Its keys come out sorted.
type object = map[string]any

// module is a Terraform configuration in JSON: resources by type and name.
type module struct {
	variables object
	resources map[string]object
}

func (m *module) variable(name, kind, description string) string {
	m.variables[name] = object{"type": kind, "description": description}
	return "${var." + name + "}"
}

func (m *module) add(kind, name string, attributes object) {
	if m.resources[kind] == nil {
		m.resources[kind] = object{}
	}
	m.resources[kind][name] = attributes
}

// Terraform is the firewall table, and the routes that no CPI writes, as a Terraform module in JSON for
// AWS, Azure or GCP; nil for another IaaS. The org's directory is the module; what it must know of the
// operator's network are its variables.
func Terraform(in Input) []byte {
	m := module{variables: object{}, resources: map[string]object{}}
	table := firewallTable(in)
	switch in.Platform.IaaS {
	case platform.AWS:
		m.aws(in, table)
	case platform.Azure:
		m.azure(in, table)
	case platform.GCP:
		m.gcp(in, table)
	default:
		return nil
	}
	out, err := json.MarshalIndent(object{
		"//":       fmt.Sprintf("The firewalls and routes of %s's segment. Written by privnet render; render again instead of editing.", in.Plan.Name),
		"variable": m.variables, "resource": m.resources,
	}, "", "  ")
	if err != nil {
		// Strings, numbers, and lists and maps of them always encode.
		panic(err)
	}
	return append(out, '\n')
}

// opening is what may be opened from or to some networks.
type opening struct {
	networks []netip.Prefix
	protocol string
	// ports are as in 22 or 61001-65535; none means all.
	ports []string
	why   string
}

// own are the places of the org's own VMs.
var own = []string{"segment", "gateway"}

// openings are the rules from or to the org's own VMs. Cells and gateways share one set of rules: a cell
// has no public address at which an endpoint could meet it.
func (f firewall) openings() (in, out []opening) {
	for _, r := range f.Rules {
		if slices.Contains(own, r.To) {
			in = appendNew(in, r.opening(f.place(r.From)))
		}
		if slices.Contains(own, r.From) {
			out = appendNew(out, r.opening(f.place(r.To)))
		}
	}
	return in, out
}

// platformOpenings are what the platform's own VMs must let in from the org's.
func (f firewall) platformOpenings() []opening {
	var out []opening
	for _, r := range f.Rules {
		if r.To == "platform" && slices.Contains(own, r.From) {
			out = append(out, r.opening(f.place(r.From)))
		}
	}
	return out
}

func (r firewallRule) opening(networks []netip.Prefix) opening {
	o := opening{networks: networks, protocol: r.Protocol, why: strings.ReplaceAll(r.Why, "'", "")}
	if r.Ports != "" {
		o.ports = strings.Split(r.Ports, ",")
	}
	return o
}

// appendNew appends what is not there yet: a cloud refuses a rule twice.
func appendNew(all []opening, o opening) []opening {
	if slices.ContainsFunc(all, func(other opening) bool { return reflect.DeepEqual(o, other) }) {
		return all
	}
	return append(all, o)
}

func (f firewall) place(name string) []netip.Prefix {
	for _, p := range f.Places {
		if p.Name == name {
			return p.Addresses
		}
	}
	return []netip.Prefix{netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
}

// aws makes a security group for the org's VMs and lets it into the platform's. Security groups only
// allow, and apps may reach all of the internet: so what the segment may open to the platform is said in
// the platform's group. The CPI writes the routes (advertised_routes).
func (m *module) aws(in Input, table firewall) {
	name := in.Plan.Names().Network
	m.add("aws_security_group", "segment", object{
		"name": name, "description": "The dedicated cells and gateway of " + in.Plan.Name,
		"vpc_id": m.variable("vpc_id", "string", "The VPC of the segment"),
	})
	group := "${aws_security_group.segment.id}"
	ingress, _ := table.openings()
	m.awsRules("aws_vpc_security_group_ingress_rule", "in", group, ingress)
	m.awsRules("aws_vpc_security_group_egress_rule", "out", group, []opening{
		{networks: table.place("internet"), protocol: "all", why: "the platform, the endpoint, the internet"},
	})
	m.awsRules("aws_vpc_security_group_ingress_rule", "platform", m.variable("platform_security_group_id", "string",
		"The security group of the platform's VMs"), table.platformOpenings())
}

// awsRules writes a rule for each network and range of ports, as AWS wants it.
func (m *module) awsRules(kind, prefix, group string, openings []opening) {
	for i, o := range openings {
		ports := o.ports
		if len(ports) == 0 {
			ports = []string{""}
		}
		for j, network := range o.networks {
			for k, spread := range ports {
				rule := object{"security_group_id": group, "cidr_ipv4": network.String(), "description": o.why}
				switch o.protocol {
				case "all":
					rule["ip_protocol"] = "-1"
				case "esp":
					rule["ip_protocol"] = "50"
				default:
					rule["ip_protocol"] = o.protocol
					rule["from_port"], rule["to_port"] = portRange(o.protocol, spread)
				}
				m.add(kind, fmt.Sprintf("%s-%d-%d-%d", prefix, i+1, j+1, k+1), rule)
			}
		}
	}
}

// portRange is a range for AWS: all ports, or for ICMP all types and codes, if the text is empty.
func portRange(protocol, text string) (first, last int) {
	switch {
	case protocol == "icmp":
		return -1, -1
	case text == "":
		return 0, 65535
	}
	from, to, isRange := strings.Cut(text, "-")
	if !isRange {
		to = from
	}
	// The texts are ours or were read as ports.
	first, _ = strconv.Atoi(from)
	last, _ = strconv.Atoi(to)
	return first, last
}
