package verify

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"net/netip"
	"slices"

	"go4.org/netipx"

	"privnet/connection"
	"privnet/document"
	"privnet/verify/artefact"
	"privnet/verify/netfilter"
	"privnet/verify/selectors"
	"privnet/verify/space"
)

// world is what all checks look things up in. It is not changed while they run.
type world struct {
	Input
	gateways, cells map[string][]artefact.VM
	// onNetwork are the groups in a BOSH network, by its name.
	onNetwork map[string][]artefact.Group
	// groups are those of an org, by its link.
	groups map[string][]artefact.Group
	// tagged are the groups with a placement tag.
	tagged map[string][]artefact.Group
	// keyed are the groups of gateways with a pre-shared key, by its variable.
	keyed map[string][]artefact.Group
	// segments are all orgs', in order, and space the same as a set; disjoint says that no two overlap.
	segments []claim
	space    *netipx.IPSet
	disjoint bool
	// forbidden is what no private network may overlap, beside segments; platform are the platform's networks of it.
	forbidden, platform []claim
}

// claim is a part of the address space and whose it is.
type claim struct {
	prefix netip.Prefix
	owner  string
	// link is the org's; empty where it is nobody's segment.
	link string
}

func newWorld(in Input) *world {
	w := &world{
		Input: in, gateways: byLink(in.Deployment.Gateways), cells: byLink(in.Deployment.Cells),
		onNetwork: map[string][]artefact.Group{}, groups: map[string][]artefact.Group{},
		tagged: map[string][]artefact.Group{}, keyed: map[string][]artefact.Group{}, disjoint: true,
	}
	for _, g := range in.Deployment.Groups {
		for _, n := range g.Networks {
			w.onNetwork[n.Name] = append(w.onNetwork[n.Name], g)
		}
		for _, tag := range g.PlacementTags {
			w.tagged[tag] = append(w.tagged[tag], g)
		}
		for _, key := range g.Keys {
			w.keyed[key] = append(w.keyed[key], g)
		}
		for _, link := range g.Links {
			w.groups[link] = append(w.groups[link], g)
		}
	}
	public := slices.Concat(in.Platform.PublicAddresses, in.Platform.EgressAddresses)
	for _, e := range in.Entries {
		for _, s := range e.Plan.CIDRs() {
			w.segments = append(w.segments, claim{s, "the segment of " + e.Plan.Name, e.Plan.Names().Link})
		}
		for _, g := range e.Plan.Gateways {
			public = append(public, g.PublicAddress)
		}
	}
	slices.SortFunc(w.segments, func(a, b claim) int { return a.prefix.Compare(b.prefix) })
	var segments []netip.Prefix
	for i, s := range w.segments {
		segments = append(segments, s.prefix)
		// A prefix that overlaps one further back overlaps the one between them, too, or that one does.
		w.disjoint = w.disjoint && (i == 0 || !s.prefix.Overlaps(w.segments[i-1].prefix))
	}
	w.space = connection.Set(segments...)
	w.forbidden = []claim{
		{connection.Overlay, "the overlay of the platform's containers", ""},
		{netip.MustParsePrefix("169.254.0.0/16"), "link-local space, with the platform's DNS and the clouds' metadata", ""},
		{netip.MustParsePrefix("127.0.0.0/8"), "loopback", ""},
	}
	for _, n := range in.Platform.Networks {
		w.platform = append(w.platform, claim{n, fmt.Sprintf("the platform's network %s", n), ""})
	}
	w.forbidden = append(w.forbidden, w.platform...)
	hosts := make([]netip.Prefix, len(public))
	for i, a := range public {
		hosts[i] = netip.PrefixFrom(a, a.BitLen())
	}
	for _, p := range connection.Set(hosts...).Prefixes() {
		w.forbidden = append(w.forbidden, claim{p, "our public addresses", ""})
	}
	return w
}

func byLink(vms []artefact.VM) map[string][]artefact.VM {
	out := map[string][]artefact.VM{}
	for _, vm := range vms {
		out[vm.Group.Link] = append(out[vm.Group.Link], vm)
	}
	return out
}

// host is a VM whose artefacts have been read.
type host struct {
	artefact.VM
	ipv4, ipv6 netfilter.Table
	children   []selectors.Child
}

// readHost reads what a VM is given. What cannot be read cannot be judged: that is an error.
func readHost(vm artefact.VM) (host, error) {
	h := host{VM: vm}
	var err error
	unreadable := func(what string) error {
		return document.Problems{{File: vm.Name, Want: fmt.Sprintf("%s cannot be judged: %s", what, err)}}
	}
	if h.ipv4, err = netfilter.Parse(vm.Rules); err != nil {
		return h, unreadable("the rules")
	}
	if h.ipv6, err = netfilter.Parse(vm.Rules6); err != nil {
		return h, unreadable("the rules for IPv6")
	}
	if vm.Swanctl == "" {
		return h, nil
	}
	if h.children, err = selectors.Parse(vm.Swanctl); err != nil {
		return h, unreadable("swanctl.conf")
	}
	return h, nil
}

// forwarded, sent and received are the packets that pass the host's rules: through it, from it, to it.
func (h host) forwarded() space.Region {
	return h.ipv4.Passes("POSTROUTING", h.ipv4.Passes("FORWARD", space.Everything()))
}

func (h host) sent() space.Region {
	local := space.All().With(space.ArrivedBy, space.One(space.No)).With(space.Arrived, space.One(space.No))
	return h.ipv4.Passes("POSTROUTING", h.ipv4.Passes("OUTPUT", space.Region{local}))
}

func (h host) received() space.Region {
	local := space.All().With(space.LeavesBy, space.One(space.No)).With(space.Leaves, space.One(space.No))
	return h.ipv4.Passes("INPUT", space.Region{local})
}

// digest is a hash over artefacts.
type digest struct{ hash.Hash }

func newDigest() digest { return digest{sha256.New()} }

func (d digest) add(vm artefact.VM) {
	fmt.Fprintf(d, "%s\n%s\n%s\n%s\n%v\n", vm.Name, vm.Swanctl, vm.Rules, vm.Rules6, vm.Routes)
}

func (d digest) String() string { return hex.EncodeToString(d.Sum(nil)) }

// ranges are prefixes as ranges of a dimension.
func ranges(prefixes []netip.Prefix) []space.Range {
	out := make([]space.Range, len(prefixes))
	for i, p := range prefixes {
		out[i] = space.Prefix(p)
	}
	return out
}

// between is every packet from one of the sources to one of the destinations.
func between(sources, destinations []netip.Prefix) space.Region {
	return space.Everything().Within(space.Source, ranges(sources)...).Within(space.Destination, ranges(destinations)...)
}
