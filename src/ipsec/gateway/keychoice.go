package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"privnet/atomicfile"
	"privnet/ipsec"
)

// keyChoice is which of two keys an endpoint turned out to use.
type keyChoice struct {
	InUse ipsec.Slot `json:"in_use"`
	// Active is the property active_psk when it was found out. Whoever changes the property decides anew.
	Active ipsec.Slot `json:"active"`
	Since  time.Time  `json:"since"`
	Swaps  int        `json:"swaps"`
}

// keyChoices are by the key's name in charon. They outlive a restart and a reboot: an endpoint that moved
// to the other key must not be turned away first.
type keyChoices map[string]keyChoice

// apply sets the keys in use, and forgets what no longer counts: after the overlap, and when the operator
// has decided anew.
func (c keyChoices) apply(keys []ipsec.SharedKey, now time.Time) {
	known := map[string]bool{}
	for i, key := range keys {
		known[key.ID] = true
		choice, ok := c[key.ID]
		if ok && choice.Active == key.Keys.Active && key.Keys.Overlap(now) {
			keys[i].InUse = choice.InUse
			continue
		}
		delete(c, key.ID)
	}
	for id := range c {
		if !known[id] {
			delete(c, id)
		}
	}
}

func (c keyChoices) save(path string) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encoding the keys in use: %w", err)
	}
	return atomicfile.Write(path, data, 0o640)
}

func readKeyChoices(path string) (keyChoices, error) {
	choices := keyChoices{}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return choices, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the keys in use: %w", err)
	}
	if err := json.Unmarshal(data, &choices); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return choices, nil
}
