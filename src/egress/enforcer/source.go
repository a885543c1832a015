package enforcer

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"

	"github.com/cloudfoundry/bosh-utils/system"
	"go4.org/netipx"

	"privnet/atomicfile"
	"privnet/document"
	"privnet/egress"
)

// Origin says where a policy comes from.
type Origin string

const (
	// OriginConfigured is the configuration as it is.
	OriginConfigured Origin = "configured"
	// OriginLastGood is the last configuration that was enforced, because the present one is not valid.
	OriginLastGood Origin = "last good"
	// OriginDenied is a denial of everything, because the configuration is missing or invalid and there never
	// was a good one.
	OriginDenied Origin = "denied"
	// OriginDecommissioned is none at all: the VM was decommissioned.
	OriginDecommissioned Origin = "decommissioned"
)

// Loaded is a policy to enforce.
type Loaded struct {
	Policy egress.Policy
	Origin Origin
	// Problems are those of the configuration, a line each.
	Problems []string
}

// Source is where policies come from.
type Source struct {
	Files system.FileSystem
	// Config is the job's configuration. LastGood is a copy of the last one that was enforced. Withdrawn keeps
	// the private networks of those before it.
	Config, LastGood, Withdrawn string
}

// Load gives the best policy there is: the configured one, else the last good one, else a denial.
func (s Source) Load() Loaded {
	configured, err := s.read(s.Config)
	if err == nil {
		configured.Withdrawn = withdrawn(s.former(), configured)
		return Loaded{Policy: configured, Origin: OriginConfigured}
	}
	problems := strings.Split(err.Error(), "\n")
	if s.Files.FileExists(s.LastGood) {
		lastGood, problem := s.read(s.LastGood)
		if problem == nil {
			lastGood.Withdrawn = withdrawn(s.remembered(), lastGood)
			return Loaded{Policy: lastGood, Origin: OriginLastGood, Problems: problems}
		}
		problems = append(problems, strings.Split(problem.Error(), "\n")...)
	}
	return Loaded{Policy: configured.Denied(), Origin: OriginDenied, Problems: problems}
}

// Withdrawing lists the networks of the last good configuration that the present one has no more.
func (s Source) Withdrawing() []netip.Prefix {
	configured, err := s.read(s.Config)
	if err != nil {
		return nil
	}
	lastGood, _ := s.read(s.LastGood)
	return withdrawn(lastGood.Connection.PrivateNetworks, configured)
}

// former lists the private networks of all configurations that were enforced on this VM.
func (s Source) former() []netip.Prefix {
	lastGood, _ := s.read(s.LastGood)
	return append(s.remembered(), lastGood.Connection.PrivateNetworks...)
}

// remembered is what Keep has written. What cannot be read withdraws nothing.
func (s Source) remembered() (networks []netip.Prefix) {
	if data, err := s.Files.ReadFile(s.Withdrawn); err == nil {
		_ = json.Unmarshal(data, &networks)
	}
	return networks
}

// withdrawn is what a cell's policy has no more of some networks.
func withdrawn(former []netip.Prefix, p egress.Policy) []netip.Prefix {
	if p.Role != egress.RoleCell || len(former) == 0 {
		return nil
	}
	return without(former, p.Connection.PrivateNetworks)
}

// without is what some networks hold and others do not, in the fewest networks.
func without(networks, others []netip.Prefix) []netip.Prefix {
	var builder netipx.IPSetBuilder
	for _, network := range networks {
		builder.AddPrefix(network)
	}
	for _, network := range others {
		builder.RemovePrefix(network)
	}
	set, _ := builder.IPSet()
	return set.Prefixes()
}

// Keep makes the configuration the last good one.
func (s Source) Keep() error {
	if former := s.former(); len(former) > 0 {
		data, err := json.Marshal(without(former, nil))
		if err != nil {
			return fmt.Errorf("keeping the former networks: %w", err)
		}
		if err := atomicfile.Write(s.Withdrawn, data, 0o640); err != nil {
			return err
		}
	}
	data, err := s.Files.ReadFile(s.Config)
	if err != nil {
		return fmt.Errorf("keeping the configuration: %w", err)
	}
	return atomicfile.Write(s.LastGood, data, 0o640)
}

// read returns, beside problems, what of the policy is right.
func (s Source) read(path string) (egress.Policy, error) {
	data, err := s.Files.ReadFile(path)
	if err != nil {
		return egress.Policy{}, fmt.Errorf("reading the configuration: %w", err)
	}
	doc, err := document.Parse(path, data)
	if err != nil {
		return egress.Policy{}, err
	}
	policy := egress.Read(doc.Root())
	return policy, doc.Err()
}
