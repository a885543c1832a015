package ipsec

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"privnet/connection"
)

// Rendered is everything that charon is told.
type Rendered struct {
	// Connections are the sections of swanctl.conf's connections, in order.
	Connections []Section
	// Keys are the shared keys, each for one remote identity.
	Keys []SharedKey
	// StrongSwan is the root of strongswan.conf.
	StrongSwan Section
	// Plugins are those that charon loads at its start.
	Plugins []string
	// Files are the certificates, for the directory Paths.Certificates.
	Files []File
	// PrivateKeys are those of the gateway's certificates, as PEM.
	PrivateKeys []Key
	// Intermediates lead from the gateway's certificates to their CAs.
	Intermediates []*x509.Certificate
	// CRLs say which of the endpoints' certificates are revoked.
	CRLs []*x509.RevocationList
	// Tunnels say which connection of charon belongs to whom.
	Tunnels []Tunnel
}

// SharedKey is what charon needs to know an endpoint by a pre-shared key. charon can hold only one key for
// an identity (with two, IKEv1 tries one of them, and IKEv2 answers with one), so one slot is in use.
type SharedKey struct {
	// ID is its name in charon.
	ID string
	// Remote is the endpoint's identity, and Endpoint the address that it comes from.
	Remote   string
	Endpoint netip.Addr
	Keys     Keys
	InUse    Slot
}

// Key is the key in use.
func (s SharedKey) Key() Key { return s.Keys.Key(s.InUse) }

// Paths are where charon finds what is not in its configuration.
type Paths struct {
	// Socket is the path that charon shall serve vici on.
	Socket string
	// Certificates is the directory of Rendered.Files.
	Certificates string
}

// Tunnel is a connection of charon that carries an org's traffic.
type Tunnel struct {
	// Name is the connection's name in charon.
	Name     string
	Org      string
	Endpoint netip.Addr
}

// Org is whose endpoint has an address, or empty.
func (r Rendered) Org(endpoint netip.Addr) string {
	for _, tunnel := range r.Tunnels {
		if tunnel.Endpoint == endpoint {
			return tunnel.Org
		}
	}
	return ""
}

// The names of those sections of a connection that hold who we are, and its children.
const (
	localSection    = "local"
	childrenSection = "children"
)

const header = "Written by ipsec-gateway from the job's properties; a change made here is lost."

// Swanctl is the text of swanctl.conf, which holds no key: it includes secretsFile, a file beside it.
func (r Rendered) Swanctl(secretsFile string) string {
	root := Section{Comments: []string{header}, Sections: []Section{{Name: "connections", Sections: r.Connections}}}
	return root.Text() + "\ninclude " + secretsFile + "\n"
}

// Secrets is the text of the file that swanctl.conf includes.
func (r Rendered) Secrets() string {
	secrets := Section{Name: "secrets"}
	for _, key := range r.Keys {
		secrets.Sections = append(secrets.Sections, Section{
			Name:     key.ID,
			Settings: []Setting{value("id", key.Remote), value("secret", key.Key().Base64())},
		})
	}
	return Section{Comments: []string{header}, Sections: []Section{secrets}}.Text()
}

// StrongSwanConf is the text of strongswan.conf.
func (r Rendered) StrongSwanConf() string {
	root := r.StrongSwan
	root.Comments = append([]string{header}, root.Comments...)
	return root.Text()
}

// Render makes charon's configuration of a gateway's. The same input gives the same output. The error says
// what cannot be configured safely.
func Render(config Config, paths Paths) (Rendered, error) {
	r := Rendered{StrongSwan: strongSwan(config, paths.Socket), Plugins: plugins(config)}
	remotes := map[string]string{}
	for _, c := range config.Connections {
		for _, endpoint := range c.Endpoints {
			id := identity(endpoint.ID)
			if other, taken := remotes[id]; taken {
				return Rendered{}, fmt.Errorf("org %s and org %s both have an endpoint with the identity %q; charon holds one key for an identity",
					other, c.Org, endpoint.ID)
			}
			remotes[id] = c.Org
			for _, version := range versions(c.IKE) {
				section := ikeConnection(config, c, endpoint, version, paths)
				r.Connections = append(r.Connections, section)
				r.Tunnels = append(r.Tunnels, Tunnel{Name: section.Name, Org: c.Org, Endpoint: endpoint.Address})
			}
			if c.Certificates != nil {
				continue
			}
			r.Keys = append(r.Keys, SharedKey{
				ID: "ike-" + tunnelName(c, endpoint), Remote: id, Endpoint: endpoint.Address, Keys: c.Keys, InUse: c.Keys.Active,
			})
		}
		if certificates := c.Certificates; certificates != nil {
			r.Files = append(r.Files, certificates.files()...)
			r.PrivateKeys = append(r.PrivateKeys, certificates.Key)
			r.Intermediates = append(r.Intermediates, certificates.Own[1:]...)
			r.CRLs = append(r.CRLs, certificates.CRLs...)
		}
		if config.DataPath == connection.DataPathKernel {
			r.Connections = append(r.Connections, dropShunts(c))
		}
	}
	if err := r.check(); err != nil {
		return Rendered{}, fmt.Errorf("rendering charon's configuration: %w", err)
	}
	return r, nil
}

func (r Rendered) check() error {
	if err := (Section{Sections: r.Connections}).Check(); err != nil {
		return err
	}
	for _, key := range r.Keys {
		if err := value("id", key.Remote).check(); err != nil {
			return fmt.Errorf("identity %q %w", key.Remote, err)
		}
		if problem := keyProblem(key.Key().text); problem != "" {
			return fmt.Errorf("the pre-shared key for %q %s", key.Remote, problem)
		}
	}
	return r.StrongSwan.Check()
}

// versions are the IKE versions that get a connection of their own. One connection for both (version = 0)
// would give an IKEv1 peer the IKEv2-shaped child, of which IKEv1 takes the first selectors only.
func versions(ike connection.IKE) []connection.IKE {
	if ike == connection.IKEAuto {
		return []connection.IKE{connection.IKEv2, connection.IKEv1}
	}
	return []connection.IKE{ike}
}

// The timers of an idle or dying tunnel. A dead peer is given up after dpdDelay and then about 20 s: with
// IKEv2 the retransmissions of strongSwan, with IKEv1 what remains of dpdTimeout.
const (
	dpdDelay   = "10s"
	dpdTimeout = "30s"
)

// ikeConnection is the connection for one endpoint and IKE version.
func ikeConnection(config Config, c Connection, endpoint connection.Endpoint, version connection.IKE, paths Paths) Section {
	s := Section{
		Name: tunnelName(c, endpoint) + "-ikev" + string(version),
		Comments: []string{fmt.Sprintf("org %s: %s endpoint %s to gateway %s, IKEv%s, policy %s",
			c.Org, endpoint.Device, endpoint.Address, c.Gateway.PublicAddress, version, c.Policy)},
		Settings: []Setting{
			value("version", string(version)),
			values("local_addrs", texts(localAddresses(config, c))...),
			values("remote_addrs", endpoint.Address.String()),
			values("proposals", c.ikeProposals(version)...),
			// The endpoint's new SA replaces the one that it lost.
			value("unique", "replace"),
			value("dpd_delay", dpdDelay),
			value("fragmentation", "yes"),
		},
	}
	s.Settings = append(s.Settings, ikeLifetime(version, endpoint.Device)...)
	if version == connection.IKEv1 {
		s.Settings = append(s.Settings, value("aggressive", "no"), value("dpd_timeout", dpdTimeout))
	} else {
		// Both ends stay where they are, and some devices do not follow MOBIKE's move to port 4500.
		s.Settings = append(s.Settings, value("mobike", "no"))
	}
	if c.Certificates != nil {
		// Some devices do not ask for it, and cannot authenticate us without.
		s.Settings = append(s.Settings, value("send_cert", "always"))
	}
	s.Sections = append(c.ends(endpoint, paths), Section{Name: childrenSection, Sections: children(config, c, version)})
	return s
}

// EndpointIKEHours is the lifetime of phase 1 that endpoints are asked for, in hours.
const EndpointIKEHours = 8

// ikeLifetime says when we renew a phase 1 that the endpoint has not renewed, and that it lasts a day at most, the
// cap of NIST SP 800-77. (A child's is 8 h.) The endpoint's lifetime is shorter, so that it comes first; and it
// should: IKEv1 can only reauthenticate, and charon loses the children when the endpoint does not answer that.
//
// But with IKEv1 PAN-OS lets phase 1 end and goes on with phase 2, and charon has no phase 2 without a phase 1. There
// we come first.
func ikeLifetime(version connection.IKE, device string) []Setting {
	const day = 24
	rekey := day - 1
	if version == connection.IKEv1 && device == "paloalto" {
		rekey = EndpointIKEHours - 1
	}
	return []Setting{
		value("rekey_time", fmt.Sprintf("%dh", rekey)),
		value("over_time", fmt.Sprintf("%dh", day-rekey)),
		value("rand_time", "0s"),
	}
}

// children are N×M children of one pair each for IKEv1, which has one pair in a Quick Mode, and one child
// with all selectors for IKEv2, which an endpoint that asks for single pairs narrows.
func children(config Config, c Connection, version connection.IKE) []Section {
	if version != connection.IKEv1 {
		all := child(config, c, version, "all-pairs", c.Segment, c.PrivateNetworks)
		for _, pair := range c.Pairs() {
			all.Comments = append(all.Comments, fmt.Sprintf("%s to %s", pair.Segment, pair.PrivateNetwork))
		}
		return []Section{all}
	}
	var out []Section
	for _, pair := range c.Pairs() {
		one := child(config, c, version, dashed(pair.Segment)+"-to-"+dashed(pair.PrivateNetwork),
			[]netip.Prefix{pair.Segment}, []netip.Prefix{pair.PrivateNetwork})
		one.Comments = []string{fmt.Sprintf("%s to %s", pair.Segment, pair.PrivateNetwork)}
		out = append(out, one)
	}
	return out
}

func child(config Config, c Connection, version connection.IKE, name string, local, remote []netip.Prefix) Section {
	s := Section{Name: name, Settings: []Setting{
		values("local_ts", texts(local)...),
		values("remote_ts", texts(remote)...),
		values("esp_proposals", c.espProposals(version)...),
		value("mode", "tunnel"),
		value("rekey_time", "450m"),
		value("life_time", "8h"),
		value("rand_time", "0s"),
		// We respond only: nothing that happens here may open a tunnel that the customer closed.
		value("start_action", "none"),
		value("dpd_action", "none"),
		value("close_action", "none"),
		// Clouds reorder packets more than the default of 32 allows for.
		value("replay_window", "1024"),
		// An ESP packet that is too large for the path is fragmented and not lost where ICMP is filtered.
		value("copy_df", "no"),
	}}
	if config.DataPath == connection.DataPathKernel {
		s.Settings = append(s.Settings, policiesFwdOut)
	}
	return s
}

// policiesFwdOut makes charon write a policy for what is forwarded towards the private network, too. The
// drop shunts need it to stop that, and the tunnel then needs it to win over them.
var policiesFwdOut = value("policies_fwd_out", "yes")

// dropShunts drop what no tunnel takes between segment and private networks. They are the second layer
// under the egress rules, for the kernel's data path only: libipsec has no such policies. As a connection
// it matches no peer.
func dropShunts(c Connection) Section {
	return Section{
		Name:     c.Org + "-drop",
		Comments: []string{fmt.Sprintf("org %s: without a tunnel, nothing passes between segment and private networks", c.Org)},
		Settings: []Setting{
			value("version", "2"),
			values("local_addrs", "127.0.0.1"),
			values("remote_addrs", "127.0.0.1"),
			values("proposals", Modern.IKEProposals(connection.IKEv2)...),
		},
		Sections: []Section{
			{Name: localSection, Settings: []Setting{value("auth", "pubkey")}},
			{Name: "remote", Settings: []Setting{value("auth", "pubkey")}},
			{Name: childrenSection, Sections: []Section{{Name: c.Org + "-drop", Settings: []Setting{
				values("local_ts", texts(c.Segment)...),
				values("remote_ts", texts(c.PrivateNetworks)...),
				value("mode", "drop"),
				value("start_action", "trap"),
				policiesFwdOut,
			}}}},
		},
	}
}

// Children are the sections of a connection's children.
func (s Section) Children() []Section {
	for _, sub := range s.Sections {
		if sub.Name == childrenSection {
			return sub.Sections
		}
	}
	return nil
}

// WithoutChildren is what is left of a connection.
func (s Section) WithoutChildren() Section {
	s.Sections = slices.DeleteFunc(slices.Clone(s.Sections), func(sub Section) bool { return sub.Name == childrenSection })
	return s
}

// WithoutOwnCertificate is a connection without the certificate that we show.
func (s Section) WithoutOwnCertificate() Section {
	s.Sections = slices.Clone(s.Sections)
	for i, sub := range s.Sections {
		if sub.Name == localSection {
			s.Sections[i].Sections = nil
		}
	}
	return s
}

// Shunts are the names of a connection's children that drop packets.
func (s Section) Shunts() []string {
	var out []string
	for _, child := range s.Children() {
		if slices.ContainsFunc(child.Settings, func(s Setting) bool { return s.Key == "mode" && s.Values[0] == "drop" }) {
			out = append(out, child.Name)
		}
	}
	return out
}

// localAddresses are those that an endpoint's packet may be addressed to when it arrives here. Behind a
// 1:1 NAT, which no one tells us of, it is one of the instance's own and not the public address.
func localAddresses(config Config, c Connection) []netip.Addr {
	out := []netip.Addr{c.Gateway.PublicAddress}
	for _, address := range append([]netip.Addr{c.Gateway.Address}, config.Addresses...) {
		if !slices.Contains(out, address) {
			out = append(out, address)
		}
	}
	return out
}

// identity is an IKE identity with its type spelled out: strongSwan guesses it otherwise, and takes some
// names for any peer or a range of addresses.
func identity(id string) string {
	switch _, err := netip.ParseAddr(id); {
	case err == nil, strings.HasPrefix(id, "keyid:"):
		return id
	case strings.Contains(id, "@"):
		return "email:" + id
	default:
		return "fqdn:" + id
	}
}

func tunnelName(c Connection, endpoint connection.Endpoint) string {
	return c.Org + "-" + dashed(endpoint.Address)
}

// dashed is an address or CIDR as part of a name: strongSwan reads a dot there as a path.
func dashed[T fmt.Stringer](v T) string {
	return strings.NewReplacer(".", "-", "/", "_", ":", "-").Replace(v.String())
}

func texts[T fmt.Stringer](list []T) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = v.String()
	}
	return out
}

func list[T fmt.Stringer](v []T) string { return strings.Join(texts(v), ", ") }
