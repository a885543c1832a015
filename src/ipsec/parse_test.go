package ipsec_test

import (
	"fmt"
	"strings"

	"privnet/ipsec"
)

// parse reads strongSwan's configuration syntax as libstrongswan's settings_lexer.l does: comments, quoted
// strings with escapes, values to the end of the line. It is written for the specs and knows nothing of
// how sections are written. Lists stay one value; include lines are collected.
func parse(text string) (root ipsec.Section, includes []string, err error) {
	p := &parser{rest: []rune(text)}
	root, err = p.section("", true)
	return root, p.includes, err
}

type parser struct {
	rest     []rune
	includes []string
}

func (p *parser) peek() rune {
	if len(p.rest) == 0 {
		return 0
	}
	return p.rest[0]
}

func (p *parser) take() rune {
	r := p.peek()
	if len(p.rest) > 0 {
		p.rest = p.rest[1:]
	}
	return r
}

func (p *parser) while(keep func(rune) bool) string {
	var b strings.Builder
	for len(p.rest) > 0 && keep(p.peek()) {
		b.WriteRune(p.take())
	}
	return b.String()
}

func (p *parser) blanks() {
	for len(p.rest) > 0 {
		switch r := p.peek(); {
		case strings.ContainsRune(" \t\r\n", r):
			p.take()
		case r == '#':
			p.while(func(r rune) bool { return r != '\n' })
		default:
			return
		}
	}
}

func (p *parser) section(name string, isRoot bool) (ipsec.Section, error) {
	s := ipsec.Section{Name: name}
	for {
		p.blanks()
		if len(p.rest) == 0 && isRoot {
			return s, nil
		}
		if p.peek() == '}' && !isRoot {
			p.take()
			return s, nil
		}
		key := p.while(func(r rune) bool { return !strings.ContainsRune("#{}:.,=\"\r\n\t ", r) })
		if key == "" {
			return s, fmt.Errorf("unexpected %q in section %q", p.peek(), name)
		}
		if next := p.while(func(r rune) bool { return r == ' ' || r == '\t' }); key == "include" && next != "" && p.peek() != '=' {
			p.includes = append(p.includes, p.while(func(r rune) bool { return !strings.ContainsRune("#}\n\t ", r) }))
			continue
		}
		p.blanks()
		switch p.take() {
		case '{':
			sub, err := p.section(key, false)
			if err != nil {
				return s, err
			}
			s.Sections = append(s.Sections, sub)
		case '=':
			value, err := p.value()
			if err != nil {
				return s, err
			}
			s.Settings = append(s.Settings, ipsec.Setting{Key: key, Values: []string{value}})
		default:
			return s, fmt.Errorf("%q is neither a section nor a setting", key)
		}
	}
}

func (p *parser) value() (string, error) {
	var words []string
	for {
		p.while(func(r rune) bool { return r == ' ' || r == '\t' || r == '\r' })
		switch p.peek() {
		case 0, '\n', '#', '}':
			return strings.Join(words, " "), nil
		case '"':
			p.take()
			word, err := p.quoted()
			if err != nil {
				return "", err
			}
			words = append(words, word)
		default:
			words = append(words, p.while(func(r rune) bool { return !strings.ContainsRune("#}\"\r\n\t ", r) }))
		}
	}
}

func (p *parser) quoted() (string, error) {
	var b strings.Builder
	for len(p.rest) > 0 {
		switch r := p.take(); r {
		case '"':
			return b.String(), nil
		case '\r':
		case '\\':
			switch e := p.take(); e {
			case 'n':
				b.WriteRune('\n')
			case 'r':
				b.WriteRune('\r')
			case 't':
				b.WriteRune('\t')
			case '\n':
			default:
				b.WriteRune(e)
			}
		default:
			b.WriteRune(r)
		}
	}
	return "", fmt.Errorf("a quoted string does not end")
}

// plain is a section as parse gives it back: without comments, with each list as one value, and with nil
// for what is empty.
func plain(s ipsec.Section) ipsec.Section {
	out := ipsec.Section{Name: s.Name}
	for _, setting := range s.Settings {
		out.Settings = append(out.Settings, ipsec.Setting{Key: setting.Key, Values: []string{strings.Join(setting.Values, ", ")}})
	}
	for _, sub := range s.Sections {
		out.Sections = append(out.Sections, plain(sub))
	}
	return out
}
