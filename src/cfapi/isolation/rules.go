package isolation

import (
	"net/netip"
	"reflect"
	"strconv"
	"strings"

	"github.com/cloudfoundry/go-cfclient/v3/resource"

	"privnet/connection"
)

// allPorts is every port: CF's rules for TCP and UDP must name some.
const allPorts = "1-65535"

// Rules are the security group's rules: the private networks, narrowed to what the connection allows.
func Rules(c connection.Connection) []*resource.SecurityGroupRule {
	var out []*resource.SecurityGroupRule
	for _, network := range c.PrivateNetworks {
		if len(c.Allow) == 0 {
			out = append(out, resource.NewSecurityGroupRuleAll(network.String()))
		}
		for _, flow := range c.Allow {
			out = append(out, flowRules(network, flow)...)
		}
	}
	return out
}

// flowRules are several where a flow has ranges: CF takes a list of ports or one range, never both.
func flowRules(network netip.Prefix, flow connection.Flow) []*resource.SecurityGroupRule {
	if flow.Protocol == connection.ICMP {
		// -1 is every type and every code.
		return []*resource.SecurityGroupRule{resource.NewSecurityGroupRuleICMP(network.String(), -1, -1)}
	}
	var singles, ports []string
	for _, r := range flow.Ports {
		if r.First == r.Last {
			singles = append(singles, strconv.Itoa(int(r.First)))
		} else {
			ports = append(ports, r.String())
		}
	}
	if len(singles) > 0 {
		ports = append([]string{strings.Join(singles, ",")}, ports...)
	}
	if len(ports) == 0 {
		ports = []string{allPorts}
	}
	var out []*resource.SecurityGroupRule
	for _, p := range ports {
		rule := &resource.SecurityGroupRule{Protocol: string(flow.Protocol), Destination: network.String()}
		out = append(out, rule.WithPorts(p))
	}
	return out
}

func sameRules(have []resource.SecurityGroupRule, want []*resource.SecurityGroupRule) bool {
	if len(have) != len(want) {
		return false
	}
	for i := range have {
		if !reflect.DeepEqual(have[i], *want[i]) {
			return false
		}
	}
	return true
}
