package cli

import (
	"fmt"
	"strings"

	"privnet/onboard/ledger"
	"privnet/onboard/removal"
	"privnet/onboard/render"
)

// instruction is what the operator does for a step.
type instruction struct {
	what string
	run  []string
	// seen says how one sees that the step is done, and failed what to do if it is not.
	seen, failed string
}

// instructions are the words for the step that is next.
func (f *removeFlags) instructions(e ledger.Entry, in inputs) string {
	step := e.Removal.Next()
	i := f.instruction(step, e, in)
	again := fmt.Sprintf("privnet remove --org %s --platform %s --manifest %s --orgs %s --out %s", f.org, f.platform, f.manifest, f.orgs, f.out)
	done := again + " --done " + string(step)
	if shown(step, e.Plan) != "" {
		i.run = append(i.run, fmt.Sprintf("bosh -d %s manifest > deployed.yml", in.manifest.Name()))
		done += " --deployed deployed.yml"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s is leaving. Step %d of %d: %s. %s\n", f.org, len(e.Removal.Done)+1, len(removal.Steps), step, i.what)
	fmt.Fprintf(&b, "\n  Run:\n    %s\n", strings.Join(i.run, "\n    "))
	fmt.Fprintf(&b, "  Done when: %s\n", i.seen)
	if i.failed != "" {
		fmt.Fprintf(&b, "  If not: %s\n", i.failed)
	}
	fmt.Fprintf(&b, "  Then:\n    %s\n", done)
	if !e.Removal.Has(removal.Key) {
		if step == removal.Key {
			b.WriteString("  This is the last moment to bring it back; deleting the key cannot be undone. To bring it back:\n")
		} else {
			b.WriteString("  To bring it back as it was:\n")
		}
		fmt.Fprintf(&b, "    %s --undo\n", again)
	}
	return b.String()
}

func (f *removeFlags) instruction(step removal.Step, e ledger.Entry, in inputs) instruction {
	names := e.Plan.Names()
	switch step {
	case removal.Apps:
		return instruction{
			what:   "The security group goes first, so that no app takes it along; then the apps restart on the shared cells. The tunnel stays up.",
			run:    []string{f.deploy(in), runErrand(e.Plan, in, "deployed with remove: true and restart_apps: true")},
			seen:   "the errand ends with 0.",
			failed: "it names what is in the way (docs/org-isolation.md). Run it again; it does only what is missing.",
		}
	case removal.Cells:
		return instruction{
			what:   fmt.Sprintf("%s goes. Its VMs' rules go with them; no app is left there.", names.CellGroup),
			run:    []string{f.deploy(in)},
			seen:   fmt.Sprintf("the deployed manifest has no %s.", names.CellGroup),
			failed: "deploy again; a cell that does not drain still runs an app: the errand of the step before names it.",
		}
	case removal.Gateway:
		run := []string{f.deploy(in)}
		if own := e.Plan.OwnGatewayDeployment(); own != "" {
			run = append(run, fmt.Sprintf("bosh -d %s delete-deployment", own))
		}
		return instruction{
			what: fmt.Sprintf("%s goes, and the tunnel with it. Tell the customer now: \"We close your private network. "+
				"Take the tunnel to %s out of your device, and the routes and rules for %s.\"", names.GatewayGroup, publicAddresses(e.Plan), words(e.Plan.CIDRs())),
			run:  run,
			seen: fmt.Sprintf("there is no %s.", names.GatewayGroup), failed: "deploy again.",
		}
	case removal.CloudConfig:
		run := []string{fmt.Sprintf("bosh delete-config --type=cloud --name=%s", names.CloudConfig)}
		if in.platform.OrgIsolation == nil {
			run = append(run, "# take the group "+render.IsolationGroup(e.Plan)+" out of your manifest, if you added it")
		}
		return instruction{
			what:   "The segment's network goes; so do the firewall rules and routes that firewall.yml or the Terraform module made.",
			run:    run,
			seen:   fmt.Sprintf("bosh configs shows no %s, and your IaaS has no rule with %s.", names.CloudConfig, words(e.Plan.CIDRs())),
			failed: "a director that says the network is in use still has a VM there: bosh vms; step gateway is not done.",
		}
	default:
		own := in.manifest.Name()
		if name := e.Plan.OwnGatewayDeployment(); name != "" {
			own = name
		}
		var run []string
		for _, name := range render.PSKVariables(render.Input{Request: e.Request, Plan: e.Plan}) {
			run = append(run, fmt.Sprintf("credhub delete -n /DIRECTOR/%s/%s", own, name))
		}
		run = append(run, fmt.Sprintf("credhub delete -n /DIRECTOR/%s/%s", in.manifest.Name(), names.CellCertificate))
		return instruction{
			what: "The key goes, which the customer's endpoint still has; so does the certificate of the cells.",
			run:  run, seen: "credhub get of the same name finds nothing.",
		}
	}
}
