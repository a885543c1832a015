package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"privnet/atomicfile"
	"privnet/probe/health"
)

// State is what outlives a restart of the prober: since when each state holds, and what was counted.
type State struct {
	Conditions map[string]health.Condition `json:"conditions"`
	// Traffic is by pair.
	Traffic map[string]Traffic `json:"traffic"`
	// Seen is what was last counted of each CHILD_SA, by its inbound SPI.
	Seen map[string]Traffic `json:"seen"`
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
