package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// tunMajor and tunMinor number the TUN device (Documentation/admin-guide/devices.txt of the kernel).
const tunMajor, tunMinor = 10, 200

// provideTUN makes the TUN device's node if there is none. bpm gives a process a /dev of its own, and mounts whatever
// it is asked to mount there nodev, so that the VM's node could not be opened.
func provideTUN(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the device %s: %w", path, err)
	}
	if err := unix.Mknod(path, unix.S_IFCHR|0o600, int(unix.Mkdev(tunMajor, tunMinor))); err != nil {
		return fmt.Errorf("making the device %s: %w", path, err)
	}
	return nil
}
