package ipsec

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Section is a part of strongSwan's configuration: what swanctl.conf and strongswan.conf write in braces,
// and vici sends as a message. There is one tree and two encodings of it, so that the file that an
// engineer reads is what charon was told.
type Section struct {
	// Name is empty for the root.
	Name string
	// Comments are written above the section; they reach no charon.
	Comments []string
	Settings []Setting
	Sections []Section
}

// Setting is a key with a value, or with a list of values.
type Setting struct {
	Key string
	// Values is one value, or the elements of a list.
	Values []string
	// IsList says that charon wants a list, also when there is one element.
	IsList bool
}

// maxValue is the length in bytes of the longest value that is written. vici has 16 bits for it.
const maxValue = 16 << 10

// namePattern is what section names and keys are made of. strongSwan reads dots, colons and commas in
// them as paths, references and lists.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9_-]{1,120}$`)

// plainPattern is a value that needs no quotes.
var plainPattern = regexp.MustCompile(`^[A-Za-z0-9._:/@%+=-]+$`)

// Check says why the section cannot be written so that it means what it holds, or nil.
func (s Section) Check() error {
	if s.Name != "" && !isName(s.Name) {
		return fmt.Errorf("%q is no name of a section; letters, digits, - and _ are", s.Name)
	}
	for _, setting := range s.Settings {
		if err := setting.check(); err != nil {
			return fmt.Errorf("%s.%s: %w", s.Name, setting.Key, err)
		}
	}
	seen := map[string]bool{}
	for _, sub := range s.Sections {
		// strongSwan merges two sections of one name, so that one would change the other.
		if sub.Name == "" || seen[sub.Name] {
			return fmt.Errorf("%s: two sections are named %q", s.Name, sub.Name)
		}
		seen[sub.Name] = true
		if err := sub.Check(); err != nil {
			return err
		}
	}
	return nil
}

// isName also refuses include, which strongSwan reads as the command to read another file.
func isName(text string) bool { return namePattern.MatchString(text) && text != "include" }

func (s Setting) check() error {
	if !isName(s.Key) {
		return fmt.Errorf("%q is no key; letters, digits, - and _ are", s.Key)
	}
	if len(s.Values) == 0 || (!s.IsList && len(s.Values) > 1) {
		return fmt.Errorf("has %d values", len(s.Values))
	}
	for _, value := range s.Values {
		switch {
		case value == "":
			return fmt.Errorf("is empty")
		case len(value) > maxValue:
			return fmt.Errorf("is %d bytes long; at most %d are written", len(value), maxValue)
		case !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
			return fmt.Errorf("holds a control character or is no UTF-8")
		case s.IsList && (strings.Contains(value, ",") || strings.TrimSpace(value) != value):
			return fmt.Errorf("holds a comma or outer spaces, which a list cannot carry")
		}
	}
	return nil
}

// Equal says whether two sections mean the same: comments do not count.
func (s Section) Equal(other Section) bool {
	return s.Name == other.Name && slices.EqualFunc(s.Settings, other.Settings, Setting.equal) &&
		slices.EqualFunc(s.Sections, other.Sections, Section.Equal)
}

func (s Setting) equal(other Setting) bool {
	return s.Key == other.Key && s.IsList == other.IsList && slices.Equal(s.Values, other.Values)
}

// Text is the section in the syntax of strongSwan's files. Call Check first.
func (s Section) Text() string {
	var b strings.Builder
	s.write(&b, "")
	return b.String()
}

func (s Section) write(b *strings.Builder, indent string) {
	for _, comment := range s.Comments {
		fmt.Fprintf(b, "%s# %s\n", indent, oneLine(comment))
	}
	inner := indent
	if s.Name != "" {
		fmt.Fprintf(b, "%s%s {\n", indent, s.Name)
		inner = indent + "  "
	}
	for _, setting := range s.Settings {
		fmt.Fprintf(b, "%s%s = %s\n", inner, setting.Key, setting.text())
	}
	for i, sub := range s.Sections {
		if i > 0 || len(s.Settings) > 0 || (s.Name == "" && len(s.Comments) > 0) {
			b.WriteString("\n")
		}
		sub.write(b, inner)
	}
	if s.Name != "" {
		fmt.Fprintf(b, "%s}\n", indent)
	}
}

func (s Setting) text() string {
	joined := strings.Join(s.Values, ", ")
	for _, value := range s.Values {
		if !plainPattern.MatchString(value) {
			return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(joined) + `"`
		}
	}
	return joined
}

// oneLine keeps a comment a comment, whatever it quotes.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}

func value(key, text string) Setting { return Setting{Key: key, Values: []string{text}} }

func values(key string, texts ...string) Setting {
	return Setting{Key: key, Values: texts, IsList: true}
}
