package selectors

import (
	"fmt"
	"strings"
)

// section is a part of the file in braces.
type section struct {
	name     string
	settings map[string]string
	sections []section
}

func (s section) sub(name string) section {
	for _, sub := range s.sections {
		if sub.name == name {
			return sub
		}
	}
	return section{}
}

type parser struct {
	tokens []token
}

// token is a word, one of { } =, or the end of a line.
type token struct {
	text string
	line int
	// quoted says that the text is no sign, whatever it is.
	quoted bool
}

func (t token) is(sign string) bool { return !t.quoted && t.text == sign }

func (p *parser) next() (token, bool) {
	if len(p.tokens) == 0 {
		return token{}, false
	}
	t := p.tokens[0]
	p.tokens = p.tokens[1:]
	return t, true
}

func (p *parser) section(name string, isRoot bool) (section, error) {
	s := section{name: name, settings: map[string]string{}}
	for {
		t, ok := p.next()
		switch {
		case !ok && isRoot, ok && t.is("}") && !isRoot:
			return s, nil
		case !ok:
			return s, fmt.Errorf("section %s does not end", name)
		case t.is("\n"):
			continue
		case t.is("{"), t.is("}"), t.is("="):
			return s, fmt.Errorf("line %d: unexpected %s", t.line, t.text)
		}
		follower, _ := p.next()
		switch {
		case follower.is("{"):
			sub, err := p.section(t.text, false)
			if err != nil {
				return s, err
			}
			if _, twice := s.settings[t.text]; twice || s.sub(t.text).name != "" {
				return s, fmt.Errorf("line %d: %s is there twice", t.line, t.text)
			}
			s.sections = append(s.sections, sub)
		case follower.is("="):
			if _, twice := s.settings[t.text]; twice {
				return s, fmt.Errorf("line %d: %s is there twice", t.line, t.text)
			}
			s.settings[t.text] = strings.Join(p.rest(), " ")
		case t.is("include"):
			p.rest()
		default:
			return s, fmt.Errorf("line %d: %s is neither a section nor a setting", t.line, t.text)
		}
	}
}

// rest is the words up to the end of the line.
func (p *parser) rest() []string {
	var out []string
	for {
		t, ok := p.next()
		if !ok || t.is("\n") {
			return out
		}
		if t.is("}") {
			p.tokens = append([]token{t}, p.tokens...)
			return out
		}
		out = append(out, t.text)
	}
}

// tokens cuts the text; comments are left out.
func tokens(text string) []token {
	var out []token
	for i, line := range strings.Split(text, "\n") {
		for rest := strings.TrimLeft(line, " \t\r"); rest != "" && rest[0] != '#'; rest = strings.TrimLeft(rest, " \t\r") {
			switch {
			case strings.ContainsRune("{}=", rune(rest[0])):
				out = append(out, token{text: rest[:1], line: i + 1})
				rest = rest[1:]
			case rest[0] == '"':
				var word string
				word, rest = quoted(rest[1:])
				out = append(out, token{text: word, line: i + 1, quoted: true})
			default:
				end := strings.IndexAny(rest, " \t\r{}=#\"")
				if end < 0 {
					end = len(rest)
				}
				out = append(out, token{text: rest[:end], line: i + 1})
				rest = rest[end:]
			}
		}
		out = append(out, token{text: "\n", line: i + 1})
	}
	return out
}

// quoted is the text up to the closing quote, without its escapes, and what follows it.
func quoted(text string) (word, rest string) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:]
		case text[i] == '\\' && i+1 < len(text):
			i++
		}
		b.WriteByte(text[i])
	}
	return b.String(), ""
}
