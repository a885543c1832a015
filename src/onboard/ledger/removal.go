package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"privnet/atomicfile"
	"privnet/document"
	"privnet/onboard/plan"
	"privnet/onboard/removal"
)

// history is the directory of the orgs that have left. Its name is no org's.
const history = ".removed"

func readRemoval(dir string) (removal.Removal, error) {
	path := filepath.Join(dir, removalFile)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return removal.Removal{}, nil
	}
	if err != nil {
		return removal.Removal{}, fmt.Errorf("reading the ledger: %w", err)
	}
	return removal.Parse(path, data)
}

// WriteRemoval keeps how far an org's removal is: the file appears whole. The ledger must be locked.
func (l Ledger) WriteRemoval(org string, r removal.Removal) error {
	if err := atomicfile.Write(filepath.Join(l.dir, org, removalFile), r.YAML(), 0o644); err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	return nil
}

// ForgetRemoval makes an org one that stays. The ledger must be locked.
func (l Ledger) ForgetRemoval(org string) error {
	if err := os.Remove(filepath.Join(l.dir, org, removalFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	return nil
}

// Retire makes an org whose removal is done history, in one step. It returns the directory. The ledger must
// be locked.
func (l Ledger) Retire(org string) (string, error) {
	past := filepath.Join(l.dir, history, org)
	if err := os.MkdirAll(past, 0o755); err != nil {
		return "", fmt.Errorf("keeping the org's history: %w", err)
	}
	for n := 1; ; n++ {
		place := filepath.Join(past, strconv.Itoa(n))
		if _, err := os.Stat(place); err == nil {
			continue
		}
		if err := os.Rename(filepath.Join(l.dir, org), place); err != nil {
			return "", fmt.Errorf("keeping the org's history: %w", err)
		}
		return place, nil
	}
}

// Former are the orgs that have left, by name and in the order in which they did. The error is
// document.Problems, if it is the files that are wrong.
func (l Ledger) Former() ([]Entry, error) {
	dirs, err := filepath.Glob(filepath.Join(l.dir, history, "*", "*"))
	if err != nil {
		return nil, fmt.Errorf("reading the ledger: %w", err)
	}
	// The tenth is after the second.
	slices.SortFunc(dirs, func(a, b string) int {
		return cmp.Or(cmp.Compare(filepath.Dir(a), filepath.Dir(b)), cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
	})
	var out []Entry
	var problems error
	for _, dir := range dirs {
		entry, err := formerEntry(dir)
		problems = document.Join(problems, err)
		out = append(out, entry)
	}
	return out, problems
}

// formerEntry reads what an org held, and nothing of its request: what was right then may be wrong today.
func formerEntry(dir string) (Entry, error) {
	path := filepath.Join(dir, planFile)
	data, err := readFile(path)
	if err != nil {
		return Entry{}, err
	}
	held, planErr := plan.Parse(path, data)
	left, removalErr := readRemoval(dir)
	return Entry{Plan: held, Removal: left}, document.Join(planErr, removalErr)
}

// Quarantined is what of the former orgs' may not be given to anybody now.
func Quarantined(former []Entry, now time.Time) []plan.Quarantined {
	var out []plan.Quarantined
	for _, e := range former {
		if e.Removal.Quarantined(now) {
			out = append(out, plan.Quarantined{Plan: e.Plan, Until: e.Removal.Until})
		}
	}
	return out
}
