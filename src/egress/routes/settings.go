package routes

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cloudfoundry/bosh-utils/system"

	"privnet/atomicfile"
	"privnet/egress"
)

// Settings are kernel parameters.
type Settings struct {
	name  string
	files system.FileSystem
	// root is /proc/sys.
	root string
	// memory is the file that keeps the values found before the first change, for Remove.
	memory string
	want   func(egress.Policy) []egress.Setting
}

// NewSettings gives the parameters that want takes from a policy. memory is a file of its own.
func NewSettings(name string, files system.FileSystem, root, memory string, want func(egress.Policy) []egress.Setting) *Settings {
	return &Settings{name: name, files: files, root: root, memory: memory, want: want}
}

// Name is what the layer is called in logs.
func (s *Settings) Name() string { return s.name }

// Check says in what the kernel differs from the policy, a sentence each.
func (s *Settings) Check(p egress.Policy) ([]string, error) {
	differing, err := s.differing(p)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range differing {
		out = append(out, fmt.Sprintf("%s is %s, not %s", d.Path, d.found, d.Value))
	}
	return out, nil
}

// Apply sets what differs, and remembers what was there before the first time.
func (s *Settings) Apply(p egress.Policy) error {
	differing, err := s.differing(p)
	if err != nil || len(differing) == 0 {
		return err
	}
	former, err := s.former()
	if err != nil {
		return err
	}
	for _, d := range differing {
		if _, known := former[d.Path]; !known {
			former[d.Path] = d.found
		}
	}
	if err := s.remember(former); err != nil {
		return err
	}
	var failed []error
	for _, d := range differing {
		if err := s.set(d.Path, d.Value); err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// Remove sets back what Apply changed, except on interfaces that are gone.
func (s *Settings) Remove(egress.Policy) error {
	former, err := s.former()
	if err != nil {
		return err
	}
	var failed []error
	for path, value := range former {
		if err := s.set(path, value); err != nil && !errors.Is(err, os.ErrNotExist) {
			failed = append(failed, err)
		}
	}
	if err := errors.Join(failed...); err != nil {
		return err
	}
	return s.files.RemoveAll(s.memory)
}

type difference struct {
	egress.Setting
	found string
}

func (s *Settings) differing(p egress.Policy) ([]difference, error) {
	var out []difference
	for _, setting := range s.want(p) {
		paths, err := s.files.Glob(filepath.Join(s.root, setting.Path))
		if err != nil {
			return nil, fmt.Errorf("finding %s: %w", setting.Path, err)
		}
		for _, path := range paths {
			text, err := s.files.ReadFileString(path)
			if err != nil && !s.files.FileExists(path) {
				// The interface went away meanwhile.
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("reading a kernel parameter: %w", err)
			}
			found := strings.TrimSpace(text)
			if found != setting.Value {
				relative := strings.TrimPrefix(path, s.root+"/")
				out = append(out, difference{egress.Setting{Path: relative, Value: setting.Value}, found})
			}
		}
	}
	return out, nil
}

func (s *Settings) set(path, value string) error {
	file, err := s.files.OpenFile(filepath.Join(s.root, path), os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("setting a kernel parameter: %w", err)
	}
	_, err = file.Write([]byte(value))
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("setting %s to %s: %w", path, value, err)
	}
	return nil
}

func (s *Settings) former() (map[string]string, error) {
	former := map[string]string{}
	if !s.files.FileExists(s.memory) {
		return former, nil
	}
	data, err := s.files.ReadFile(s.memory)
	if err == nil {
		err = json.Unmarshal(data, &former)
	}
	if err != nil {
		return nil, fmt.Errorf("reading former kernel parameters: %w", err)
	}
	return former, nil
}

func (s *Settings) remember(former map[string]string) error {
	data, err := json.MarshalIndent(former, "", "  ")
	if err != nil {
		return fmt.Errorf("writing former kernel parameters: %w", err)
	}
	return atomicfile.Write(s.memory, data, 0o640)
}
