// Package verify proves that a deployment keeps its orgs apart. From what the VMs are given (package
// artefact), not from what somebody meant, it computes exactly which packets pass, and compares the sets
// with those that may. Where they differ it shows a packet and its way.
//
// # What is proved
//
// For each org, whoever sends and whatever the packet: into its tunnel comes only what goes from its own
// segment to its own private networks; between the two nothing passes unprotected; nobody but the org's
// own VMs has an address in its segment, and no app but the org's own runs on them. See Obligations.
//
// # What is assumed
//
// The IaaS delivers a packet to a VM's address to that VM and lets no VM send from another's address. The
// kernel does with rules what package netfilter says, which a spec compares with the kernel. charon
// negotiates no selectors but the configured ones or narrower. The enforcer has brought the kernel to its
// policy, which it says itself, in its metrics. Nobody is root on the VMs.
package verify

import (
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"

	"privnet/connection"
	"privnet/document"
	"privnet/onboard/ledger"
	"privnet/onboard/platform"
	"privnet/onboard/removal"
	"privnet/verify/artefact"
)

// Input is what is compared: the platform, what the orgs asked for and hold, and what is deployed.
type Input struct {
	Platform   platform.Platform
	Entries    []ledger.Entry
	Deployment artefact.Deployment
}

// Obligation is one part of the claim.
type Obligation struct {
	Name      string `json:"name"`
	Statement string `json:"statement"`
}

// The obligations that every org has, and, the last two, those of the platform.
var (
	addresses      = Obligation{"addresses", "The segment is the org's alone; it and the private networks share no address with another segment, the platform's networks, the overlay, link-local space or our public addresses."}
	ledgerSame     = Obligation{"ledger", "What is deployed is what the ledger says: the same segment, private networks, gateways, endpoints and flows."}
	members        = Obligation{"members", "Only the org's own gateways and cells are in its segment, each with an enforcer in its role, and only the org's apps are placed on the cells. A gateway is in no other network than the segment's and that of its public address."}
	tunnel         = Obligation{"tunnel", "Of all packets, whoever sends them, the gateway lets into the tunnel only those from the org's segment to the org's private networks."}
	unprotected    = Obligation{"not-in-ipsec", "No packet to or from a private network passes the gateway outside IPsec, and the gateway forwards nothing else at all: the class of what is forwarded and not in IPsec is empty."}
	own            = Obligation{"gateway", "The gateway itself exchanges packets with the private networks only through the tunnel, sends nothing in their name, and takes IKE and ESP only from the declared endpoints; nobody but the platform calls it; no other gateway has its pre-shared key."}
	selectorsAgree = Obligation{"selectors", "charon's traffic selectors are exactly the pairs of networks that the rules let into the tunnel; what no tunnel takes is dropped; nothing but the customer opens it."}
	flows          = Obligation{"flows", "Only the declared protocols and ports pass, in either direction, on the gateways and on the cells."}
	cells          = Obligation{"cells", "A packet from a cell or its apps to a private network takes the route to the org's gateway or none; the cell sends nothing in their name."}
	ipv6           = Obligation{"ipv6", "No IPv6 packet is forwarded by a cell or a gateway of the org."}
	guard          = Obligation{"guard", "Of the packets of apps on shared cells only answers enter a segment; of the cells' own, only answers and those to the platform's ports. Groups that the platform file has under guarded_elsewhere are the IaaS's to hold back."}
	strangers      = Obligation{"strangers", "Every gateway and every dedicated cell that is deployed belongs to an org of the ledger."}
)

// Obligations are those of an org, PlatformObligations those of the platform, in the order of a result.
var (
	Obligations         = []Obligation{addresses, ledgerSame, members, tunnel, unprotected, own, selectorsAgree, flows, cells, ipv6}
	PlatformObligations = []Obligation{guard, strangers}
)

// Result is what came out.
type Result struct {
	Holds bool `json:"holds"`
	// Platform are the findings against the platform's obligations.
	Platform []Finding `json:"platform,omitempty"`
	Orgs     []Org     `json:"orgs"`
	// SharedGroups is the number of instance groups of shared cells.
	SharedGroups int `json:"shared_groups"`
	// GuardedElsewhere are those of them without a guard, which the IaaS is said to keep out of the segments.
	GuardedElsewhere []string `json:"guarded_elsewhere,omitempty"`
}

// Org is the result for one org.
type Org struct {
	Name            string         `json:"name"`
	Segment         []netip.Prefix `json:"segment"`
	PrivateNetworks []netip.Prefix `json:"private_networks"`
	// VMs are the gateways and groups of cells whose artefacts were looked at, Rules the number of their rules.
	VMs      []string  `json:"vms"`
	Rules    int       `json:"rules"`
	Holds    bool      `json:"holds"`
	Findings []Finding `json:"findings,omitempty"`
	// Artefacts is the SHA-256 over all that was rendered for the org's VMs.
	Artefacts string `json:"artefacts_sha256"`
}

// Finding is an obligation that does not hold.
type Finding struct {
	Obligation string `json:"obligation"`
	Sentence   string `json:"sentence"`
	// Packet is a counter-example; nil where the finding is about no packet.
	Packet *Packet `json:"packet,omitempty"`
}

// Check proves or refutes every obligation. The error is of artefacts that cannot be read.
func Check(in Input) (Result, error) {
	w := newWorld(in)
	result := Result{Orgs: make([]Org, len(in.Entries)), SharedGroups: len(in.Deployment.Shared)}
	failed := make([]error, len(in.Entries))
	var group sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, e := range in.Entries {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			result.Orgs[i], failed[i] = w.checkOrg(e)
		})
	}
	group.Wait()
	for _, vm := range in.Deployment.Shared {
		if w.guardedElsewhere(vm.Group) {
			result.GuardedElsewhere = append(result.GuardedElsewhere, vm.Group.Name)
		}
	}
	var err error
	result.Platform, err = w.checkPlatform()
	if err := document.Join(append(failed, err)...); err != nil {
		return Result{}, err
	}
	result.Holds = len(result.Platform) == 0 && !slices.ContainsFunc(result.Orgs, func(o Org) bool { return !o.Holds })
	return result, nil
}

// orgCheck is the check of one org, and what was found so far.
type orgCheck struct {
	*world
	entry    ledger.Entry
	link     string
	deployed connection.Connection
	gateways []host
	cells    []host
	findings []Finding
}

func (w *world) checkOrg(e ledger.Entry) (Org, error) {
	link := e.Plan.Names().Link
	o := orgCheck{world: w, entry: e, link: link, deployed: w.Deployment.Connections[link]}
	out := Org{Name: e.Plan.Name, Segment: e.Plan.CIDRs(), PrivateNetworks: e.Request.PrivateNetworks}
	digest := newDigest()
	for _, vm := range slices.Concat(w.gateways[link], w.cells[link]) {
		h, err := readHost(vm)
		if err != nil {
			return Org{}, err
		}
		digest.add(vm)
		out.VMs = append(out.VMs, vm.Name)
		out.Rules += h.ipv4.Rules() + h.ipv6.Rules()
		if vm.Group.IsGateway {
			o.gateways = append(o.gateways, h)
		} else {
			o.cells = append(o.cells, h)
		}
	}
	out.Artefacts = digest.String()
	o.checkAddresses()
	o.checkMembers()
	if o.checkLedger() {
		for _, g := range o.gateways {
			o.checkGateway(g)
		}
		for _, c := range o.cells {
			o.checkCell(c)
		}
	}
	out.Findings, out.Holds = o.findings, len(o.findings) == 0
	return out, nil
}

func (o *orgCheck) find(which Obligation, format string, args ...any) {
	o.findings = append(o.findings, Finding{Obligation: which.Name, Sentence: fmt.Sprintf(format, args...)})
}

// checkLedger says whether there is a deployment that the other obligations can be asked of. An org that is
// leaving may lack what goes in the step that is next, and must lack what went before.
func (o *orgCheck) checkLedger() bool {
	leaving := o.entry.Removal
	if len(o.cells) > 0 && leaving.Has(removal.Cells) {
		o.find(ledgerSame, "%s is leaving and its cells have gone, the ledger says, and %s is deployed", o.entry.Plan.Name, o.cells[0].Name)
	}
	if len(o.gateways) > 0 && leaving.Has(removal.Gateway) {
		o.find(ledgerSame, "%s is leaving and its gateway has gone, the ledger says, and %s is deployed", o.entry.Plan.Name, o.gateways[0].Name)
	}
	if len(o.gateways) == 0 && len(o.cells) == 0 && leaving.Has(removal.Cells) {
		return false
	}
	if len(o.gateways) == 0 {
		o.find(ledgerSame, "no gateway of %s is deployed: the manifest has no group with ipsec-gateway that provides %s", o.entry.Plan.Name, o.link)
		return false
	}
	if len(o.cells) == 0 && !leaving.Has(removal.Apps) {
		o.find(ledgerSame, "no cells of %s are deployed: the manifest has no group of cells that consumes %s", o.entry.Plan.Name, o.link)
	}
	c, p, r := o.deployed, o.entry.Plan, o.entry.Request
	var endpoints []netip.Addr
	for _, e := range c.Endpoints {
		endpoints = append(endpoints, e.Address)
	}
	var planned []connection.Gateway
	for _, g := range p.Gateways {
		planned = append(planned, g.Gateway)
	}
	for _, pair := range []struct{ what, deployed, planned string }{
		{"org", c.Org, p.Name},
		{"segment", sorted(c.Segment), sorted(p.CIDRs())},
		{"private_networks", sorted(c.PrivateNetworks), sorted(r.PrivateNetworks)},
		{"gateways", fmt.Sprint(c.Gateways), fmt.Sprint(planned)},
		{"endpoints", fmt.Sprint(endpoints), fmt.Sprint([]netip.Addr{r.Endpoint.Address})},
		{"routing", string(c.Routing), string(p.Routing)},
		{"allow", fmt.Sprint(c.Allow), fmt.Sprint(r.Allow)},
		{"inbound", fmt.Sprint(c.Inbound), fmt.Sprint(r.Inbound)},
	} {
		if pair.deployed != pair.planned {
			o.find(ledgerSame, "%s is deployed as %s, and the ledger says %s: render and deploy again", pair.what, pair.deployed, pair.planned)
		}
	}
	return true
}

func sorted(prefixes []netip.Prefix) string {
	list := slices.Clone(prefixes)
	slices.SortFunc(list, netip.Prefix.Compare)
	texts := make([]string, len(list))
	for i, p := range list {
		texts[i] = p.String()
	}
	return strings.Join(texts, " ")
}
