package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

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

// locked keeps two processes from changing what charon holds at once.
func (g Gateway) locked(do func() error) error {
	if err := os.MkdirAll(filepath.Dir(g.Paths.lock()), 0o700); err != nil {
		return fmt.Errorf("making the lock's directory: %w", err)
	}
	file, err := os.OpenFile(g.Paths.lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("opening the lock: %w", err)
	}
	defer file.Close()
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("waiting for another change to end: %w", err)
	}
	return do()
}
