package enforcer

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/cloudfoundry/bosh-utils/system"

	"privnet/atomicfile"
	"privnet/egress"
)

// Status is what others on the VM may know.
type Status struct {
	// Enforced says that the rules and all guards of a whole policy stand, whether it is the configured one
	// or the last good one.
	Enforced bool        `json:"enforced"`
	Role     egress.Role `json:"role"`
	Backend  string      `json:"backend"`
	// Configuration says where the policy comes from.
	Configuration Origin `json:"configuration"`
	// Since is when it began to be enforced without interruption; zero if it is not.
	Since time.Time `json:"since,omitzero"`
	// Checked is when the kernel was last compared with the policy.
	Checked time.Time `json:"checked"`
	// Repairs counts the layers that were found changed and put right since the process started.
	Repairs int `json:"repairs"`
	// Dropped counts packets since the process started.
	Dropped  uint64   `json:"dropped_packets"`
	Problems []string `json:"problems"`
}

// Ready says whether the configured policy is enforced.
func (s Status) Ready() bool { return s.Enforced && s.Configuration == OriginConfigured }

// WriteStatus writes the status for others on the VM to read, under whatever user: it holds no secret.
func WriteStatus(path string, s Status) error {
	if s.Problems == nil {
		s.Problems = []string{}
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the status: %w", err)
	}
	return atomicfile.Write(path, append(data, '\n'), 0o644)
}

// ReadStatus reads what WriteStatus wrote.
func ReadStatus(files system.FileSystem, path string) (Status, error) {
	data, err := files.ReadFile(path)
	if err != nil {
		return Status{}, fmt.Errorf("reading the status: %w", err)
	}
	var s Status
	if err := json.Unmarshal(data, &s); err != nil {
		return Status{}, fmt.Errorf("reading the status %s: %w", path, err)
	}
	return s, nil
}
