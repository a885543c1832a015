package cli

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"privnet/atomicfile"
)

func sortedKeys[V any](in map[string]V) []string {
	return slices.Sorted(maps.Keys(in))
}

// writeFile writes a file that is not secret whole, and makes its directory.
func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return atomicfile.Write(path, data, 0o644)
}
