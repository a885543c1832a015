package impact

import (
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// text is a property's value in one line; one that is not rendered has its default.
func text(value any) string {
	if value == nil {
		return "not given"
	}
	var n yaml.Node
	if err := n.Encode(value); err != nil {
		return fmt.Sprint(value)
	}
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	n.Style = yaml.FlowStyle
	out, err := yaml.Marshal(&n)
	if err != nil {
		return fmt.Sprint(value)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}

// Text is the impact for people; empty if nothing changes.
func (i Impact) Text() string {
	if !i.New && len(i.Changes) == 0 {
		return ""
	}
	var b strings.Builder
	section := func(title string, lines ...string) {
		if len(lines) == 0 {
			return
		}
		fmt.Fprintf(&b, "  %s\n", title)
		for _, line := range lines {
			fmt.Fprintf(&b, "    %s\n", strings.ReplaceAll(line, "\n", "\n    "))
		}
	}
	what := "what the next deploy changes; nothing happens to another org"
	if i.New {
		what = "what the next deploy brings; nothing restarts"
	}
	fmt.Fprintf(&b, "%s: %s\n", i.Org, what)
	var lines []string
	for _, c := range i.Changes {
		lines = append(lines, fmt.Sprintf("%s: %s -> %s", c.What, c.From, c.To))
	}
	section("changed", lines...)
	lines = nil
	for _, r := range i.Renders {
		line := fmt.Sprintf("%s: %s", r.Group, strings.Join(r.Jobs, ", "))
		if r.Errand {
			line += " (an errand: nothing restarts)"
		}
		lines = append(lines, line)
	}
	section("rendered anew", lines...)
	lines = nil
	for _, v := range i.VMs {
		lines = append(lines, fmt.Sprintf("%s: %d %s", v.Group, v.Count, consequences[v.What]))
	}
	if len(lines) == 0 {
		lines = []string{"none restarts"}
	}
	section("VMs", lines...)
	section("tunnel", i.Tunnel)
	if i.Reload != "" {
		section("reload on the gateway, without a deploy", i.Reload)
	}
	section("apps", i.Apps...)
	switch {
	case i.Customer.Must:
		section("the customer must act; send", i.Customer.Message)
	case i.Customer.Message != "":
		section("the customer need not act; tell", i.Customer.Message)
	default:
		section("the customer", "need not act, nor know.")
	}
	section("you", i.Operator...)
	return b.String()
}

var consequences = map[string]string{
	Restart:  "to restart: all jobs of the VM stop and start, one VM after the other",
	Recreate: "to recreate, because the cloud-config's vm_extension changes",
	Create:   "to come",
	Delete:   "to go",
}
