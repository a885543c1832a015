// Package selectors reads of swanctl.conf what decides which packets enter a tunnel: each connection's
// children with their traffic selectors. It reads the text that charon is given, in strongSwan's syntax.
package selectors

import (
	"fmt"
	"net/netip"
	"strings"
)

// Child is one pair of lists of traffic selectors.
type Child struct {
	// Connection and Name are its names in charon.
	Connection, Name string
	// Local and Remote are the networks on the gateway's and on the customer's side.
	Local, Remote []netip.Prefix
	// Drops says that the child is no tunnel but a policy that drops what no tunnel takes.
	Drops bool
	// Initiates says that a packet or a start of charon would open the tunnel.
	Initiates bool
}

// Parse reads swanctl.conf. Files that it includes hold keys and are left out. Selectors that are no plain
// IPv4 CIDRs are an error.
func Parse(text string) ([]Child, error) {
	p := parser{tokens: tokens(text)}
	root, err := p.section("", true)
	if err != nil {
		return nil, err
	}
	var out []Child
	for _, connection := range root.sub("connections").sections {
		for _, s := range connection.sub("children").sections {
			child, err := readChild(connection.name, s)
			if err != nil {
				return nil, fmt.Errorf("connection %s, child %s: %w", connection.name, s.name, err)
			}
			out = append(out, child)
		}
	}
	return out, nil
}

func readChild(connection string, s section) (Child, error) {
	c := Child{Connection: connection, Name: s.name}
	var err error
	if c.Local, err = prefixes(s.settings["local_ts"]); err != nil {
		return Child{}, fmt.Errorf("local_ts: %w", err)
	}
	if c.Remote, err = prefixes(s.settings["remote_ts"]); err != nil {
		return Child{}, fmt.Errorf("remote_ts: %w", err)
	}
	start := s.settings["start_action"]
	switch s.settings["mode"] {
	case "tunnel":
		c.Initiates = start != "none"
	case "drop":
		c.Drops = start == "trap"
	default:
		return Child{}, fmt.Errorf("the mode %q is not known", s.settings["mode"])
	}
	return c, nil
}

func prefixes(list string) ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, text := range strings.Split(list, ",") {
		p, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil || !p.Addr().Is4() {
			return nil, fmt.Errorf("%q is no IPv4 CIDR", text)
		}
		out = append(out, p)
	}
	return out, nil
}
