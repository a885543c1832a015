package document

import (
	"errors"
	"fmt"
	"sort"
	"strings"
)

// Problem is one thing that is wrong with one place of a file.
type Problem struct {
	File  string `json:"file"`
	Line  int    `json:"line,omitempty"`
	Field string `json:"field,omitempty"`
	Value string `json:"value,omitempty"`
	Want  string `json:"want"`
}

// maxShown is the number of characters of an offending value that a problem repeats.
const maxShown = 80

// String is one line: file:line: field: "value" what would be right.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Field != "" {
		b.WriteString(printable(p.Field) + ": ")
	}
	if p.Value != "" {
		b.WriteString(fmt.Sprintf("%q", shorten(p.Value)) + " ")
	}
	b.WriteString(p.Want)
	return b.String()
}

// printable quotes a name only when it holds something that must not reach a terminal or a log as it is.
func printable(name string) string {
	name = shorten(name)
	if quoted := fmt.Sprintf("%q", name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

func shorten(text string) string {
	if runes := []rune(text); len(runes) > maxShown {
		return string(runes[:maxShown]) + "..."
	}
	return text
}

// Problems is an error of one or more problems, a line each.
type Problems []Problem

// Error lists the problems, a line each.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems in the order of their file and line, or nil if there are none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	sorted := append(Problems(nil), p...)
	sort.SliceStable(sorted, func(i, j int) bool {
		if sorted[i].File != sorted[j].File {
			return sorted[i].File < sorted[j].File
		}
		return sorted[i].Line < sorted[j].Line
	})
	return sorted
}

// Join is the problems of several documents as one error. An error of another kind comes before all of
// them and alone.
func Join(errs ...error) error {
	var all Problems
	for _, err := range errs {
		var found Problems
		if err != nil && !errors.As(err, &found) {
			return err
		}
		for _, problem := range found {
			all.add(problem)
		}
	}
	return all.Err()
}

func (p *Problems) add(problem Problem) {
	for _, known := range *p {
		if known == problem {
			return
		}
	}
	*p = append(*p, problem)
}
