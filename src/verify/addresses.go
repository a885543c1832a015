package verify

import (
	"net/netip"
	"slices"

	"privnet/egress"
	"privnet/verify/artefact"
)

// checkAddresses compares the org's address space with everybody else's.
func (o *orgCheck) checkAddresses() {
	segment, private := o.entry.Plan.CIDRs(), o.entry.Request.PrivateNetworks
	for _, s := range segment {
		if !slices.ContainsFunc(o.Platform.Prefixes(), func(pool netip.Prefix) bool {
			return pool.Bits() <= s.Bits() && pool.Contains(s.Addr())
		}) {
			o.find(addresses, "%s of the segment is in none of the platform's pools, which the guard of the shared cells goes by", s)
		}
		if o.disjoint {
			continue
		}
		for _, other := range o.overlapping(s) {
			if other.link != o.link || other.prefix != s {
				o.find(addresses, "%s of the segment overlaps %s, %s", s, other.prefix, other.owner)
			}
		}
	}
	for _, p := range private {
		for _, other := range o.overlapping(p) {
			o.find(addresses, "the private network %s overlaps %s, %s", p, other.prefix, other.owner)
		}
		for _, pool := range o.Platform.Prefixes() {
			if pool.Overlaps(p) {
				o.find(addresses, "the private network %s overlaps %s, from which the platform takes segments", p, pool)
			}
		}
	}
	for _, p := range slices.Concat(segment, private) {
		for _, other := range o.forbidden {
			if other.prefix.Overlaps(p) {
				o.find(addresses, "%s overlaps %s, %s", p, other.prefix, other.owner)
			}
		}
	}
}

// overlapping lists the segments, also the org's own, that share an address with the prefix.
func (w *world) overlapping(p netip.Prefix) []claim {
	if !w.space.OverlapsPrefix(p) {
		return nil
	}
	var out []claim
	for _, s := range w.segments {
		if s.prefix.Overlaps(p) {
			out = append(out, s)
		}
	}
	return out
}

// checkMembers looks at who is in the org's segment and who should be.
func (o *orgCheck) checkMembers() {
	names := o.entry.Plan.Names()
	for _, g := range o.onNetwork[names.Network] {
		if g.Link != o.link {
			o.find(members, "the group %s is in the network %s, and none of its jobs has the link %s", g.Name, names.Network, o.link)
		}
	}
	for _, g := range o.groups[o.link] {
		if !g.IsGateway && !g.RunsApps {
			continue
		}
		if len(g.Links) > 1 {
			o.find(members, "the jobs of the group %s have the links of several orgs: %v", g.Name, g.Links)
		}
		wanted := egress.RoleCell
		if g.IsGateway {
			wanted = egress.RoleGateway
		}
		if g.Role != wanted {
			o.find(members, "the group %s needs the job egress-enforcer with role %s, and has %s", g.Name, wanted, orNone(string(g.Role)))
		}
		if !slices.ContainsFunc(g.Networks, inNetwork(names.Network)) {
			o.find(members, "the group %s is not in the network %s", g.Name, names.Network)
		}
		if g.IsGateway {
			o.checkGatewayGroup(g)
		}
		if g.RunsApps && (len(g.Networks) != 1) {
			o.find(members, "the cells of %s are in more than one network, so that a packet may leave by another", g.Name)
		}
		if g.RunsApps && g.HasRep && !slices.Equal(g.PlacementTags, []string{names.PlacementTag}) {
			o.find(members, "apps with other placement tags may run on %s: it has %v, and must have %s alone", g.Name, g.PlacementTags, names.PlacementTag)
		}
	}
	for _, g := range o.tagged[names.PlacementTag] {
		if g.Link != o.link {
			o.find(members, "apps of the org may run on %s, which is no cell of its own: it has the placement tag %s", g.Name, names.PlacementTag)
		}
	}
}

// checkGatewayGroup looks at what only a gateway has: networks that its public address may be in, and keys.
func (o *orgCheck) checkGatewayGroup(g artefact.Group) {
	names := o.entry.Plan.Names()
	for _, n := range g.Networks {
		if n.Name != names.Network && n.Name != names.PublicNetwork && n.Name != o.Platform.PublicNetwork {
			o.find(members, "the gateway %s is in the network %s, too, which is neither the segment nor has public addresses", g.Name, n.Name)
		}
	}
	for _, key := range g.Keys {
		for _, other := range o.keyed[key] {
			if other.Link != g.Link {
				o.find(own, "%s and %s have the same pre-shared key, the variable %s: each customer could pose as the other", g.Name, other.Name, key)
			}
		}
	}
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}

func inNetwork(name string) func(artefact.Network) bool {
	return func(n artefact.Network) bool { return n.Name == name }
}
