package impact

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"privnet/connection"
	"privnet/handoff"
	"privnet/onboard/render"
)

// customer compares what the customer has set up with what the new page tells.
func (i *Impact) customer(before, after render.Input) error {
	was, is := before.Request, after.Request
	var lines []string
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	configured, err := differs(before, after)
	if err != nil {
		return err
	}
	i.Customer.Must = configured
	if added := missing(is.PrivateNetworks, was.PrivateNetworks); len(added) > 0 {
		say("Add to phase 2 (proxy IDs): %s. Let %s reach what the apps need there, and route it into the tunnel.", pairs(added, after), list(after.Plan.CIDRs()))
	}
	if gone := missing(was.PrivateNetworks, is.PrivateNetworks); len(gone) > 0 {
		say("Take from phase 2 (proxy IDs): %s. We drop what comes from there or goes there.", pairs(gone, after))
	}
	if was.IKE != is.IKE {
		say("%s", versions(is.IKE))
	}
	algorithms, err := suitesDiffer(was, is)
	if err != nil {
		return err
	}
	if algorithms {
		say("Set the algorithms of both phases to those of the attached page.")
	}
	if was.Endpoint.Address != is.Endpoint.Address {
		i.Customer.Must = true
		say("Open the tunnel from %s; we no longer answer %s.", is.Endpoint.Address, was.Endpoint.Address)
	}
	if was.Endpoint.ID != is.Endpoint.ID {
		say("Your device's own IKE identity (local ID) is %s now.", strings.TrimPrefix(is.Endpoint.ID, "keyid:"))
	}
	if was.Endpoint.Device != is.Endpoint.Device {
		say("The attached page has the settings in the words of your new device.")
	}
	had, gets := newest(was.PSK), newest(is.PSK)
	switch {
	case is.PSK == was.PSK:
	case gets == had:
		say("We accept the new pre-shared key only; the old one has ended.")
	case gets < had:
		i.Customer.Must = true
		say("We accept the old pre-shared key only: put it back if you have changed to the new one.")
	case is.PSK.Generation <= had:
		i.Customer.Must = true
		say("You receive a new pre-shared key another way. From our deploy on we accept it and the old one: put it in the old one's place when it suits you, and tell us.")
	default:
		i.Customer.Must = true
		say("You receive a new pre-shared key another way. From our deploy on we accept it alone.")
	}
	if !slices.EqualFunc(was.Inbound, is.Inbound, sameFlow) {
		say("What your network may open towards the apps is now: %s.", flows(is.Inbound, "nothing"))
	}
	if !slices.EqualFunc(was.Allow, is.Allow, sameFlow) {
		say("What the apps may open in your networks is now: %s. Let it pass, if a firewall of yours is on the way.", flows(is.Allow, "everything"))
	}
	if domains(was.DNS) != domains(is.DNS) {
		say("The apps ask your DNS servers for: %s. Let %s ask them on port 53, UDP and TCP.", domains(is.DNS), list(after.Plan.CIDRs()))
	}
	if len(lines) == 0 {
		return nil
	}
	message := "We change your private network on DATE."
	if i.Tunnel != tunnelStays {
		message += " The tunnel closes for some minutes; let your device open it again."
	}
	i.Customer.Message = strings.Join(append([]string{message}, lines...), "\n")
	return nil
}

// differs says whether an endpoint is to be configured otherwise, by what a strongSwan one is to be given.
func differs(before, after render.Input) (bool, error) {
	form := func(in render.Input) (string, error) {
		facts := render.Handoff(in, "")
		facts.Endpoint.Device = "strongswan"
		return handoff.Form(facts)
	}
	was, err := form(before)
	if err != nil {
		return false, err
	}
	is, err := form(after)
	return was != is, err
}

// suitesDiffer compares the algorithms, which may change with the IKE version: each has its own default.
func suitesDiffer(was, is connection.Request) (bool, error) {
	before, err := handoff.Recommend(was.IKE, was.Policy)
	if err != nil {
		return false, err
	}
	after, err := handoff.Recommend(is.IKE, is.Policy)
	return before.Policy != after.Policy, err
}

// newest is the generation of the key that the customer is to have.
func newest(psk connection.PSK) int {
	if psk.Next {
		return psk.Generation + 1
	}
	return psk.Generation
}

func versions(ike connection.IKE) string {
	if ike == connection.IKEAuto {
		return "From our deploy on we accept IKEv1 and IKEv2. Set your device to IKEv2 with the settings of the attached page when it suits you, and tell us."
	}
	return fmt.Sprintf("Set your device to IKEv%s, with the settings of the attached page; we accept no other version from then on.", ike)
}

func missing(of, in []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(of), func(p netip.Prefix) bool { return slices.Contains(in, p) })
}

func pairs(networks []netip.Prefix, in render.Input) string {
	var out []string
	for _, n := range networks {
		for _, s := range in.Plan.CIDRs() {
			out = append(out, fmt.Sprintf("yours %s, ours %s", n, s))
		}
	}
	return strings.Join(out, "; ")
}

func list(prefixes []netip.Prefix) string {
	out := make([]string, len(prefixes))
	for i, p := range prefixes {
		out[i] = p.String()
	}
	return strings.Join(out, ", ")
}

func sameFlow(a, b connection.Flow) bool {
	return a.Protocol == b.Protocol && slices.Equal(a.Ports, b.Ports)
}

func flows(in []connection.Flow, none string) string {
	if len(in) == 0 {
		return none
	}
	var out []string
	for _, f := range in {
		out = append(out, strings.TrimSpace(string(f.Protocol)+" "+f.PortList()))
	}
	return strings.Join(out, ", ")
}

func domains(in []connection.Domain) string {
	var out []string
	for _, d := range in {
		out = append(out, fmt.Sprintf("%s at %s", d.Domain, strings.Trim(fmt.Sprint(d.Servers), "[]")))
	}
	if out == nil {
		return "none"
	}
	return strings.Join(out, ", ")
}
