package connection

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"privnet/document"
)

// Endpoint is the customer's VPN device.
type Endpoint struct {
	// Address is the one its packets come from, as the internet sees it.
	Address netip.Addr
	// Device is its type, one of Devices.
	Device string
	// ID is the IKE identity it presents: an IPv4 address, an FQDN, a user@FQDN or a key id written
	// keyid:<text>. It is the address unless the request says otherwise.
	ID string
}

// Devices are the types of endpoint that the hand-off has a configuration for.
var Devices = []string{
	"aws", "azure", "checkpoint", "cisco-asa", "cisco-ios", "fortinet", "gcp", "juniper-srx", "libreswan",
	"meraki", "mikrotik", "openswan", "opnsense", "other", "paloalto", "pfsense", "sonicwall", "strongswan", "vyos",
}

// idPattern admits what FQDN, user@FQDN and key identities are made of and nothing that means
// something to a configuration file.
var idPattern = regexp.MustCompile(`^(keyid:)?[A-Za-z0-9]([A-Za-z0-9._@-]{0,253}[A-Za-z0-9])?$`)

func readEndpoint(v document.Value) (Endpoint, bool) {
	if !v.Fields("address", "device", "id") {
		return Endpoint{}, false
	}
	address, ok := ReadPublicAddress(v.Get("address"), "the public address of the customer's VPN endpoint")
	e := Endpoint{Address: address, ID: v.Get("id").Text()}
	device := v.Get("device")
	e.Device = strings.ToLower(device.Required("the type of endpoint, one of " + strings.Join(Devices, ", ")))
	if e.Device != "" && !slices.Contains(Devices, e.Device) {
		device.Problem("is not a known device; known are %s", strings.Join(Devices, ", "))
		ok = false
	}
	switch {
	case e.ID == "" && ok:
		e.ID = address.String()
	case e.ID == "":
	case strings.Contains(e.ID, ":") && !strings.HasPrefix(e.ID, "keyid:"), !idPattern.MatchString(e.ID):
		v.Get("id").Problem("is no IKE identity that can be configured; give an IPv4 address, an FQDN, a user@FQDN or keyid:<letters, digits, . _ @ ->")
		ok = false
	}
	return e, ok && e.Device != ""
}
