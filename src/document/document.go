// Package document reads the YAML, and so the JSON, that people and templates hand to us, and keeps
// for each value the line that it came from. Whatever is wrong is collected, so that one run reports
// every problem of a file, each with file, line, field, value and what would be right.
//
// It knows nothing of what the values mean: the packages that use it say what they want. Anchors and
// aliases, several documents in a file and files over MaxSize are refused, because the input is
// hostile until it is validated.
package document

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// MaxSize is the size in bytes over which a document is not read.
const MaxSize = 1 << 20

// Document is one parsed file and the problems found in it so far.
type Document struct {
	file     string
	root     *yaml.Node
	problems *Problems
}

// Value is one place in a document. The zero Node means that the place is absent.
type Value struct {
	doc  *Document
	path string
	line int
	node *yaml.Node
}

// Parse reads one YAML or JSON document. The file's name is used in problems only. What cannot be
// parsed at all is returned as a Problems error.
func Parse(file string, data []byte) (*Document, error) {
	doc := &Document{file: file, problems: &Problems{}}
	if len(data) > MaxSize {
		return nil, doc.refuse(0, fmt.Sprintf("is %d bytes long; at most %d are read", len(data), MaxSize))
	}
	if err := CheckText(file, data); err != nil {
		return nil, err
	}
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var root yaml.Node
	if err := decoder.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, doc.refuse(0, "is empty; it must be a YAML mapping")
		}
		return nil, Malformed(file, err)
	}
	var another yaml.Node
	if err := decoder.Decode(&another); !errors.Is(err, io.EOF) {
		return nil, doc.refuse(another.Line, "holds more than one YAML document; give one")
	}
	doc.root = root.Content[0]
	return doc, nil
}

// Root is the whole document as a value.
func (d *Document) Root() Value {
	return Value{doc: d, line: d.root.Line, node: d.root}
}

// Err returns every problem found so far, in the order of the file, or nil.
func (d *Document) Err() error {
	return d.problems.Err()
}

func (d *Document) refuse(line int, want string) error {
	return Problems{{File: d.file, Line: line, Want: want}}
}

// Present says whether the document has this value; an explicit null counts as absent.
func (v Value) Present() bool {
	return v.node != nil && v.node.Tag != "!!null"
}

// Path is the name of the place, as in endpoint.address or private_networks[1].
func (v Value) Path() string { return v.path }

// File is the name of the document's file.
func (v Value) File() string { return v.doc.file }

// Line is the line of the value, or of the mapping that lacks it; it starts at 1.
func (v Value) Line() int { return v.line }

// Problem records that the value is wrong and says what would be right.
func (v Value) Problem(format string, args ...any) {
	v.report(v.shown(), format, args...)
}

// SecretProblem records a problem without repeating the value.
func (v Value) SecretProblem(format string, args ...any) {
	v.report("", format, args...)
}

// Wrong is the problem that Problem would record; for what is found out after the document was read.
func (v Value) Wrong(format string, args ...any) Problem {
	return Problem{
		File: v.doc.file, Line: v.line, Field: v.path, Value: v.shown(), Want: fmt.Sprintf(format, args...),
	}
}

func (v Value) report(shown, format string, args ...any) {
	v.doc.problems.add(Problem{
		File: v.doc.file, Line: v.line, Field: v.path, Value: shown, Want: fmt.Sprintf(format, args...),
	})
}

// shown is what problems repeat of the value: all of a scalar, and nothing of what has elements.
func (v Value) shown() string {
	if !v.Present() || v.node.Kind != yaml.ScalarNode {
		return ""
	}
	return v.node.Value
}

// mustBe records that the value is of another kind.
func (v Value) mustBe(format string, args ...any) {
	kinds := map[yaml.Kind]string{yaml.MappingNode: "a mapping", yaml.SequenceNode: "a list", yaml.AliasNode: "an alias, which is not followed"}
	what := ""
	if v.Present() && kinds[v.node.Kind] != "" {
		what = "is " + kinds[v.node.Kind] + "; it "
	}
	v.Problem(what+"must be "+format, args...)
}

// Fields checks that the value is a mapping that has no other fields than the known ones, and none
// twice. Of an unknown one it says which was probably meant. It returns false if the value is no mapping.
func (v Value) Fields(known ...string) bool {
	if !v.Present() || v.node.Kind != yaml.MappingNode {
		v.mustBe("a mapping with the fields %s", strings.Join(known, ", "))
		return false
	}
	seen := map[string]bool{}
	for i := 0; i < len(v.node.Content); i += 2 {
		key := v.node.Content[i]
		field := Value{doc: v.doc, path: v.join(key.Value), line: key.Line}
		switch {
		case seen[key.Value]:
			field.Problem("is given twice; give it once")
		case key.Tag == "!!merge":
			field.Problem("merge keys are not followed; write the fields themselves")
		case !slices.Contains(known, key.Value):
			field.Problem("is not a known field; %s", suggest(key.Value, known))
		}
		seen[key.Value] = true
	}
	return true
}

// Get returns the value of a field; it is absent when the mapping lacks it.
func (v Value) Get(key string) Value {
	out := Value{doc: v.doc, path: v.join(key), line: v.line}
	if v.node == nil || v.node.Kind != yaml.MappingNode {
		return out
	}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		if v.node.Content[i].Value == key {
			out.node, out.line = v.node.Content[i+1], v.node.Content[i+1].Line
			return out
		}
	}
	return out
}

// List returns the elements of a list. A value that is present and no list is a problem.
func (v Value) List() []Value {
	if !v.Present() {
		return nil
	}
	if v.node.Kind != yaml.SequenceNode {
		v.mustBe("a list")
		return nil
	}
	out := make([]Value, len(v.node.Content))
	for i, n := range v.node.Content {
		out[i] = Value{doc: v.doc, path: fmt.Sprintf("%s[%d]", v.path, i), line: n.Line, node: n}
	}
	return out
}

// RequiredList is List, and a problem if there is nothing in it; want says what to give.
func (v Value) RequiredList(want string) []Value {
	list := v.List()
	switch {
	case !v.Present():
		v.Problem("is missing; give %s", want)
	case v.node.Kind == yaml.SequenceNode && len(list) == 0:
		v.Problem("is empty; give %s", want)
	}
	return list
}

// Text returns a scalar as it is written. A value that is present and no scalar is a problem.
func (v Value) Text() string {
	if !v.Present() {
		return ""
	}
	if v.node.Kind != yaml.ScalarNode {
		v.mustBe("a single value")
		return ""
	}
	return v.node.Value
}

// Required is Text, and a problem if the value is absent or empty; want says what to give.
func (v Value) Required(want string) string {
	text := v.Text()
	if text == "" && (!v.Present() || v.node.Kind == yaml.ScalarNode) {
		v.Problem("is missing; give %s", want)
	}
	return text
}

// Int returns a whole number between least and most, both included. Anything else is a problem and
// gives 0; so does an absent value, without a problem.
func (v Value) Int(least, most int) int {
	text := v.Text()
	if text == "" {
		return 0
	}
	number, err := strconv.Atoi(text)
	if err != nil || number < least || number > most {
		v.Problem("must be a whole number from %d to %d", least, most)
		return 0
	}
	return number
}

// Mapping returns a mapping that is passed on without being understood. Anything else is a problem; an
// absent value is nil.
func (v Value) Mapping() map[string]any {
	if !v.Present() {
		return nil
	}
	var out map[string]any
	if err := v.node.Decode(&out); err != nil {
		v.Problem("must be a mapping of which each key is a text and is there once")
	}
	return out
}

// Bool returns true or false. Anything else is a problem; an absent value is false.
func (v Value) Bool() bool {
	switch v.Text() {
	case "true":
		return true
	case "", "false":
		return false
	default:
		v.Problem("must be true or false")
		return false
	}
}

// OneOf returns the value if it is one of the allowed ones, fallback if it is absent, and records a
// problem otherwise.
func (v Value) OneOf(fallback string, allowed ...string) string {
	text := v.Text()
	if text == "" {
		return fallback
	}
	if !slices.Contains(allowed, text) {
		v.Problem("must be one of %s", strings.Join(allowed, ", "))
		return fallback
	}
	return text
}

func (v Value) join(key string) string {
	if v.path == "" {
		return key
	}
	return v.path + "." + key
}
