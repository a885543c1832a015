// Package ledger keeps the orgs' requests and plans in a directory, DIR/<org>/{request,plan}.yml, which
// the operator keeps in git. An org that is leaving has a removal.yml, too; one that has left is history,
// DIR/.removed/<org>/<n>. One process at a time changes it; what is written appears whole or not at
// all, and only if it differs.
package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"privnet/connection"
	"privnet/document"
	"privnet/onboard/plan"
	"privnet/onboard/removal"
)

const (
	requestFile = "request.yml"
	planFile    = "plan.yml"
	removalFile = "removal.yml"
)

// LockWait is how long Lock waits for another process.
const LockWait = 30 * time.Second

// Ledger is a directory of orgs.
type Ledger struct {
	dir string
}

// New is the ledger in a directory, which need not exist yet.
func New(dir string) Ledger { return Ledger{dir: dir} }

// Entry is one org in the ledger.
type Entry struct {
	Request connection.Request
	Plan    plan.Plan
	// Removal is how far the org's removal is; the zero one is that of an org that stays.
	Removal removal.Removal
	// Source is where the ledger has the request.
	Source document.Value
}

// Lock keeps other processes from changing the ledger until the returned function is called. It makes
// the directory if there is none.
func (l Ledger) Lock() (unlock func(), err error) {
	if err := os.MkdirAll(l.dir, 0o755); err != nil {
		return nil, fmt.Errorf("making the ledger's directory: %w", err)
	}
	f, err := os.Open(l.dir)
	if err != nil {
		return nil, fmt.Errorf("locking the ledger: %w", err)
	}
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			l.sweep()
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Since(start) > LockWait {
			f.Close()
			return nil, fmt.Errorf("locking the ledger %s, which another privnet may hold: %w", l.dir, err)
		}
	}
}

// sweep removes what killed processes were preparing. What cannot be removed is nobody's entry either.
func (l Ledger) sweep() {
	for _, pattern := range []string{stagePrefix + "*", filepath.Join("*", "."+removalFile+"-*")} {
		left, _ := filepath.Glob(filepath.Join(l.dir, pattern))
		for _, stage := range left {
			os.RemoveAll(stage)
		}
	}
}

// Orgs are the names of the orgs in the ledger, sorted. A ledger that does not exist is empty.
func (l Ledger) Orgs() ([]string, error) {
	entries, err := os.ReadDir(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	var out []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		// A link to a directory is an org, too: to pass over it would be to give away what the org holds.
		info, err := os.Stat(filepath.Join(l.dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("reading the ledger: %w", err)
		}
		if info.IsDir() {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// Entries reads every org, sorted by name. The error is document.Problems of all files, if it is the
// files that are wrong: also when two plans hold the same thing. check may find more in each request.
func (l Ledger) Entries(check func(request document.Value)) ([]Entry, error) {
	orgs, err := l.Orgs()
	if err != nil {
		return nil, err
	}
	var out []Entry
	var problems document.Problems
	for _, org := range orgs {
		entry, err := l.entry(org, check)
		if found := (document.Problems{}); errors.As(err, &found) {
			problems = append(problems, found...)
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, entry)
	}
	problems = append(problems, plan.Conflicts(Plans(out))...)
	return out, problems.Err()
}

// Plans are the entries' plans.
func Plans(entries []Entry) []plan.Plan {
	out := make([]plan.Plan, len(entries))
	for i, e := range entries {
		out[i] = e.Plan
	}
	return out
}

// PrivateNetworks are the entries' private networks by the org's name.
func PrivateNetworks(entries []Entry) map[string][]netip.Prefix {
	out := map[string][]netip.Prefix{}
	for _, e := range entries {
		out[e.Plan.Name] = e.Request.PrivateNetworks
	}
	return out
}

func (l Ledger) entry(org string, check func(document.Value)) (Entry, error) {
	requestPath, planPath := l.paths(org)
	requestData, requestErr := readFile(requestPath)
	planData, planErr := readFile(planPath)
	if err := document.Join(requestErr, planErr); err != nil {
		return Entry{}, err
	}
	doc, err := document.Parse(requestPath, requestData)
	if err != nil {
		return Entry{}, err
	}
	out := Entry{Request: connection.ReadRequest(doc.Root()), Source: doc.Root()}
	check(doc.Root())
	requestErr = doc.Err()
	if out.Plan, planErr = plan.Parse(planPath, planData); planErr == nil {
		planErr = out.mismatch(org).Err()
	}
	var removalErr error
	out.Removal, removalErr = readRemoval(filepath.Join(l.dir, org))
	return out, document.Join(requestErr, planErr, removalErr)
}

// readFile reads a file that an org in the ledger has; that it lacks it is document.Problems.
func readFile(path string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, document.Problems{{File: path, Want: "is missing; bring it back, or take the directory away if it is no org's"}}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	return data, nil
}

// mismatch are the problems of a directory, a request and a plan that do not belong together.
func (e Entry) mismatch(org string) document.Problems {
	var out document.Problems
	if e.Plan.Name != org {
		out = append(out, e.Plan.Source.Get("name").Wrong("is in the directory of %s; move it to %s", org, e.Plan.Name))
	}
	if e.Request.Org != e.Plan.Org {
		out = append(out, e.Source.Get("org").Wrong("is not the plan's org %q; a plan stays with its org, so plan the request of another org by itself", e.Plan.Org))
	}
	if mine, theirs, found := connection.Overlap(e.Plan.CIDRs(), e.Request.PrivateNetworks); found {
		out = append(out, e.Source.Get("private_networks").Wrong("%s overlaps the org's segment %s; give another network", theirs, mine))
	}
	return out
}

func (l Ledger) paths(org string) (requestPath, planPath string) {
	return filepath.Join(l.dir, org, requestFile), filepath.Join(l.dir, org, planFile)
}

// Change is what Write would do, or did, to one file.
type Change struct {
	Path          string
	Before, After []byte
}

// Changes are the files of an org that differ from the given request and plan. Writing them is left to
// Write, so that they can be shown first.
func (l Ledger) Changes(org string, request, plan []byte) ([]Change, error) {
	requestPath, planPath := l.paths(org)
	var out []Change
	for _, c := range []Change{{Path: requestPath, After: request}, {Path: planPath, After: plan}} {
		before, err := os.ReadFile(c.Path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("comparing with the ledger: %w", err)
		}
		if c.Before = before; err != nil || !bytes.Equal(before, c.After) {
			out = append(out, c)
		}
	}
	return out, nil
}

// stagePrefix begins the name of the directory in which Write prepares files. Lock removes what a process left that was killed.
const stagePrefix = ".privnet-"

// Write makes the changes: each file is written beside its place and renamed into it, all of them only
// after all were written, the plan first. A new org appears as a whole directory. So a process that is
// killed leaves whole files, and the same command again does the rest. The ledger must be locked.
func (l Ledger) Write(org string, changes []Change) error {
	if len(changes) == 0 {
		return nil
	}
	final := filepath.Join(l.dir, org)
	stage, err := os.MkdirTemp(l.dir, stagePrefix)
	if err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	defer os.RemoveAll(stage)
	for _, c := range changes {
		if err := writeSynced(filepath.Join(stage, filepath.Base(c.Path)), c.After); err != nil {
			return fmt.Errorf("writing the ledger: %w", err)
		}
	}
	if _, err := os.Stat(final); errors.Is(err, fs.ErrNotExist) {
		if err := os.Chmod(stage, 0o755); err != nil {
			return fmt.Errorf("writing the ledger: %w", err)
		}
		if err := os.Rename(stage, final); err != nil {
			return fmt.Errorf("writing the ledger: %w", err)
		}
		return nil
	}
	for _, c := range slices.Backward(changes) {
		if err := os.Rename(filepath.Join(stage, filepath.Base(c.Path)), c.Path); err != nil {
			return fmt.Errorf("writing the ledger: %w", err)
		}
	}
	return nil
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// Find returns the entry of an org; nil if there is none.
func Find(entries []Entry, org string) *Entry {
	i, found := slices.BinarySearchFunc(entries, org, func(e Entry, name string) int { return strings.Compare(e.Plan.Name, name) })
	if !found {
		return nil
	}
	return &entries[i]
}
