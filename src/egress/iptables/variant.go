package iptables

import (
	"fmt"
	"strings"

	"privnet/egress"
)

const (
	kindLegacy   = "legacy"
	kindNFTables = "nf_tables"
)

// variant is a pair of programs that see the same rules.
type variant struct {
	// kind is legacy or nf_tables.
	kind          string
	save, restore string
}

// variants gives the configured variant, and the other one if it may hold rules of ours.
func (t *Table) variants(p egress.Policy, family egress.Family) (own variant, other *variant, err error) {
	name := "iptables"
	if family == egress.IPv6 {
		name = "ip6tables"
	}
	version, err := t.version(t.locate(p.IPTablesBinDir, name))
	if err != nil {
		return variant{}, nil, err
	}
	own = variant{
		kind:    kindLegacy,
		save:    t.locate(p.IPTablesBinDir, name+"-save"),
		restore: t.locate(p.IPTablesBinDir, name+"-restore"),
	}
	otherKind, suffix := kindNFTables, "nft"
	if strings.Contains(version, kindNFTables) {
		own.kind, otherKind, suffix = kindNFTables, kindLegacy, "legacy"
	}
	candidate := variant{
		kind:    otherKind,
		save:    t.locate(p.IPTablesBinDir, name+"-"+suffix+"-save"),
		restore: t.locate(p.IPTablesBinDir, name+"-"+suffix+"-restore"),
	}
	if otherKind == kindLegacy {
		used, err := t.legacyInUse(family)
		if err != nil || !used {
			return own, nil, err
		}
	}
	if !t.runner.CommandExists(candidate.save) {
		return own, nil, nil
	}
	return own, &candidate, nil
}

// version is what a program says about itself.
func (t *Table) version(path string) (string, error) {
	key := program{path: path}
	if t.files.FileExists(path) {
		if info, err := t.files.Stat(path); err == nil {
			key.changed = info.ModTime()
		}
	}
	if version, known := t.versions[key]; known {
		return version, nil
	}
	version, stderr, _, err := t.runner.RunCommandQuietly(path, "--version")
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", path, failure(err, stderr))
	}
	if !key.changed.IsZero() {
		t.versions[key] = version
	}
	return version, nil
}

// legacyInUse says whether the kernel has a legacy mangle table. Asking the legacy program instead would
// create one.
func (t *Table) legacyInUse(family egress.Family) (bool, error) {
	path := "/proc/net/ip_tables_names"
	if family == egress.IPv6 {
		path = "/proc/net/ip6_tables_names"
	}
	if !t.files.FileExists(path) {
		return false, nil
	}
	names, err := t.files.ReadFileString(path)
	if err != nil {
		return false, fmt.Errorf("reading the names of legacy tables: %w", err)
	}
	return strings.Contains(names, "mangle"), nil
}
