// Package tree has the few operations on YAML trees that manifests need: look up, set, copy, write. A
// tree keeps the order of keys and the way that scalars are written, so that what is copied from an
// operator's manifest means the same to every YAML reader.
package tree

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"gopkg.in/yaml.v3"
)

// The number of nodes and of levels over which a document is not expanded: aliases of aliases can stand
// for more than fits into memory, and an alias within its own anchor never ends.
const (
	MaxNodes = 2_000_000
	MaxDepth = 1000
)

// Parse reads the only document and puts in place of each alias and merge key what it stands for. The lines
// are those of the anchored text. A key that is there twice is refused: another reader may take the other value.
func Parse(data []byte) (*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var doc, another yaml.Node
	if err := decoder.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, errors.New("the document is empty")
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(&another); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: another document begins; give one", another.Line)
	}
	left := MaxNodes
	return expand(doc.Content[0], &left, 0)
}

func expand(n *yaml.Node, left *int, depth int) (*yaml.Node, error) {
	if *left--; *left < 0 {
		return nil, fmt.Errorf("the document has more than %d values when its aliases are expanded", MaxNodes)
	}
	if depth > MaxDepth {
		return nil, fmt.Errorf("line %d: an alias is within its own anchor, or the document has more than %d levels", n.Line, MaxDepth)
	}
	if n.Kind == yaml.AliasNode {
		return expand(n.Alias, left, depth+1)
	}
	if n.Kind == yaml.MappingNode {
		if key := twice(n.Content); key != nil {
			return nil, fmt.Errorf("line %d: the key %q is there twice", key.Line, key.Value)
		}
	}
	out := &yaml.Node{Kind: n.Kind, Style: n.Style, Tag: n.Tag, Value: n.Value, Line: n.Line, Column: n.Column}
	var merged []*yaml.Node
	for i := 0; i < len(n.Content); i++ {
		child, err := expand(n.Content[i], left, depth+1)
		if err != nil {
			return nil, err
		}
		if n.Kind == yaml.MappingNode && i%2 == 0 && child.Tag == "!!merge" {
			i++
			from, err := expand(n.Content[i], left, depth+1)
			if err != nil {
				return nil, err
			}
			merged = append(merged, from)
			continue
		}
		out.Content = append(out.Content, child)
	}
	if len(merged) > 0 {
		has := map[string]bool{}
		for i := 0; i < len(out.Content); i += 2 {
			has[out.Content[i].Value] = true
		}
		for _, from := range merged {
			merge(out, from, has)
		}
	}
	return out, nil
}

// twice is the first key of a mapping's content that was there before; nil if there is none. Merge keys may be.
func twice(content []*yaml.Node) *yaml.Node {
	seen := make(map[string]bool, len(content)/2)
	for i := 0; i+1 < len(content); i += 2 {
		key := content[i]
		if key.Kind == yaml.ScalarNode && key.Tag != "!!merge" && seen[key.Value] {
			return key
		}
		seen[key.Value] = true
	}
	return nil
}

// merge adds the keys that a mapping does not have, as a merge key does; the first of several wins.
func merge(into, from *yaml.Node, has map[string]bool) {
	if from.Kind == yaml.SequenceNode {
		for _, element := range from.Content {
			merge(into, element, has)
		}
		return
	}
	for i := 0; i+1 < len(from.Content); i += 2 {
		if key := from.Content[i].Value; !has[key] {
			has[key] = true
			into.Content = append(into.Content, from.Content[i], from.Content[i+1])
		}
	}
}

// Get follows keys through mappings; nil if one is missing.
func Get(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		if n == nil || n.Kind != yaml.MappingNode {
			return nil
		}
		var found *yaml.Node
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				found = n.Content[i+1]
				break
			}
		}
		n = found
	}
	return n
}

// Text is the scalar that the keys lead to, or "".
func Text(n *yaml.Node, keys ...string) string {
	if n = Get(n, keys...); n == nil || n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.Value
}

// Elements are a list's elements; nil for anything else.
func Elements(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// Named is the element of a list of mappings that has the name.
func Named(list *yaml.Node, name string) *yaml.Node {
	for _, element := range Elements(list) {
		if Text(element, "name") == name {
			return element
		}
	}
	return nil
}

// Set puts a value under the keys, making the mappings on the way.
func Set(n *yaml.Node, value any, keys ...string) {
	for _, key := range keys[:len(keys)-1] {
		next := Get(n, key)
		if next == nil || next.Kind != yaml.MappingNode {
			next = &yaml.Node{Kind: yaml.MappingNode}
			put(n, key, next)
		}
		n = next
	}
	put(n, keys[len(keys)-1], Of(value))
}

func put(n *yaml.Node, key string, value *yaml.Node) {
	n.Style = 0
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content[i+1] = value
			return
		}
	}
	n.Content = append(n.Content, Of(key), value)
}

// Remove takes a key out of a mapping.
func Remove(n *yaml.Node, key string) {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = append(n.Content[:i:i], n.Content[i+2:]...)
			return
		}
	}
}

// Of is a Go value as a tree; a tree is itself.
func Of(value any) *yaml.Node {
	if n, ok := value.(*yaml.Node); ok {
		return n
	}
	var n yaml.Node
	if err := n.Encode(value); err != nil {
		// Strings, numbers, and lists, maps and structs of them always encode.
		panic(err)
	}
	return &n
}

// Copy is a deep copy.
func Copy(n *yaml.Node) *yaml.Node {
	out := *n
	out.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		out.Content[i] = Copy(child)
	}
	return &out
}

// Walk calls visit for each scalar with the keys that lead to it; a list's elements have the list's.
func Walk(n *yaml.Node, visit func(path []string, scalar *yaml.Node)) {
	walk(n, nil, visit)
}

func walk(n *yaml.Node, path []string, visit func([]string, *yaml.Node)) {
	switch n.Kind {
	case yaml.ScalarNode:
		visit(path, n)
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			walk(n.Content[i+1], append(path[:len(path):len(path)], n.Content[i].Value), visit)
		}
	case yaml.SequenceNode:
		for _, child := range n.Content {
			walk(child, path, visit)
		}
	}
}

// Write is a value as YAML, under a comment of one or more lines. The same value gives the same bytes.
func Write(comment string, value any) []byte {
	out := bytes.NewBufferString(comment)
	encoder := yaml.NewEncoder(out)
	encoder.SetIndent(2)
	if err := encoder.Encode(value); err != nil {
		// The same as in Of; the buffer never fails.
		panic(err)
	}
	return out.Bytes()
}
