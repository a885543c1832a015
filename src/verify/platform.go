package verify

import (
	"fmt"
	"net/netip"
	"slices"

	"privnet/connection"
	"privnet/document"
	"privnet/egress"
	"privnet/verify/artefact"
	"privnet/verify/space"
)

// checkPlatform checks what concerns every org at once.
func (w *world) checkPlatform() ([]Finding, error) {
	o := orgCheck{world: w}
	var failed error
	for _, vm := range w.Deployment.Shared {
		h, err := readHost(vm)
		failed = document.Join(failed, err)
		if err == nil && !w.guardedElsewhere(vm.Group) {
			o.checkGuard(h)
		}
	}
	known, networks := map[string]bool{}, map[string]bool{}
	for _, e := range w.Entries {
		names := e.Plan.Names()
		known[names.Link], networks[names.Network] = true, true
	}
	for _, g := range w.Deployment.Groups {
		if (g.IsGateway || g.RunsApps) && g.Link != "" && !known[g.Link] {
			o.find(strangers, "the group %s has the link %s, and no org of the ledger has that", g.Name, g.Link)
		}
		for _, n := range g.Networks {
			i := slices.IndexFunc(n.Addresses, w.space.Contains)
			if i >= 0 && !networks[n.Name] {
				o.find(strangers, "the group %s has %s in the network %s, an address of %s", g.Name, n.Addresses[i], n.Name, w.owner(n.Addresses[i]))
			}
		}
	}
	return o.findings, failed
}

// guardedElsewhere says whether the operator answers for a group of shared cells that has no enforcer.
func (w *world) guardedElsewhere(g artefact.Group) bool {
	return g.Role == "" && slices.Contains(w.Platform.GuardedElsewhere, g.Name)
}

// checkGuard asks what passes a shared cell on its way to the segments.
func (o *orgCheck) checkGuard(c host) {
	segments := connection.Set(slices.Concat(o.Platform.Prefixes(), o.space.Prefixes())...).Prefixes()
	answers := append(space.Everything().Within(space.Flow, space.One(space.Reply)), icmpErrors()...)
	enter := func(passed space.Region) space.Region {
		return passed.Within(space.Destination, ranges(segments)...).Minus(answers)
	}
	hint := ""
	switch {
	case c.Group.Windows:
		hint = fmt.Sprintf(": for the Windows cells %s there is no guard; let the IaaS's firewall keep them out, and name the group under guarded_elsewhere of the platform file", c.Group.Name)
	case c.Group.Role == "":
		hint = fmt.Sprintf(": the group %s has no guard; render it with --shared-cell-guard and deploy with that ops-file", c.Group.Name)
	}
	o.counter(guard, c, forward, enter(c.forwarded()), "an app on a shared cell sends a packet into a segment%s", hint)
	var ports space.Region
	for _, p := range egress.PlatformPorts {
		one := connection.PortRange{First: p.Port, Last: p.Port}
		ports = append(ports, flow([]connection.Flow{{Protocol: p.Protocol, Ports: []connection.PortRange{one}}}, space.Port)...)
	}
	o.counter(guard, c, send, enter(c.sent()).Minus(ports), "a shared cell itself sends a packet into a segment that is none of the platform's%s", hint)
}

// owner says whose an address is.
func (w *world) owner(a netip.Addr) string {
	for _, list := range [][]claim{w.segments, w.forbidden} {
		for _, c := range list {
			if c.prefix.Contains(a) {
				return c.owner
			}
		}
	}
	for _, pool := range w.Platform.Prefixes() {
		if pool.Contains(a) {
			return fmt.Sprintf("no org, in the pool %s", pool)
		}
	}
	return "nobody that we know"
}
