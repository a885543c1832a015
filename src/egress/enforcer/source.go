package enforcer

import (
	"fmt"
	"strings"

	"github.com/cloudfoundry/bosh-utils/system"

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
	// Config is the job's configuration. LastGood is a copy of the last one that was enforced.
	Config, LastGood string
}

// Load gives the best policy there is: the configured one, else the last good one, else a denial.
func (s Source) Load() Loaded {
	configured, err := s.read(s.Config)
	if err == nil {
		return Loaded{Policy: configured, Origin: OriginConfigured}
	}
	problems := strings.Split(err.Error(), "\n")
	if s.Files.FileExists(s.LastGood) {
		lastGood, problem := s.read(s.LastGood)
		if problem == nil {
			return Loaded{Policy: lastGood, Origin: OriginLastGood, Problems: problems}
		}
		problems = append(problems, strings.Split(problem.Error(), "\n")...)
	}
	return Loaded{Policy: configured.Denied(), Origin: OriginDenied, Problems: problems}
}

// Keep makes the configuration the last good one.
func (s Source) Keep() error {
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
