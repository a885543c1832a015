package lab

import (
	"context"
	"crypto/rand"
	"fmt"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"slices"

	boshtemplate "github.com/cloudfoundry/bosh-cli/v7/director/template"
	"github.com/cppforlife/go-patch/patch"
	"gopkg.in/yaml.v3"

	"privnet/connection"
	"privnet/lab/compile"
	"privnet/lab/manifest"
	"privnet/lab/network"
	"privnet/lab/template"
	"privnet/onboard/plan"
)

// deployment is what the operator's side of a lab comes to.
type deployment struct {
	plan plan.Plan
	// manifest is interpolated; it holds the key.
	manifest []byte
	key      string
}

// interpolate applies ops-files and variables as `bosh deploy` does. The variables that the manifest
// declares are generated here, as there is no director to do it.
func interpolate(base []byte, p plan.Plan, path connection.DataPath, opsFiles ...string) (deployment, error) {
	var ops patch.Ops
	for _, file := range opsFiles {
		data, err := os.ReadFile(file)
		if err != nil {
			return deployment{}, fmt.Errorf("reading the ops-file: %w", err)
		}
		var definitions []patch.OpDefinition
		if err := yaml.Unmarshal(data, &definitions); err != nil {
			return deployment{}, fmt.Errorf("reading the ops-file %s: %w", file, err)
		}
		op, err := patch.NewOpsFromDefinitions(definitions)
		if err != nil {
			return deployment{}, fmt.Errorf("reading the ops-file %s: %w", file, err)
		}
		ops = append(ops, op)
	}
	if path != connection.DataPathKernel {
		at, err := patch.NewPointerFromString("/instance_groups/name=" + p.Names().GatewayGroup + "/jobs/name=ipsec-gateway/properties/data_path?")
		if err != nil {
			return deployment{}, err
		}
		ops = append(ops, patch.ReplaceOp{Path: at, Value: string(path)})
	}
	evaluate := func(variables boshtemplate.StaticVariables, all bool) ([]byte, error) {
		return boshtemplate.NewTemplate(base).Evaluate(variables, ops, boshtemplate.EvaluateOpts{ExpectAllKeys: all})
	}
	patched, err := evaluate(nil, false)
	if err != nil {
		return deployment{}, fmt.Errorf("applying the ops-files: %w", err)
	}
	variables, err := generate(patched)
	if err != nil {
		return deployment{}, err
	}
	whole, err := evaluate(variables, true)
	if err != nil {
		return deployment{}, fmt.Errorf("interpolating the manifest: %w", err)
	}
	key, _ := variables[p.Names().PSKVariable].(string)
	return deployment{plan: p, manifest: whole, key: key}, nil
}

// letters are what a generated password consists of, as CredHub's and the director's.
const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func generate(manifest []byte) (boshtemplate.StaticVariables, error) {
	var declared struct {
		Variables []struct {
			Name, Type string
			Options    struct{ Length int }
		}
	}
	if err := yaml.Unmarshal(manifest, &declared); err != nil {
		return nil, fmt.Errorf("reading the manifest's variables: %w", err)
	}
	out := boshtemplate.StaticVariables{}
	for _, v := range declared.Variables {
		if v.Type != "password" {
			return nil, fmt.Errorf("the lab does not do variables of type %s (%s)", v.Type, v.Name)
		}
		password := make([]byte, max(v.Options.Length, 32))
		for i := range password {
			n, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
			if err != nil {
				return nil, fmt.Errorf("generating %s: %w", v.Name, err)
			}
			password[i] = letters[n.Int64()]
		}
		out[v.Name] = string(password)
	}
	return out, nil
}

// machine is one VM with the files that a director would put on it.
type machine struct {
	network.VM
	// jobs has the rendered files by job and path.
	jobs     map[string]map[string][]byte
	packages []string
}

// machines makes the VMs of the deployment, with an app on each cell.
func (d deployment) machines(ctx context.Context, release compile.Release) ([]machine, error) {
	segment := d.plan.Segment[0]
	taken := map[bool]int{}
	allocate := func(_ string, _ int, name string) (netip.Addr, error) {
		inSegment := name == d.plan.Names().Network
		n := taken[inSegment]
		taken[inSegment]++
		if inSegment {
			return network.CellAddress(segment.Static(), n), nil
		}
		return network.VMAddress(n), nil
	}
	instances, err := manifest.Instances(d.manifest, release, []string{"bpm"}, allocate)
	if err != nil {
		return nil, fmt.Errorf("reading the manifest:\n%w", err)
	}
	var out []machine
	for i, instance := range instances {
		m := machine{VM: network.VM{Host: fmt.Sprintf("%s-%d", instance.Group, instance.Index)}, jobs: map[string]map[string][]byte{}}
		for _, address := range instance.Networks {
			m.Addresses = append(m.Addresses, address)
		}
		// The first NIC is the one inside, as BOSH orders them by the manifest and the plan names it first.
		slices.SortFunc(m.Addresses, func(a, b netip.Addr) int { return a.Compare(b) })
		for _, placement := range instance.Jobs {
			job := release.Jobs[placement.Name]
			files, err := template.Render(ctx, job, instance, placement)
			if err != nil {
				return nil, fmt.Errorf("%s/%d: %w", instance.Group, instance.Index, err)
			}
			m.jobs[placement.Name] = files
			m.packages = append(m.packages, job.Packages...)
		}
		slices.Sort(m.packages)
		m.packages = slices.Compact(m.packages)
		if instance.Group != d.plan.Names().GatewayGroup {
			m.App = fmt.Sprintf("app-%d", i)
			if instance.Group == d.plan.Names().CellGroup {
				m.App = fmt.Sprintf("isolated-app-%d", instance.Index)
			}
			m.Overlay = netip.AddrFrom4([4]byte{10, 255, byte(i + 1), 2})
		}
		out = append(out, m)
	}
	return out, nil
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
	return os.WriteFile(to, data, 0o644)
}
