package connection

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"privnet/document"
)

// Protocol is tcp, udp or icmp.
type Protocol string

const (
	TCP  Protocol = "tcp"
	UDP  Protocol = "udp"
	ICMP Protocol = "icmp"
)

// PortRange is First to Last, both included.
type PortRange struct {
	First, Last uint16
}

// String is the range as in 443 or 8000-8080.
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Flow is a protocol and, for TCP and UDP, the destination ports; no ports means all.
type Flow struct {
	Protocol Protocol
	Ports    []PortRange
}

// PortList is the ports as they are written in a request, as in 443,8000-8080; empty means all.
func (f Flow) PortList() string {
	ports := make([]string, len(f.Ports))
	for i, r := range f.Ports {
		ports[i] = r.String()
	}
	return strings.Join(ports, ",")
}

// Opens says whether the port is one of the flow's.
func (f Flow) Opens(port uint16) bool {
	return len(f.Ports) == 0 || slices.ContainsFunc(f.Ports, func(r PortRange) bool { return r.First <= port && port <= r.Last })
}

// Check is how a target is probed.
type Check string

const (
	// CheckICMP sends echo requests.
	CheckICMP Check = "icmp"
	// CheckTCP opens a TCP connection.
	CheckTCP Check = "tcp"
	// CheckHTTP asks for a path and takes any HTTP status as an answer.
	CheckHTTP Check = "http"
)

// Target is a service in a private network that may be asked whether it answers.
type Target struct {
	Address netip.Addr
	Check   Check
	// Port is the TCP port; 0 for ICMP.
	Port uint16
	// Path is the URL's path, for HTTP.
	Path string
}

// ReadFlows reads a list of {protocol, ports}; ports is a number, a range as in 8000-8080, or a
// comma-separated list of them.
func ReadFlows(v document.Value) []Flow { return readFlows(v) }

func readFlows(v document.Value) []Flow {
	var out []Flow
	for _, element := range v.List() {
		if flow, ok := readFlow(element); ok {
			out = append(out, flow)
		}
	}
	return out
}

func readFlow(v document.Value) (flow Flow, ok bool) {
	if !v.Fields("protocol", "ports") {
		return Flow{}, false
	}
	v.Get("protocol").Required("tcp, udp or icmp")
	flow.Protocol = Protocol(v.Get("protocol").OneOf("", string(TCP), string(UDP), string(ICMP)))
	ports := v.Get("ports")
	if flow.Protocol == ICMP && ports.Present() {
		ports.Problem("ICMP has no ports; leave the field out")
		return flow, true
	}
	flow.Ports, ok = readPorts(ports)
	return flow, ok && flow.Protocol != ""
}

// hostPorts are where the platform itself reaches every cell. A private network may not: by VXLAN, which knows no
// sender, it would put packets among all orgs' containers, and by the others call the platform's own servers.
var hostPorts = []struct {
	protocol Protocol
	port     uint16
	what     string
}{
	{TCP, 22, "ssh"}, {TCP, 1801, "Diego's rep"}, {UDP, 4789, "the overlay of all orgs' containers"}, {TCP, 8853, "bosh-dns"},
}

// readInbound reads flows that private networks may open to the segment.
func readInbound(v document.Value) []Flow {
	var out []Flow
	for _, element := range v.List() {
		flow, ok := readFlow(element)
		if !ok {
			continue
		}
		for _, host := range hostPorts {
			if flow.Protocol == host.protocol && flow.Opens(host.port) {
				element.Problem("opens %s port %d of the cells, which is %s; give the apps' ports, such as 61001-65535", host.protocol, host.port, host.what)
			}
		}
		out = append(out, flow)
	}
	return out
}

// readPorts reads ports; none means all. On a problem, which it records, ok is false.
func readPorts(v document.Value) (ports []PortRange, ok bool) {
	text := v.Text()
	if text == "" {
		return nil, true
	}
	for _, part := range strings.Split(text, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.ParseUint(strings.TrimSpace(first), 10, 16)
		to, err2 := strconv.ParseUint(strings.TrimSpace(last), 10, 16)
		if err1 != nil || err2 != nil || from == 0 || from > to {
			v.Problem("%q is no port or range of ports from 1 to 65535; write 443, 8000-8080 or 80,443", part)
			return nil, false
		}
		ports = append(ports, PortRange{uint16(from), uint16(to)})
	}
	return ports, true
}

// ReadTargets reads a list of {address, check, port, path}. Each address must be in one of the
// networks.
func ReadTargets(v document.Value, networks []netip.Prefix) []Target {
	var out []Target
	for _, element := range v.List() {
		if !element.Fields("address", "check", "port", "path") {
			continue
		}
		address, ok := ReadAddress(element.Get("address"), "the address of a service in a private network")
		if ok && len(networks) > 0 && !Contains(networks, address) {
			element.Get("address").Problem("is in none of the private networks; give an address in one of them")
			ok = false
		}
		target := Target{
			Address: address,
			Check:   Check(element.Get("check").OneOf(string(CheckICMP), string(CheckICMP), string(CheckTCP), string(CheckHTTP))),
			Port:    uint16(element.Get("port").Int(1, 65535)),
			Path:    element.Get("path").Text(),
		}
		switch {
		case target.Check == CheckHTTP && target.Port == 0:
			target.Port = 80
		case target.Check == CheckTCP && target.Port == 0:
			element.Get("port").Problem("is missing; a tcp check needs the port")
			ok = false
		case target.Check == CheckICMP && element.Get("port").Present():
			element.Get("port").Problem("an icmp check has no port; leave the field out")
			ok = false
		}
		if target.Check == CheckHTTP && target.Path == "" {
			target.Path = "/"
		}
		if target.Path != "" && (target.Check != CheckHTTP || !isURLPath(target.Path)) {
			element.Get("path").Problem("must be the path of an http check, as in /health, of printable ASCII without spaces and ((")
			ok = false
		}
		if ok {
			out = append(out, target)
		}
	}
	return out
}

// isURLPath refuses two parentheses, too: in a manifest they name a variable, and the customer's own server would be
// asked for the platform's secret.
func isURLPath(path string) bool {
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "((") || len(path) > 255 {
		return false
	}
	for _, r := range path {
		if r <= ' ' || r > '~' || strings.ContainsRune(`"'<>\^`+"`{|}", r) {
			return false
		}
	}
	return true
}
