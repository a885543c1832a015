package ipsec

import (
	"slices"
	"strconv"
	"strings"

	"privnet/connection"
)

// plugins are loaded in this order. kernel-libipsec must come before kernel-netlink, or the kernel's ESP
// is taken; ml is there for every policy, because charon loads no plugin after its start.
// What reads certificates is there only for those who use them.
func plugins(config Config) []string {
	out := []string{"random", "nonce", "openssl", "ml", "hmac", "kdf", "socket-default"}
	if config.FIPS {
		// Without these strongSwan's own code computes nothing; openssl has HMAC and KDF too.
		out = []string{"random", "nonce", "openssl", "socket-default"}
	}
	if slices.ContainsFunc(config.Connections, func(c Connection) bool { return c.Certificates != nil }) {
		out = append(out, "pem", "revocation", "constraints")
	}
	if config.DataPath == connection.DataPathUserland {
		out = append(out, "kernel-libipsec")
	}
	return append(out, "kernel-netlink", "counters", "vici")
}

// strongSwan is the root of strongswan.conf.
func strongSwan(config Config, viciSocket string) Section {
	var openSSL []Section
	if config.FIPS {
		openSSL = []Section{{Name: "openssl", Settings: []Setting{value("fips_mode", "1")}}}
	}
	return Section{Sections: []Section{{
		Name: "charon",
		Settings: []Setting{
			value("load", strings.Join(plugins(config), " ")),
			value("install_virtual_ip", "no"),
			value("follow_redirects", "no"),
			value("multiple_authentication", "no"),
			// charon keeps state of so many Quick Modes and forgets older ones that still run: all pairs
			// may come at once, and rekey at once.
			value("max_ikev1_exchanges", strconv.Itoa(maxExchanges(config))),
			// 1 + 1.5 + 2.25 + ... gives a dead peer up after 21 s; the default takes 165 s.
			value("retransmit_timeout", "1.0"),
			value("retransmit_base", "1.5"),
			value("retransmit_tries", "5"),
			// An endpoint with a wrong setting tries again and again. With the default (5 in 30 s) it
			// would still be locked out when its setting is right. Who forges its address gets no
			// further with IKEv2, which asks for a cookie after three. Addresses that are not declared
			// leave nothing half-open.
			value("block_threshold", strconv.Itoa(halfOpenPerEndpoint)),
			value("half_open_timeout", "15"),
			value("init_limit_half_open", strconv.Itoa(halfOpen(config))),
		},
		Sections: []Section{
			// Not stdout: charon would keep lines back until a buffer is full, also with flush_line.
			{Name: "filelog", Sections: []Section{{Name: "stderr", Settings: []Setting{
				value("default", strconv.Itoa(config.LogLevel)),
				value("json", "yes"),
				value("ike_name", "yes"),
			}}}},
			{Name: "plugins", Sections: append(openSSL, []Section{
				// A change of addresses or routes would make charon initiate, to move its SAs.
				{Name: "kernel-netlink", Settings: []Setting{value("roam_events", "no")}},
				{Name: "vici", Settings: []Setting{value("socket", "unix://"+viciSocket)}},
			}...)},
		},
	}}}
}

// halfOpenPerEndpoint is how many IKE_SAs that have not authenticated an address may have.
const halfOpenPerEndpoint = 20

// halfOpen is how many there may be in all: so many that a few endpoints at their limit do not lock out the
// others.
func halfOpen(config Config) int {
	endpoints := 0
	for _, c := range config.Connections {
		endpoints += len(c.Endpoints)
	}
	return max(500, 2*halfOpenPerEndpoint*endpoints)
}

// maxExchanges is two for each pair of the largest connection, and at least strongSwan's default of 3.
func maxExchanges(config Config) int {
	most := 3
	for _, c := range config.Connections {
		if c.IKE != connection.IKEv2 {
			most = max(most, 2*len(c.Pairs()))
		}
	}
	return most
}
