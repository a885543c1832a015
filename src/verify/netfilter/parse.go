package netfilter

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"privnet/egress"
	"privnet/verify/space"
)

// builtIn are the chains that the kernel enters by itself.
var builtIn = []string{"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}

// Parse reads one table. The error names the line and what of it is not understood.
func Parse(text string) (Table, error) {
	t := Table{chains: map[string]chain{}}
	for _, name := range builtIn {
		t.chains[name] = chain{policy: "ACCEPT"}
	}
	for i, line := range strings.Split(text, "\n") {
		if err := t.line(line); err != nil {
			return Table{}, fmt.Errorf("line %d: %q: %w", i+1, line, err)
		}
	}
	for name, c := range t.chains {
		for _, r := range c.rules {
			if _, known := t.chains[r.target]; !known && (r.kind == jump || r.kind == leave) {
				return Table{}, fmt.Errorf("chain %s leads to chain %s, which does not exist", name, r.target)
			}
		}
	}
	seen := map[string]bool{}
	for name := range t.chains {
		if err := t.checkLoops(name, nil, seen); err != nil {
			return Table{}, err
		}
	}
	return t, nil
}

// checkLoops refuses what the kernel refuses, too. A chain that was seen needs no second look.
func (t Table) checkLoops(name string, above []string, seen map[string]bool) error {
	if slices.Contains(above, name) {
		return fmt.Errorf("chain %s leads to itself", name)
	}
	if seen[name] {
		return nil
	}
	for _, r := range t.chains[name].rules {
		if r.kind == jump || r.kind == leave {
			if err := t.checkLoops(r.target, append(above, name), seen); err != nil {
				return err
			}
		}
	}
	seen[name] = true
	return nil
}

func (t Table) line(line string) error {
	words := strings.Fields(line)
	if len(words) == 0 || strings.HasPrefix(words[0], "#") || strings.HasPrefix(words[0], "*") || line == "COMMIT" {
		return nil
	}
	if name, isChain := strings.CutPrefix(words[0], ":"); isChain && len(words) >= 2 {
		policy := words[1]
		if policy == "-" {
			policy = ""
		}
		t.chains[name] = chain{policy: policy}
		return nil
	}
	if len(words) < 2 {
		return fmt.Errorf("is no rule")
	}
	c, known := t.chains[words[1]]
	if !known {
		return fmt.Errorf("there is no chain %s", words[1])
	}
	switch {
	case words[0] == "-A":
		r, err := parseRule(words[2:])
		if err != nil {
			return err
		}
		c.rules = append(c.rules, r)
	case words[0] == "-I" && len(words) > 2 && words[2] == "1":
		r, err := parseRule(words[3:])
		if err != nil {
			return err
		}
		c.rules = slices.Insert(c.rules, 0, r)
	default:
		return fmt.Errorf("the command %s is not known", words[0])
	}
	t.chains[words[1]] = c
	return nil
}

var protocols = map[string]uint32{"icmp": 1, "tcp": 6, "udp": 17, "esp": 50}

// options is a rule that is being read: the words that are left, and the packets that fit so far.
type options struct {
	words   []string
	matches space.Region
	// flags says that the rule asks for flags of TCP, translated for address translation: they are no dimension.
	flags, translated bool
}

func parseRule(words []string) (rule, error) {
	o := options{words: words, matches: space.Everything()}
	r := rule{kind: goOn}
	var shown []string
	for len(o.words) > 0 {
		before := o.words
		isComment := len(o.words) >= 4 && o.words[0] == "-m" && o.words[1] == "comment" && o.words[2] == "--comment"
		switch option := o.words[0]; {
		case isComment:
			o.words = o.words[4:]
			continue
		case option == "-j" || option == "-g":
			o.words = o.words[1:]
			target, err := o.take()
			if err != nil {
				return rule{}, err
			}
			r.target, r.kind = target, kindOf(option, target)
		case option == "--set-mss" && r.target == "TCPMSS":
			o.words = o.words[1:]
			if _, err := o.number(16); err != nil {
				return rule{}, err
			}
		default:
			if err := o.match(); err != nil {
				return rule{}, err
			}
		}
		shown = append(shown, before[:len(before)-len(o.words)]...)
	}
	if r.target == "" {
		return rule{}, fmt.Errorf("has no target")
	}
	if o.flags && r.kind != goOn {
		return rule{}, fmt.Errorf("--tcp-flags is known with TCPMSS only")
	}
	if o.translated {
		// Every packet is judged as untranslated, so that less is dropped than by the kernel.
		if r.kind != drop {
			return rule{}, fmt.Errorf("--ctstate SNAT,DNAT is known with DROP only")
		}
		o.matches = nil
	}
	r.matches, r.text = o.matches, strings.Join(shown, " ")
	return r, nil
}

func kindOf(option, target string) kind {
	switch {
	case option == "-g":
		return leave
	case target == "ACCEPT":
		return accept
	case target == "DROP":
		return drop
	case target == "RETURN":
		return giveBack
	case target == "TCPMSS":
		return goOn
	default:
		return jump
	}
}

func (o *options) take() (string, error) {
	if len(o.words) == 0 {
		return "", fmt.Errorf("ends too early")
	}
	word := o.words[0]
	o.words = o.words[1:]
	return word, nil
}

func (o *options) number(bits int) (uint32, error) {
	word, err := o.take()
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(word, 0, bits)
	if err != nil {
		return 0, fmt.Errorf("%q is no number of %d bits", word, bits)
	}
	return uint32(n), nil
}

// match reads one option with its value and narrows the packets that fit.
func (o *options) match() error {
	option, err := o.take()
	negated := option == "!"
	if negated {
		if option, err = o.take(); err != nil {
			return err
		}
	}
	value, err := o.take()
	if err != nil {
		return fmt.Errorf("the option %s has no value", option)
	}
	if option == "--tcp-flags" {
		o.flags = true
		_, err = o.take()
		return err
	}
	if option == "-m" && !negated && slices.Contains([]string{"tcp", "udp", "conntrack", "realm", "policy"}, value) {
		return nil
	}
	if option == "--dir" && !negated {
		return o.ipsec(value)
	}
	if option == "--ctstate" && value == "SNAT,DNAT" && !negated {
		o.translated = true
		return nil
	}
	dimension, ranges, err := values(option, value)
	if err != nil {
		return err
	}
	switch {
	case len(ranges) == 0, negated && len(ranges) > 1:
		return fmt.Errorf("%s %s is not known", option, value)
	case negated:
		ranges = space.Except(dimension, ranges[0])
	}
	o.matches = o.matches.Within(dimension, ranges...)
	return nil
}

// ipsec reads the rest of --dir in|out --pol none|ipsec.
func (o *options) ipsec(direction string) error {
	if option, err := o.take(); err != nil || option != "--pol" {
		return fmt.Errorf("--dir is known with --pol only")
	}
	policy, err := o.take()
	dimension, known := map[string]space.Dimension{"in": space.Arrived, "out": space.Leaves}[direction]
	wanted, known2 := map[string]uint32{"none": space.No, "ipsec": space.Yes}[policy]
	if err != nil || !known || !known2 {
		return fmt.Errorf("--dir %s --pol %s is not known", direction, policy)
	}
	o.matches = o.matches.Within(dimension, space.One(wanted))
	return nil
}

// values are what an option asks for, in which dimension.
func values(option, value string) (space.Dimension, []space.Range, error) {
	unknown := fmt.Errorf("%s %s is not known", option, value)
	switch option {
	case "-s", "-d":
		prefix, err := netip.ParsePrefix(value)
		if err != nil || !prefix.Addr().Is4() {
			return 0, nil, unknown
		}
		return map[string]space.Dimension{"-s": space.Source, "-d": space.Destination}[option], []space.Range{space.Prefix(prefix)}, nil
	case "-p":
		number, known := protocols[value]
		if !known {
			return 0, nil, unknown
		}
		return space.Protocol, []space.Range{space.One(number)}, nil
	case "--sport", "--dport", "--ctorigdstport":
		r, err := portRange(value)
		return map[string]space.Dimension{
			"--sport": space.SourcePort, "--dport": space.Port, "--ctorigdstport": space.OriginalPort,
		}[option], []space.Range{r}, err
	case "--ctstate":
		return space.Flow, map[string][]space.Range{
			"NEW":             {space.One(space.New)},
			"ESTABLISHED":     {{First: space.Established, Last: space.Reply}},
			"NEW,ESTABLISHED": {{First: space.New, Last: space.Reply}},
			"RELATED":         {{First: space.Related, Last: space.RelatedReply}},
		}[value], nil
	case "--ctdir":
		return space.Flow, map[string][]space.Range{
			"ORIGINAL": {{First: space.New, Last: space.Established}, space.One(space.Related)},
			"REPLY":    {space.One(space.Reply), space.One(space.RelatedReply)},
		}[value], nil
	case "--realm":
		text, whole := strings.CutSuffix(value, "/0xffff")
		number, err := strconv.ParseUint(text, 0, 16)
		if err != nil || !whole {
			return 0, nil, unknown
		}
		return space.Realm, []space.Range{space.One(uint32(number))}, nil
	case "-i", "-o":
		if value != egress.TunnelDevice {
			return 0, nil, unknown
		}
		return map[string]space.Dimension{"-i": space.ArrivedBy, "-o": space.LeavesBy}[option], []space.Range{space.One(space.Yes)}, nil
	}
	return 0, nil, unknown
}

func portRange(text string) (space.Range, error) {
	first, last, isRange := strings.Cut(text, ":")
	if !isRange {
		last = first
	}
	from, err1 := strconv.ParseUint(first, 10, 16)
	to, err2 := strconv.ParseUint(last, 10, 16)
	if err1 != nil || err2 != nil || from > to {
		return space.Range{}, fmt.Errorf("%q is no port or range of ports", text)
	}
	return space.Range{First: uint32(from), Last: uint32(to)}, nil
}
