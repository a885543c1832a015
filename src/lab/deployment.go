package lab

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	boshtemplate "github.com/cloudfoundry/bosh-cli/v7/director/template"
	"github.com/cppforlife/go-patch/patch"
	"go4.org/netipx"
	"gopkg.in/yaml.v3"

	"privnet/atomicfile"
	"privnet/connection"
	"privnet/lab/manifest"
	"privnet/lab/network"
	"privnet/lab/template"
	"privnet/onboard/removal"
)

// makeManifest applies the ops-files and variables as `bosh deploy` does. The variables that the manifest
// declares are generated here, as there is no director to do it.
func (r *run) makeManifest(context.Context) (string, error) {
	base, err := os.ReadFile(r.example("manifest.yml"))
	if err != nil {
		return "", fmt.Errorf("reading the lab's manifest: %w", err)
	}
	ops, err := readOps(r.file("rendered", "shared-cell-guard.yml"))
	if err != nil {
		return "", err
	}
	for _, o := range r.orgs {
		more, err := readOps(r.file("rendered", o.Plan.Name, "ops.yml"))
		if err != nil {
			return "", err
		}
		ops = append(ops, more...)
		if r.state.Userland && !o.Removal.Has(removal.Cells) {
			at := patch.MustNewPointerFromString("/instance_groups/name=" + o.Plan.Names().GatewayGroup + "/jobs/name=ipsec-gateway/properties/data_path?")
			ops = append(ops, patch.ReplaceOp{Path: at, Value: string(connection.DataPathUserland)})
		}
	}
	evaluate := func(variables boshtemplate.StaticVariables, all bool) ([]byte, error) {
		return boshtemplate.NewTemplate(base).Evaluate(variables, ops, boshtemplate.EvaluateOpts{ExpectAllKeys: all})
	}
	patched, err := evaluate(nil, false)
	if err != nil {
		return "", fmt.Errorf("applying the ops-files: %w", err)
	}
	if err := r.generate(patched); err != nil {
		return "", err
	}
	if r.manifest, err = evaluate(r.variables, true); err != nil {
		return "", fmt.Errorf("interpolating the manifest: %w", err)
	}
	return "", atomicfile.Write(r.file(deployedFile), patched, 0o644)
}

func readOps(file string) (patch.Ops, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the ops-file: %w", err)
	}
	var definitions []patch.OpDefinition
	if err := yaml.Unmarshal(data, &definitions); err != nil {
		return nil, fmt.Errorf("reading the ops-file %s: %w", file, err)
	}
	ops, err := patch.NewOpsFromDefinitions(definitions)
	if err != nil {
		return nil, fmt.Errorf("reading the ops-file %s: %w", file, err)
	}
	return ops, nil
}

// letters are what a generated password consists of, as CredHub's and the director's.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// generate makes the variables that the manifest declares and that have no value yet, and keeps them.
func (r *run) generate(manifest []byte) error {
	var declared struct {
		Variables []struct {
			Name, Type string
			Options    struct{ Length int }
		}
	}
	if err := yaml.Unmarshal(manifest, &declared); err != nil {
		return fmt.Errorf("reading the manifest's variables: %w", err)
	}
	if data, err := os.ReadFile(r.file(variablesFile)); err == nil {
		if err := yaml.Unmarshal(data, &r.variables); err != nil {
			return fmt.Errorf("reading the variables: %w", err)
		}
	}
	if r.variables == nil {
		r.variables = boshtemplate.StaticVariables{}
	}
	for _, v := range declared.Variables {
		if v.Type != "password" {
			return fmt.Errorf("the lab does not do variables of type %s (%s)", v.Type, v.Name)
		}
		if r.variables[v.Name] != nil {
			continue
		}
		password := make([]byte, max(v.Options.Length, 32))
		for i := range password {
			n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
			if err != nil {
				return fmt.Errorf("generating %s: %w", v.Name, err)
			}
			password[i] = letters[n.Int64()]
		}
		r.variables[v.Name] = string(password)
	}
	data, err := yaml.Marshal(r.variables)
	if err != nil {
		return fmt.Errorf("keeping the variables: %w", err)
	}
	return atomicfile.Write(r.file(variablesFile), data, 0o600)
}

// machine is one VM with the files that a director would put on it.
type machine struct {
	network.VM
	// jobs has the rendered files by job and path.
	jobs     map[string]map[string][]byte
	packages []string
}

// makeMachines makes the VMs of the deployment, with an app on each cell.
func (r *run) makeMachines(ctx context.Context) error {
	// isolated are the dedicated cell groups, static what each segment keeps for gateways.
	isolated, static := map[string]string{}, map[string]netipx.IPRange{}
	for _, o := range r.orgs {
		isolated[o.Plan.Names().CellGroup] = o.Plan.Name
		static[o.Plan.Names().Network] = o.Plan.Segment[0].Static()
	}
	taken := map[string]int{}
	allocate := func(_ string, _ int, name string) (netip.Addr, error) {
		n := taken[name]
		taken[name]++
		if gateways, ok := static[name]; ok {
			return network.CellAddress(gateways, n), nil
		}
		return network.VMAddress(n), nil
	}
	instances, err := manifest.Instances(r.manifest, r.built, []string{"bpm"}, allocate)
	if err != nil {
		return fmt.Errorf("reading the manifest:\n%w", err)
	}
	for i, instance := range instances {
		m := machine{
			VM:   network.VM{Host: fmt.Sprintf("%s-%d", instance.Group, instance.Index), Addresses: slices.Collect(maps.Values(instance.Networks))},
			jobs: map[string]map[string][]byte{},
		}
		// The first NIC is the one inside: the segments are private addresses below the public ones.
		slices.SortFunc(m.Addresses, netip.Addr.Compare)
		for _, placement := range instance.Jobs {
			job := r.built.Jobs[placement.Name]
			if m.jobs[placement.Name], err = template.Render(ctx, job, instance, placement); err != nil {
				return fmt.Errorf("%s/%d: %w", instance.Group, instance.Index, err)
			}
			m.packages = append(m.packages, job.Packages...)
		}
		slices.Sort(m.packages)
		m.packages = slices.Compact(m.packages)
		switch org, dedicated := isolated[instance.Group]; {
		case dedicated:
			m.App = fmt.Sprintf("isolated-app-%s-%d", org, instance.Index)
		case network.Platform.Contains(m.Addresses[0]):
			m.App = fmt.Sprintf("app-%d", instance.Index)
		}
		m.Overlay = netip.AddrFrom4([4]byte{10, 255, byte(i + 1), 2})
		r.machines = append(r.machines, m)
	}
	return nil
}

// override writes a copy of a YAML file with some fields set, or left out where the value is nil.
func override(from, to string, fields map[string]any) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("reading %s: %w", filepath.Base(from), err)
	}
	var content map[string]any
	if err := yaml.Unmarshal(data, &content); err != nil {
		return fmt.Errorf("reading %s: %w", filepath.Base(from), err)
	}
	for name, value := range fields {
		if content[name] = value; value == nil {
			delete(content, name)
		}
	}
	if data, err = yaml.Marshal(content); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(to), err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", filepath.Base(to), err)
	}
	return os.WriteFile(to, data, 0o644)
}
