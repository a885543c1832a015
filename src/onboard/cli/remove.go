package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"privnet/commandline"
	"privnet/document"
	"privnet/onboard/ledger"
	"privnet/onboard/manifest"
	"privnet/onboard/plan"
	"privnet/onboard/removal"
	"privnet/onboard/render"
)

const removeLong = `Takes an org's connection away, step by step, and says for each step what to run and how you see that it is done.
Run it again at any time: it continues where it was, after a crash or a night, too.

  apps          Cloud Foundry: security group and isolation segment go, the apps move to the shared cells
  cells         the dedicated cells go
  gateway       the gateway goes
  cloud-config  the network goes
  key           the pre-shared key goes; until here --undo brings everything back as it was
  addresses     segment and public address are nobody's for quarantine_days of the platform file

Each step begins when the one before is done: --done STEP says so. For cells and gateway give the manifest
that is deployed then, which shows it. The order keeps every packet from leaving in clear. The org's entry
stays in the ledger as history, ORGS/.removed/<org>.`

type removeFlags struct {
	renderFlags
	done, deployed string
	undo           bool
}

func removeCommand() *cobra.Command {
	var f removeFlags
	c := &cobra.Command{
		Use: "remove", Short: "take an org's connection away, step by step", Long: removeLong,
		Example: "  privnet remove --org agency-a --platform platform.yml --manifest cf.yml\n" +
			"  privnet remove --org agency-a --platform platform.yml --manifest cf.yml --done apps\n" +
			"  privnet remove --org agency-a --platform platform.yml --manifest cf.yml --done cells --deployed deployed.yml\n" +
			"  privnet remove --org agency-a --platform platform.yml --manifest cf.yml --undo",
		RunE: func(c *cobra.Command, _ []string) error {
			if err := required(c, "org", "platform", "manifest"); err != nil {
				return err
			}
			if f.undo && f.done != "" {
				return commandline.Usage(fmt.Errorf("give either --done or --undo"))
			}
			if f.done != "" && !slices.Contains(removal.Steps, removal.Step(f.done)) {
				return commandline.Usage(fmt.Errorf("--done %s is no step; the steps are %s", f.done, steps(removal.Steps)))
			}
			return f.run(c.OutOrStdout(), time.Now())
		},
	}
	c.Flags().StringVar(&f.org, "org", "", "`NAME` of the org in the ledger, as in its directory")
	f.addInputs(c)
	c.Flags().StringVar(&f.done, "done", "", "the `STEP` that is done")
	c.Flags().StringVar(&f.deployed, "deployed", "", "`FILE` with the manifest that is deployed: bosh -d DEPLOYMENT manifest")
	c.Flags().BoolVar(&f.undo, "undo", false, "let the org stay, with all that it had; before the key is gone")
	completeOrgs(c)
	return c
}

func (f *removeFlags) run(out io.Writer, now time.Time) error {
	l := ledger.New(f.orgs)
	// Wrong input is found before there is a lock, which makes a directory.
	in, err := f.read()
	if err != nil {
		return err
	}
	unlock, err := l.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	if in, err = f.read(); err != nil {
		return err
	}
	entry := ledger.Find(in.entries, f.org)
	if entry == nil {
		return f.gone(out, l, in.entries)
	}
	if f.undo {
		return f.bringBack(out, l, *entry, in)
	}
	r := entry.Removal
	if !r.Begun() {
		if f.done != "" {
			return fmt.Errorf("the removal of %s has not begun; run the command without --done", f.org)
		}
		r = removal.Start(now)
	}
	if step := removal.Step(f.done); f.done != "" && !r.Has(step) {
		if step != r.Next() {
			return fmt.Errorf("%s comes after %s, which is not done; run the command without --done to see how", step, r.Next())
		}
		if err := f.check(step, entry.Plan, in.manifest.Name()); err != nil {
			return err
		}
		r = r.Finish(now, f.deployed, in.platform.QuarantineDays)
	}
	if r.Next() == removal.Addresses {
		r = r.Finish(now, "", in.platform.QuarantineDays)
	}
	entry.Removal = r
	// What is rendered first is right for the step before and for the step after; the ledger says which it is.
	files := map[string][]byte{}
	if err := renderOrg(files, *entry, in.platform, in.manifest); err != nil {
		return err
	}
	if err := l.WriteRemoval(f.org, r); err != nil {
		return err
	}
	if err := writeAll(out, f.out, files); err != nil {
		return err
	}
	if r.Next() != "" {
		fmt.Fprint(out, f.instructions(*entry, in))
		return nil
	}
	place, err := l.Retire(f.org)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s has left. Its addresses are nobody's until %s. What it held is kept in %s: commit it.\n"+
		"Take %s out of your deploys, and delete %s.\n", f.org, r.Until, place, filepath.Join(f.out, f.org, "ops.yml"), filepath.Join(f.out, f.org))
	if len(in.entries) == 1 {
		fmt.Fprintln(out, "It was the last org. If none is to come, privnet render --decommission-guard takes the guard off your shared cells.")
	}
	return nil
}

// gone says of an org that is not in the ledger whether it has left.
func (f *removeFlags) gone(out io.Writer, l ledger.Ledger, entries []ledger.Entry) error {
	former, err := l.Former()
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(former) {
		if e.Plan.Name == f.org {
			fmt.Fprintf(out, "%s has left already. Its addresses are nobody's until %s.\n", f.org, e.Removal.Until)
			return nil
		}
	}
	return fmt.Errorf("the ledger %s has no org %q; it has %s", f.orgs, f.org, known(entries))
}

// shown is the group whose absence from the deployed manifest shows that the step is done; empty for a step that
// no manifest shows.
func shown(step removal.Step, p plan.Plan) string {
	switch {
	case step == removal.Cells:
		return p.Names().CellGroup
	case step == removal.Gateway && p.OwnGatewayDeployment() == "":
		return p.Names().GatewayGroup
	}
	return ""
}

// check looks at what is deployed, where that shows whether the step is done.
func (f *removeFlags) check(step removal.Step, p plan.Plan, deployment string) error {
	group := shown(step, p)
	if group == "" {
		return nil
	}
	if f.deployed == "" {
		return commandline.Usage(fmt.Errorf("--deployed FILE is missing: the manifest that is deployed shows whether %s is gone:\n  bosh -d %s manifest > deployed.yml", group, deployment))
	}
	data, err := readFile(f.deployed, "deployed manifest")
	if err != nil {
		return err
	}
	m, err := manifest.Parse(f.deployed, data)
	if err != nil {
		return err
	}
	if m.Name() != deployment && !strings.Contains(deployment, "((") {
		return document.Problems{m.Problem(nil, "name", "is %s, a deployment that never had %s; give the manifest of %s: bosh -d %s manifest > deployed.yml",
			m.Name(), group, deployment, deployment)}
	}
	for _, g := range m.Groups() {
		if g.Name == group || g.Org() == p.Names().Link && !(step == removal.Cells && g.Name == p.Names().GatewayGroup) {
			return document.Problems{m.Problem(g.Node, "instance_groups", "%s is still deployed; deploy with %s, and give the manifest that is deployed then",
				g.Name, filepath.Join(f.out, f.org, "ops.yml"))}
		}
	}
	return nil
}

// bringBack lets the org stay.
func (f *removeFlags) bringBack(out io.Writer, l ledger.Ledger, e ledger.Entry, in inputs) error {
	if !e.Removal.Begun() {
		fmt.Fprintf(out, "%s stays: nothing has begun\n", f.org)
		return nil
	}
	if e.Removal.Has(removal.Key) {
		return fmt.Errorf("the key of %s is gone, and its customer's endpoint cannot come back with it; finish the removal, then plan the org again: it gets another segment", f.org)
	}
	e.Removal = removal.Removal{}
	files := map[string][]byte{}
	if err := renderOrg(files, e, in.platform, in.manifest); err != nil {
		return err
	}
	if err := writeAll(out, f.out, files); err != nil {
		return err
	}
	if err := l.ForgetRemoval(f.org); err != nil {
		return err
	}
	lines := []string{f.updateConfig(e.Plan)}
	if own := e.Plan.OwnGatewayDeployment(); own != "" {
		lines = append(lines, fmt.Sprintf("bosh -d %s deploy %s", own, f.file("gateway.yml")))
	}
	lines = append(lines, f.deploy(in), runErrand(e.Plan, in, "deployed without remove"))
	fmt.Fprintf(out, "%s stays, with the addresses and the key that it had. Bring back what has gone; what has not, these leave alone:\n    %s\n",
		f.org, strings.Join(lines, "\n    "))
	return nil
}

func (f *removeFlags) file(name string) string { return filepath.Join(f.out, f.org, name) }

func (f *removeFlags) updateConfig(p plan.Plan) string {
	return fmt.Sprintf("bosh update-config --type=cloud --name=%s %s", p.Names().CloudConfig, f.file("cloud-config.yml"))
}

func (f *removeFlags) deploy(in inputs) string {
	return fmt.Sprintf("bosh -d %s deploy %s -o %s     # and the guard's and all other orgs' ops-files", in.manifest.Name(), f.manifest, f.file("ops.yml"))
}

// runErrand is the command for the errand org-isolation. Where the platform file does not describe it, the
// operator has set it up.
func runErrand(p plan.Plan, in inputs, how string) string {
	command := fmt.Sprintf("bosh -d %s run-errand org-isolation --instance=%s", in.manifest.Name(), render.IsolationGroup(p))
	if in.platform.OrgIsolation == nil {
		command += "     # " + how
	}
	return command
}

func steps(of []removal.Step) string {
	out := make([]string, len(of))
	for i, s := range of {
		out[i] = string(s)
	}
	return strings.Join(out, ", ")
}
