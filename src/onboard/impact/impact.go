// Package impact says what a changed request does, before anything happens: which jobs are rendered anew and
// so which VMs restart, whether the customer must act, and what apps experience. It is pure, and guesses
// nothing: it compares what package render makes of the request before and after, and takes from package jobs
// which job renders what.
package impact

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"privnet/onboard/jobs"
	"privnet/onboard/platform"
	"privnet/onboard/render"
)

// Impact is what the next deploy does to one org; nothing happens to any other.
type Impact struct {
	Org string `json:"org"`
	// New is an org that comes: its VMs are made, and nothing restarts.
	New     bool     `json:"new,omitempty"`
	Changes []Change `json:"changes"`
	// Renders are the groups of which a file of a job changes.
	Renders []Rendering `json:"renders"`
	VMs     []VMs       `json:"vms"`
	// Tunnel is what happens to the org's tunnel.
	Tunnel string `json:"tunnel"`
	// Reload says whether the command reload on the gateway does without the deploy; empty where the gateway
	// is not concerned.
	Reload   string   `json:"reload,omitempty"`
	Operator []string `json:"operator"`
	Customer Customer `json:"customer"`
	Apps     []string `json:"apps"`
}

// Change is a part of the request or the plan that differs.
type Change struct {
	What string `json:"what"`
	From string `json:"from"`
	To   string `json:"to"`
}

// Rendering is a group and its jobs that are rendered anew.
type Rendering struct {
	Group string   `json:"group"`
	Jobs  []string `json:"jobs"`
	// Errand is a group without a VM: nothing restarts.
	Errand bool `json:"errand,omitempty"`
}

// What happens to a group's VMs.
const (
	Restart  = "restart"
	Recreate = "recreate"
	Create   = "create"
	Delete   = "delete"
)

// VMs are a number of a group's VMs and what happens to them.
type VMs struct {
	Group string `json:"group"`
	Count int    `json:"count"`
	What  string `json:"what"`
}

// Customer is the customer's part.
type Customer struct {
	// Must says that the tunnel does not come back, or not for all networks, unless the customer acts.
	Must bool `json:"must"`
	// Message are the words to send; empty if there is nothing to say.
	Message string `json:"message,omitempty"`
}

// Of compares what an org has with what it is to have; before is nil for an org that comes. The error is of a
// hand-off page that cannot be rendered.
func Of(before *render.Input, after render.Input) (Impact, error) {
	names := after.Plan.Names()
	out := Impact{Org: after.Plan.Name, New: before == nil, Changes: []Change{}, Renders: []Rendering{}, VMs: []VMs{}, Operator: []string{}, Apps: []string{}}
	if before == nil {
		out.come(after)
		return out, nil
	}
	was, is := render.GatewayProperties(*before), render.GatewayProperties(after)
	var properties []string
	for _, name := range slices.Sorted(maps.Keys(union(was, is))) {
		if !reflect.DeepEqual(was[name], is[name]) {
			properties = append(properties, name)
			out.Changes = append(out.Changes, Change{name, text(was[name]), text(is[name])})
		}
	}
	dns := !reflect.DeepEqual(before.Request.DNS, after.Request.DNS)
	if dns {
		out.Changes = append(out.Changes, Change{"dns", domains(before.Request.DNS), domains(after.Request.DNS)})
	}
	if before.Plan.Cells != after.Plan.Cells {
		out.Changes = append(out.Changes, Change{"cells", fmt.Sprint(before.Plan.Cells), fmt.Sprint(after.Plan.Cells)})
	}
	if len(out.Changes) == 0 {
		return out, nil
	}
	restarts := map[string]bool{}
	for _, p := range render.Placements(after) {
		r := Rendering{Group: p.Group, Errand: p.Instances == 0}
		for _, place := range p.Places {
			if jobs.Renders(place, properties) || dns && place.Job == "private-dns" {
				r.Jobs = append(r.Jobs, place.Job)
			}
		}
		if dns && p.Group == names.CellGroup && len(after.Request.DNS) == 0 {
			r.Jobs = append(r.Jobs, "private-dns") // which goes
		}
		if len(r.Jobs) > 0 {
			out.Renders = append(out.Renders, r)
			restarts[p.Group] = !r.Errand
		}
	}
	extension := !bytes.Equal(render.CloudConfig(*before), render.CloudConfig(after))
	out.vms(*before, after, restarts, extension)
	out.tunnel(properties, names.GatewayGroup, extension || restarts[names.GatewayGroup])
	out.operator(*before, after, extension)
	out.apps(*before, after, restarts[names.CellGroup], slices.Contains(properties, "private_networks") || slices.Contains(properties, "allow"))
	return out, out.customer(*before, after)
}

func union(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// come is the impact of an org that was not there.
func (i *Impact) come(after render.Input) {
	for _, p := range render.Placements(after) {
		if p.Instances > 0 {
			i.VMs = append(i.VMs, VMs{p.Group, p.Instances, Create})
		}
	}
	i.Tunnel = "Opens when the customer's device first initiates."
	i.Operator = []string{fmt.Sprintf("privnet render --org %s, and the commands that it is followed by in docs/operating.md.", after.Plan.Name)}
	i.Apps = []string{"Nobody's restart. The org's running apps move when the errand org-isolation restarts them."}
	i.Customer = Customer{Must: true, Message: "Your private network is prepared. The attached page has what to set up on your device; you receive the pre-shared key another way."}
}

func (i *Impact) vms(before, after render.Input, restarts map[string]bool, extension bool) {
	names := after.Plan.Names()
	switch gateways := len(after.Plan.Gateways); {
	case extension:
		i.VMs = append(i.VMs, VMs{names.GatewayGroup, gateways, Recreate})
	case restarts[names.GatewayGroup]:
		i.VMs = append(i.VMs, VMs{names.GatewayGroup, gateways, Restart})
	}
	was, is := before.Plan.Cells, after.Plan.Cells
	if restarts[names.CellGroup] {
		i.VMs = append(i.VMs, VMs{names.CellGroup, min(was, is), Restart})
	}
	if is > was {
		i.VMs = append(i.VMs, VMs{names.CellGroup, is - was, Create})
	}
	if is < was {
		i.VMs = append(i.VMs, VMs{names.CellGroup, was - is, Delete})
	}
}

const tunnelStays = "Stays up."

// keys are the properties whose change charon takes without touching a tunnel that is up.
var keys = []string{"psk_a", "psk_b", "active_psk"}

func (i *Impact) tunnel(properties []string, group string, restarts bool) {
	if !restarts {
		i.Tunnel = tunnelStays
		return
	}
	i.Tunnel = "Closes when the gateway's VM restarts, and is back when the customer's device initiates again. Meanwhile nothing passes, and nothing leaks."
	others := slices.DeleteFunc(slices.Clone(properties), func(name string) bool { return slices.Contains(keys, name) })
	ipsec := jobs.Renders(jobs.Place{Job: "ipsec-gateway"}, properties)
	switch {
	case ipsec && len(others) == 0:
		i.Reload = "Cuts nothing: with the same change in config/psk.json, /var/vcap/jobs/ipsec-gateway/bin/reload takes the key beside the tunnel that is up. " +
			"The deploy restarts the VM all the same, whenever that suits."
	case ipsec:
		i.Reload = "Does not help: the tunnel closes with it too, and the rules are the enforcer's."
	default:
		i.Reload = fmt.Sprintf("Does not help: %s is not charon's.", strings.Join(others, ", "))
	}
}

func (i *Impact) operator(before, after render.Input, extension bool) {
	org := after.Plan.Name
	add := func(format string, args ...any) { i.Operator = append(i.Operator, fmt.Sprintf(format, args...)) }
	add("privnet render --org %s --platform PLATFORM --manifest MANIFEST", org)
	if !bytes.Equal(render.Firewall(before), render.Firewall(after)) || !bytes.Equal(render.Terraform(before), render.Terraform(after)) {
		add("Open the firewalls and set the routes as firewall.yml, or the Terraform module, has them, before the deploy.")
	}
	if extension {
		add("bosh update-config --type=cloud --name=%s rendered/%s/cloud-config.yml", after.Plan.Names().CloudConfig, org)
	}
	if own := after.Plan.OwnGatewayDeployment(); own != "" && slices.ContainsFunc(i.VMs, func(v VMs) bool { return v.Group == after.Plan.Names().GatewayGroup }) {
		add("bosh -d %s deploy rendered/%s/gateway.yml", own, org)
	}
	add("bosh -d DEPLOYMENT deploy MANIFEST -o rendered/%s/ops.yml, with the ops-files of the guard and of all orgs", org)
	if slices.ContainsFunc(i.Renders, func(r Rendering) bool { return r.Errand }) {
		add("bosh -d DEPLOYMENT run-errand org-isolation --instance=%s, for the security group", render.IsolationGroup(after.Plan))
	}
	if after.Platform.OrgIsolation == nil && i.changed("private_networks", "allow") {
		add("Run the errand org-isolation again, for the security group.")
	}
	if gets := newest(after.Request.PSK); gets > newest(before.Request.PSK) {
		add("Give the customer the new key: credhub get -q -n /DIRECTOR/%s/%s", deployment(after), render.PSKVariable(after.Plan, gets))
	}
	if had, has := before.Request.PSK, after.Request.PSK; has.Generation > had.Generation {
		look := ""
		if has.Generation <= newest(had) {
			look = fmt.Sprintf("Before the deploy, see that the customer has changed: in_use of /var/vcap/jobs/ipsec-gateway/bin/status is %q. ", letter(has.Generation))
		}
		add("%sAfter the deploy, delete the old key: credhub delete -n /DIRECTOR/%s/%s", look, deployment(after), render.PSKVariable(before.Plan, had.Generation))
	}
}

func (i *Impact) changed(what ...string) bool {
	return slices.ContainsFunc(i.Changes, func(c Change) bool { return slices.Contains(what, c.What) })
}

func deployment(in render.Input) string {
	if in.Plan.GatewayDeployment == platform.GatewayOwn {
		return in.Plan.OwnGatewayDeployment()
	}
	return "DEPLOYMENT"
}

// letter is the gateway's place for a generation of the key.
func letter(generation int) string {
	if generation%2 == 0 {
		return "b"
	}
	return "a"
}

func (i *Impact) apps(before, after render.Input, restarts, rules bool) {
	add := func(text string) { i.Apps = append(i.Apps, text) }
	switch {
	case restarts && after.Plan.Cells == 1:
		add("The only cell restarts: the org's apps are down until it is back. One more cell for the deploy (cells.spare) avoids that.")
	case restarts:
		add("The cells restart one after the other: each app instance moves to another cell of the org, with the stop that evacuation gives it.")
	case after.Plan.Cells < before.Plan.Cells:
		add("The instances on the cells that go move to the others.")
	}
	if i.Tunnel != tunnelStays {
		add("What they have open to the private networks stands still while the tunnel is closed; new connections fail.")
	}
	if rules {
		add("Running apps may send by the changed security group when they restart, or at once with dynamic security groups.")
	}
	if len(i.Apps) == 0 {
		add("Nothing.")
	}
}
