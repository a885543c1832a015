// Package compile turns a release tarball into what a VM has of it: the jobs' specs and templates, and
// the packages compiled by their own packaging scripts, offline, each in a sandbox of its own.
//
// It compiles for the machine that it runs on and needs root there. It knows no stemcell: whatever the
// packaging scripts find in /usr is this machine's. A compiled package is kept in the cache and is
// compiled again only when it or one of its dependencies changed.
package compile

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"gopkg.in/yaml.v3"
)

// Release is a release that was unpacked and compiled.
type Release struct {
	Name, Version string
	// Packages maps a package's name to the directory of its compiled files.
	Packages map[string]string
	Jobs     map[string]Job
}

type artefact struct {
	Name         string   `yaml:"name"`
	Fingerprint  string   `yaml:"fingerprint"`
	Dependencies []string `yaml:"dependencies"`
}

type releaseManifest struct {
	Name     string     `yaml:"name"`
	Version  string     `yaml:"version"`
	Jobs     []artefact `yaml:"jobs"`
	Packages []artefact `yaml:"packages"`
}

// builder carries one call of Compile.
type builder struct {
	unpacked string // the release tarball's files
	cache    string
	progress func(string)
	keys     map[string]string // by package, of those that are built
	release  Release
}

// Compile unpacks a tarball made by `bosh create-release --tarball` and compiles all its packages.
// Cache is a directory that outlives the call. Progress gets a sentence for each step.
func Compile(ctx context.Context, tarball, cache string, progress func(string)) (Release, error) {
	unpacked, err := os.MkdirTemp("", "release-")
	if err != nil {
		return Release{}, fmt.Errorf("making a directory to unpack in: %w", err)
	}
	defer os.RemoveAll(unpacked)
	if cache, err = filepath.Abs(cache); err != nil {
		return Release{}, fmt.Errorf("finding the cache: %w", err)
	}
	if err := unpack(ctx, tarball, unpacked); err != nil {
		return Release{}, err
	}
	data, err := os.ReadFile(filepath.Join(unpacked, "release.MF"))
	if err != nil {
		return Release{}, fmt.Errorf("%s is no release: %w", tarball, err)
	}
	var manifest releaseManifest
	if err := yaml.Unmarshal(data, &manifest); err != nil {
		return Release{}, fmt.Errorf("reading release.MF: %w", err)
	}
	b := builder{
		unpacked: unpacked, cache: cache, progress: progress, keys: map[string]string{},
		release: Release{
			Name: manifest.Name, Version: manifest.Version,
			Packages: map[string]string{}, Jobs: map[string]Job{},
		},
	}
	for _, job := range manifest.Jobs {
		if err := b.job(ctx, job); err != nil {
			return Release{}, fmt.Errorf("unpacking job %s: %w", job.Name, err)
		}
	}
	return b.release, b.packages(ctx, manifest.Packages)
}

func (b *builder) job(ctx context.Context, job artefact) error {
	dir, err := b.once(filepath.Join("jobs", job.Name, job.Fingerprint), func(dir string) error {
		return unpack(ctx, filepath.Join(b.unpacked, "jobs", job.Name+".tgz"), dir)
	})
	if err != nil {
		return err
	}
	b.release.Jobs[job.Name], err = ReadJob(dir)
	return err
}

// packages compiles in rounds: whatever has its dependencies, until nothing is left.
func (b *builder) packages(ctx context.Context, left []artefact) error {
	for len(left) > 0 {
		var later []artefact
		for _, p := range left {
			key, ready := b.key(p)
			if !ready {
				later = append(later, p)
				continue
			}
			if err := b.compile(ctx, p, key); err != nil {
				return fmt.Errorf("compiling package %s: %w", p.Name, err)
			}
			b.keys[p.Name] = key
		}
		if len(later) == len(left) {
			return fmt.Errorf("package %s depends on itself or on a package that the release lacks", left[0].Name)
		}
		left = later
	}
	return nil
}

// key names one result of compiling: BOSH's fingerprint covers the names of the dependencies and not
// what is in them, so theirs are added.
func (b *builder) key(p artefact) (key string, ready bool) {
	all := []string{p.Fingerprint}
	for _, dependency := range p.Dependencies {
		key, ok := b.keys[dependency]
		if !ok {
			return "", false
		}
		all = append(all, dependency, key)
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(all, " "))))[:16], true
}

func (b *builder) compile(ctx context.Context, p artefact, key string) error {
	place, start, compiled := filepath.Join("packages", p.Name, key), time.Now(), false
	dir, err := b.once(place, func(dir string) error {
		compiled = true
		b.progress(fmt.Sprintf("compiling package %s", p.Name))
		source, err := os.MkdirTemp("", "package-")
		if err != nil {
			return fmt.Errorf("making a directory for the sources: %w", err)
		}
		defer os.RemoveAll(source)
		if err := unpack(ctx, filepath.Join(b.unpacked, "packages", p.Name+".tgz"), source); err != nil {
			return err
		}
		box := sandbox{name: p.Name, source: source, target: dir, dependencies: map[string]string{}}
		for _, dependency := range p.Dependencies {
			box.dependencies[dependency] = b.release.Packages[dependency]
		}
		return box.run(ctx, filepath.Join(b.cache, place+".log"))
	})
	if err != nil {
		return err
	}
	if compiled {
		b.progress(fmt.Sprintf("compiled package %s in %s", p.Name, time.Since(start).Round(time.Second)))
	} else {
		b.progress(fmt.Sprintf("package %s is compiled already", p.Name))
	}
	b.release.Packages[p.Name] = dir
	return nil
}

// once fills a directory of the cache unless it is there. It appears under its name only when it is
// complete, so an interrupted run leaves nothing that a later one would take for a result.
func (b *builder) once(place string, fill func(dir string) error) (string, error) {
	final := filepath.Join(b.cache, place)
	if _, err := os.Stat(final); err == nil {
		return final, nil
	}
	if err := os.MkdirAll(filepath.Dir(final), 0o755); err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	partial, err := os.MkdirTemp(filepath.Dir(final), ".partial-")
	if err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	defer os.RemoveAll(partial)
	if err := os.Chmod(partial, 0o755); err != nil {
		return "", fmt.Errorf("making the cache: %w", err)
	}
	if err := fill(partial); err != nil {
		return "", err
	}
	// Another process may have been faster: its result is as good as ours.
	if err := os.Rename(partial, final); err != nil && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EEXIST) {
		return "", fmt.Errorf("keeping the result: %w", err)
	}
	return final, nil
}

func unpack(ctx context.Context, tarball, dir string) error {
	command := exec.CommandContext(ctx, "tar", "--extract", "--gzip", "--no-same-owner", "--file", tarball, "--directory", dir)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("unpacking %s: %w: %s", filepath.Base(tarball), err, strings.TrimSpace(string(out)))
	}
	return nil
}
