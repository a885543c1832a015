package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"privnet/atomicfile"
	"privnet/ipsec/vici"
)

func saveLoaded(path string, loaded vici.Loaded) error {
	data, err := json.Marshal(loaded)
	if err != nil {
		return fmt.Errorf("encoding what charon holds: %w", err)
	}
	return atomicfile.Write(path, data, 0o640)
}

// readLoaded reads what saveLoaded wrote. Without the file nothing is known to be the same, so all is
// loaded again.
func readLoaded(path string) (vici.Loaded, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return vici.Loaded{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what charon holds: %w", err)
	}
	loaded := vici.Loaded{}
	if err := json.Unmarshal(data, &loaded); err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return loaded, nil
}
