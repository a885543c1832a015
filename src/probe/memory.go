package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"privnet/atomicfile"
	"privnet/probe/health"
	"privnet/probe/roundtrip"
)

// State is what outlives a restart of the prober: since when each state holds, what came before it, and
// what was counted.
type State struct {
	// History is by pair, and of the connection.
	History map[string]health.Record `json:"history"`
	// Traffic and LastIn are by pair.
	Traffic map[string]Traffic   `json:"traffic"`
	LastIn  map[string]time.Time `json:"last_in"`
	// Seen is what was last counted of each CHILD_SA, by its inbound SPI.
	Seen map[string]Traffic `json:"seen"`
	// Tunnels is by endpoint, Targets by name, Failures by tunnel and reason.
	Tunnels     map[netip.Addr]TunnelCounts `json:"tunnels"`
	Targets     map[string]TargetState      `json:"targets"`
	Failures    map[string]uint64           `json:"failures"`
	LastFailure *Failure                    `json:"last_failure,omitempty"`
}

// TargetState is what outlives a restart of one target.
type TargetState struct {
	Questions uint64        `json:"questions"`
	Losses    uint64        `json:"losses"`
	Day       roundtrip.Day `json:"day"`
}

// Memory keeps the state in the file at Path.
type Memory struct {
	Path string
}

// Load reads the state; without a file it is empty.
func (m Memory) Load() (State, error) {
	data, err := os.ReadFile(m.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("reading the prober's state: %w", err)
	}
	var state State
	if err := json.Unmarshal(data, &state); err != nil {
		return State{}, fmt.Errorf("reading the prober's state in %s: %w", m.Path, err)
	}
	return state, nil
}

// Save replaces the state in one step.
func (m Memory) Save(state State) error {
	data, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("writing the prober's state: %w", err)
	}
	if err := atomicfile.Write(m.Path, data, 0o640); err != nil {
		return fmt.Errorf("writing the prober's state: %w", err)
	}
	return nil
}
