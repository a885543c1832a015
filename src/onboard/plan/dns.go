package plan

import (
	"slices"
	"strings"

	"privnet/connection"
	"privnet/document"
)

// internalDomains are what the platform's own resolver answers for. A handler for one of them, or for a
// domain above it, would send the platform's questions to the customer.
var internalDomains = []string{"bosh", "cf.internal", "apps.internal", "in-addr.arpa"}

// dnsPort is where the customer's servers are asked, by UDP and, for long answers, by TCP.
const dnsPort = 53

// checkDNS records what is wrong with the request's private domains: names that are the platform's, own among them, a
// name given twice, and flows that leave out the questions themselves.
func checkDNS(v document.Value, own []string) {
	domains := v.Get("dns").List()
	var seen []string
	for _, element := range domains {
		field := element.Get("domain")
		name := strings.TrimSuffix(strings.ToLower(field.Text()), ".")
		for _, internal := range slices.Concat(internalDomains, own) {
			if within(name, internal) || within(internal, name) {
				field.Problem("is, holds or is below %s, which is the platform's own; give a domain of the customer's", internal)
			}
		}
		if slices.Contains(seen, name) {
			field.Problem("is listed twice; list it once, with all its servers")
		}
		seen = append(seen, name)
	}
	allow := v.Get("allow")
	if len(domains) == 0 || len(allow.List()) == 0 {
		return
	}
	flows := connection.ReadFlows(allow)
	for _, protocol := range []connection.Protocol{connection.UDP, connection.TCP} {
		if !slices.ContainsFunc(flows, func(f connection.Flow) bool { return f.Protocol == protocol && f.Opens(dnsPort) }) {
			allow.Problem("leaves out %s port %d, and the servers of dns are asked there; add it", protocol, dnsPort)
		}
	}
}

// within says whether a name is the domain or below it.
func within(name, domain string) bool {
	return name == domain || name != "" && strings.HasSuffix(name, "."+domain)
}
