package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"privnet/commandline"
	"privnet/document"
	"privnet/handoff"
	"privnet/onboard/ledger"
	"privnet/onboard/manifest"
	"privnet/onboard/plan"
	"privnet/onboard/platform"
	"privnet/onboard/removal"
	"privnet/onboard/render"
)

const renderLong = `Writes what you deploy for an org, from the ledger and your own manifest:

  OUT/<org>/ops.yml           dedicated cells, gateway, variables: bosh deploy MANIFEST -o ops.yml
  OUT/<org>/gateway.yml       the gateway, if it has a deployment of its own (gateway_deployment: own)
  OUT/<org>/cloud-config.yml  the segment: bosh update-config --type=cloud --name=private-network-<org>
  OUT/<org>/firewall.yml      what the IaaS's firewalls must let pass, and why
  OUT/<org>/iaas.tf.json      the same, and routes, as a Terraform module for AWS, Azure or GCP
  OUT/<org>/handoff.md        what the customer receives; it holds no key, but says how you read it

--manifest is your manifest with your other ops-files applied (bosh int MANIFEST -o ... > FILE), with its
((variables)) left in. --shared-cell-guard also writes OUT/shared-cell-guard.yml, which keeps the apps on
your shared cells out of every segment. --decommission-guard, once the last org has left, writes
OUT/decommission-guard.yml, the errand that takes the guard off cells that live on.`

type renderFlags struct {
	org, platform, manifest, orgs, out string
	all, guard, decommission           bool
}

func renderCommand() *cobra.Command {
	var f renderFlags
	c := &cobra.Command{
		Use: "render", Short: "write ops-file, cloud-config, firewall table and hand-off", Long: renderLong,
		Example: "  privnet render --org agency-a --platform platform.yml --manifest cf.yml\n" +
			"  privnet render --all --shared-cell-guard --platform platform.yml --manifest cf.yml",
		RunE: func(c *cobra.Command, _ []string) error {
			files, err := f.files(c)
			if err != nil {
				return err
			}
			return writeAll(c.OutOrStdout(), f.out, files)
		},
	}
	f.add(c)
	return c
}

func diffCommand() *cobra.Command {
	var f renderFlags
	c := &cobra.Command{
		Use: "diff", Short: "show what render would change", Long: "Shows what render with the same flags would change, and writes nothing.",
		Example: "  privnet diff --all --platform platform.yml --manifest cf.yml",
		RunE: func(c *cobra.Command, _ []string) error {
			files, err := f.files(c)
			if err != nil {
				return err
			}
			return showAll(c.OutOrStdout(), f.out, files)
		},
	}
	f.add(c)
	return c
}

func (f *renderFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.org, "org", "", "`NAME` of the org in the ledger, as in its directory")
	c.Flags().BoolVar(&f.all, "all", false, "every org of the ledger")
	f.addInputs(c)
	c.Flags().BoolVar(&f.guard, "shared-cell-guard", false, "also the ops-file that guards your shared cells")
	c.Flags().BoolVar(&f.decommission, "decommission-guard", false, "only the errand that takes that guard away; there must be no org left")
	completeOrgs(c)
}

// addInputs adds the flags for what is read and where it is written.
func (f *renderFlags) addInputs(c *cobra.Command) {
	platformFlag(c, &f.platform)
	c.Flags().StringVar(&f.manifest, "manifest", "", "`FILE` with your Cloud Foundry manifest, after your own ops-files")
	orgsFlag(c, &f.orgs)
	c.Flags().StringVar(&f.out, "out", "rendered", "`DIR` of the rendered files")
}

// files renders what the flags ask for: the content by the name under the output directory.
func (f *renderFlags) files(c *cobra.Command) (map[string][]byte, error) {
	if f.decommission && (f.org != "" || f.all || f.guard) {
		return nil, commandline.Usage(errors.New("--decommission-guard is for a platform without orgs; give it without --org, --all and --shared-cell-guard"))
	}
	if !f.decommission && (f.org == "") == !f.all {
		return nil, commandline.Usage(errors.New("give either --org NAME or --all"))
	}
	if err := required(c, "platform", "manifest"); err != nil {
		return nil, err
	}
	in, err := f.read()
	if err != nil {
		return nil, err
	}
	entries := in.entries
	if f.decommission {
		if len(entries) > 0 {
			return nil, fmt.Errorf("the guard keeps your shared cells' apps away from %s; take it away when they have left", known(entries))
		}
		errand, err := render.DecommissionGuard(in.platform, in.manifest)
		return map[string][]byte{"decommission-guard.yml": errand}, err
	}
	if !f.all {
		entry := ledger.Find(entries, f.org)
		if entry == nil {
			return nil, fmt.Errorf("the ledger %s has no org %q; it has %s", f.orgs, f.org, known(entries))
		}
		entries = []ledger.Entry{*entry}
	}
	files := map[string][]byte{}
	var failed error
	for _, e := range entries {
		failed = document.Join(failed, renderOrg(files, e, in.platform, in.manifest))
	}
	if f.guard {
		guard, err := render.SharedCellGuard(in.platform, in.manifest)
		failed = document.Join(failed, err)
		files["shared-cell-guard.yml"] = guard
	}
	if failed != nil {
		return nil, failed
	}
	return files, nil
}

// inputs are what is rendered from.
type inputs struct {
	platform platform.Platform
	manifest manifest.Manifest
	entries  []ledger.Entry
}

// read reads the platform file, the manifest and the ledger. The error has everything that is wrong in all
// of them.
func (f *renderFlags) read() (inputs, error) {
	platformData, err := readFile(f.platform, "platform file")
	if err != nil {
		return inputs{}, err
	}
	manifestData, err := readFile(f.manifest, "manifest")
	if err != nil {
		return inputs{}, err
	}
	p, platformErr := platform.Parse(f.platform, platformData)
	m, manifestErr := manifest.Parse(f.manifest, manifestData)
	entries, ledgerErr := ledger.New(f.orgs).Entries(func(request document.Value) { plan.CheckRequest(request, p) })
	if platformErr == nil {
		ledgerErr = document.Join(ledgerErr, plan.Misplaced(ledger.Plans(entries), p).Err())
	}
	return inputs{p, m, entries}, document.Join(platformErr, ledgerErr, manifestErr)
}

// renderOrg adds the files of one org. Of an org that is leaving it adds those that are still deployed.
func renderOrg(files map[string][]byte, e ledger.Entry, p platform.Platform, m manifest.Manifest) error {
	in := render.Input{Request: e.Request, Plan: e.Plan, Platform: p, Removal: e.Removal}
	add := func(name string, data []byte) { files[filepath.Join(e.Plan.Name, name)] = data }
	ops, failed := render.Ops(in, m)
	add("ops.yml", ops)
	if e.Plan.OwnGatewayDeployment() != "" && !e.Removal.Has(removal.Gateway) {
		gateway, err := render.GatewayDeployment(in, m)
		failed = document.Join(failed, err)
		add("gateway.yml", gateway)
	}
	if !e.Removal.Has(removal.CloudConfig) {
		add("cloud-config.yml", render.CloudConfig(in))
		add("firewall.yml", render.Firewall(in))
		if module := render.Terraform(in); module != nil {
			add("iaas.tf.json", module)
		}
	}
	if e.Removal.Begun() {
		return failed
	}
	page, err := handoff.Page(render.Handoff(in, m.Name()))
	add("handoff.md", page)
	return document.Join(failed, err)
}

func known(entries []ledger.Entry) string {
	if len(entries) == 0 {
		return "none yet; run privnet plan first"
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Plan.Name)
	}
	return strings.Join(names, ", ")
}

// writeAll writes the files under a directory, each whole and only if it differs.
func writeAll(out io.Writer, dir string, files map[string][]byte) error {
	for _, name := range sortedKeys(files) {
		path := filepath.Join(dir, name)
		if before, err := os.ReadFile(path); err == nil && string(before) == string(files[name]) {
			fmt.Fprintf(out, "%s unchanged\n", path)
			continue
		}
		if err := writeFile(path, files[name]); err != nil {
			return err
		}
		fmt.Fprintf(out, "%s written\n", path)
	}
	return nil
}

// showAll shows how the files differ from those under the directory.
func showAll(out io.Writer, dir string, files map[string][]byte) error {
	changed := false
	for _, name := range sortedKeys(files) {
		path := filepath.Join(dir, name)
		before, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("comparing: %w", err)
		}
		changed = showDifference(out, path, before, files[name]) || changed
	}
	if !changed {
		fmt.Fprintf(out, "%s is as render would write it\n", dir)
	}
	return nil
}
