package iptables

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"privnet/egress"
)

// dump is the mangle table as iptables-save -c prints it: chain → rules in their order.
type dump map[string][]dumpedRule

type dumpedRule struct {
	// args is the rule without its chain, in a form that -D takes.
	args    string
	comment string
	packets uint64
}

var (
	targetOf     = regexp.MustCompile(`(?:^| )-[jg] (\S+)`)
	incompatible = regexp.MustCompile(`(?m)^# (.* is incompatible.*)$`)
)

// parse reads iptables-save's output. A table that the program could not read is an error, although the
// program itself calls it none.
func parse(text string) (dump, error) {
	if m := incompatible.FindStringSubmatch(text); m != nil {
		return nil, errors.New(m[1])
	}
	d := dump{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if name, isChain := strings.CutPrefix(line, ":"); isChain {
			name, _, _ = strings.Cut(name, " ")
			d[name] = nil
			continue
		}
		counters, rule, isRule := strings.Cut(line, "] -A ")
		if !isRule {
			continue
		}
		packets, _, _ := strings.Cut(strings.TrimPrefix(counters, "["), ":")
		count, err := strconv.ParseUint(packets, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("reading the counter of %q: %w", line, err)
		}
		chain, args, _ := strings.Cut(rule, " ")
		d[chain] = append(d[chain], dumpedRule{args: args, comment: commentOf(args), packets: count})
	}
	return d, nil
}

// commentOf is a rule's comment if it is one of ours. Some versions quote it.
func commentOf(args string) string {
	_, comment, _ := strings.Cut(args, "--comment ")
	comment, _, _ = strings.Cut(comment, " ")
	comment = strings.Trim(comment, `"`)
	if !strings.HasPrefix(comment, tag) {
		return ""
	}
	return comment
}

// ours says whether the chain's name is one of ours, also of another version of this program.
func ours(chain string) bool { return strings.HasPrefix(chain, egress.ChainPrefix) }

// jumps lists the rules of a built-in chain that lead to a chain of ours, and whether the first rule of
// all is the unconditional jump to wanted.
func (d dump) jumps(hook egress.Hook, wanted string) (found []dumpedRule, first bool) {
	for i, rule := range d[string(hook)] {
		if m := targetOf.FindStringSubmatch(rule.args); m != nil && ours(m[1]) {
			found = append(found, rule)
			first = first || (i == 0 && rule.args == "-j "+wanted)
		}
	}
	return found, first
}

// dropped sums the packets that our rules dropped.
func (d dump) dropped() uint64 {
	var sum uint64
	for chain, rules := range d {
		for _, rule := range rules {
			if ours(chain) && strings.HasSuffix(rule.args, "-j "+string(egress.Drop)) {
				sum += rule.packets
			}
		}
	}
	return sum
}

// differences says in what the table differs from the wanted chains, a sentence each.
func (d dump) differences(wanted []egress.Chain) []string {
	var out []string
	desired, hooked := map[string]bool{}, map[egress.Hook]string{}
	for _, chain := range wanted {
		desired[chain.Name] = true
		if chain.Hook != "" {
			hooked[chain.Hook] = chain.Name
		}
		rules, exists := d[chain.Name]
		switch {
		case !exists:
			out = append(out, fmt.Sprintf("chain %s is missing", chain.Name))
		case !same(rules, render(chain)):
			out = append(out, fmt.Sprintf("chain %s is not as it was written: %d rules, %d expected", chain.Name, len(rules), len(chain.Rules)))
		}
	}
	for _, hook := range hooks {
		name := hooked[hook]
		found, first := d.jumps(hook, name)
		switch {
		case name == "" && len(found) > 0:
			out = append(out, fmt.Sprintf("%s leads to a chain of ours that is not wanted", hook))
		case name != "" && len(found) == 0:
			out = append(out, fmt.Sprintf("%s does not lead to %s", hook, name))
		case name != "" && !(first && len(found) == 1):
			out = append(out, fmt.Sprintf("%s does not begin with the one jump to %s", hook, name))
		}
	}
	for chain := range d {
		if ours(chain) && !desired[chain] {
			out = append(out, fmt.Sprintf("chain %s is left over", chain))
		}
	}
	return out
}

func same(rules []dumpedRule, wanted []renderedRule) bool {
	if len(rules) != len(wanted) {
		return false
	}
	for i := range rules {
		if rules[i].comment != wanted[i].comment || wanted[i].args != "" && rules[i].args != wanted[i].args {
			return false
		}
	}
	return true
}
