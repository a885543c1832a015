package document

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/agnivade/levenshtein"
)

// CheckText refuses bytes that are no UTF-8 and control characters, as Problems with the line. YAML's own
// reader does not say where they are, takes UTF-16, which nothing else here does, and takes what makes a
// terminal show a text in another order.
func CheckText(file string, data []byte) error {
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		want := ""
		switch {
		case r == utf8.RuneError && size == 1:
			want = fmt.Sprintf("is not UTF-8: it has the byte 0x%02x; save it as UTF-8", data[i])
		case unicode.Is(unicode.Bidi_Control, r), unicode.IsControl(r) && !strings.ContainsRune("\t\n\r\u0085", r):
			want = fmt.Sprintf("has the control character %U; take it out", r)
		}
		if want != "" {
			return Problems{{File: file, Line: 1 + bytes.Count(data[:i], []byte("\n")), Want: want}}
		}
		i += size
	}
	return nil
}

// Malformed is an error of reading YAML as Problems, with the line if it begins with one.
func Malformed(file string, err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	problem := Problem{File: file, Want: "cannot be read as YAML: " + text}
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		number, tail, _ := strings.Cut(rest, ": ")
		if line, err := strconv.Atoi(number); err == nil {
			problem.Line, problem.Want = line, "cannot be read as YAML: "+tail
		}
	}
	return Problems{problem}
}

// suggest names the known fields, and first the one that was probably meant.
func suggest(unknown string, known []string) string {
	plain := func(name string) string {
		return strings.Map(func(r rune) rune {
			if r == '_' || r == '-' || r == ' ' {
				return -1
			}
			return unicode.ToLower(r)
		}, name)
	}
	best, least := "", 3
	for _, name := range known {
		// As many edits as half of the letters make another word of any.
		if d := levenshtein.ComputeDistance(plain(unknown), plain(name)); d < least && 2*d < len(name) {
			best, least = name, d
		}
	}
	all := strings.Join(known, ", ")
	if best == "" {
		return "known are " + all
	}
	return "did you mean " + best + "? Known are " + all
}
