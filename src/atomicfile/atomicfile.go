// Package atomicfile writes a file so that a reader finds the old content or the new, never half of it and
// never none, also after a crash. (bosh-utils' Rename deletes the target first.)
package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Write replaces the file at path. The directory must exist; the temporary file is beside the file, so
// that the rename stays on one disk.
func Write(path string, data []byte, mode os.FileMode) (err error) {
	// CreateTemp makes the file with mode 0600: nobody reads a secret before the mode is the wanted one.
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(file.Name())
			err = fmt.Errorf("writing %s: %w", path, err)
		}
	}()
	_, err = file.Write(data)
	if err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), path)
}
