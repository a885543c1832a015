package leaks

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// countAll puts a counter for each flow and destination into each host where the flow may be seen.
// On the internet the packet ends there, so that what arrives at the customer came by the tunnel.
func (w *World) countAll() error {
	rules := map[string]*strings.Builder{}
	add := func(host, destination string) {
		if rules[host] == nil {
			rules[host] = &strings.Builder{}
		}
		fmt.Fprintf(rules[host], "-A PREROUTING -d %s\n", destination)
		if host == internet {
			fmt.Fprintf(rules[host], "-A PREROUTING -d %s -j DROP\n", destination)
		}
	}
	for _, flow := range Flows() {
		for _, destination := range flow.To {
			for host := range flow.Seen {
				add(host, destination)
			}
			if host, healthy := Healthy[flow.Name]; healthy {
				add(host, destination)
			}
		}
	}
	for host, text := range rules {
		if err := w.feedIn(host, "*raw\n"+text.String()+"COMMIT\n", w.tool("iptables-restore"), "--noflush"); err != nil {
			return fmt.Errorf("counting on the %s: %w", host, err)
		}
	}
	return nil
}

// place is where a flow's packets are counted.
type place struct{ flow, host string }

// Counts are packets by flow and place.
type Counts map[place]uint64

var counter = regexp.MustCompile(`(?m)^\[(\d+):\d+\] -A PREROUTING -d (\S+)/32$`)

// count reads the counters.
func (w *World) count() (Counts, error) {
	of := map[string]string{}
	for _, flow := range Flows() {
		for _, destination := range flow.To {
			of[destination] = flow.Name
		}
	}
	counts := Counts{}
	for _, host := range []string{internet, customer, neighbour} {
		command := w.command(host, w.tool("iptables-save"), "-c", "-t", "raw")
		out, err := command.Output()
		if err != nil {
			return nil, fmt.Errorf("reading the counters of the %s: %w", host, err)
		}
		found := counter.FindAllSubmatch(out, -1)
		if len(found) == 0 {
			return nil, fmt.Errorf("reading the counters of the %s: there are none in:\n%s", host, out)
		}
		for _, m := range found {
			n, err := strconv.ParseUint(string(m[1]), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("reading the counter %s: %w", m[0], err)
			}
			counts[place{of[string(m[2])], host}] += n
		}
	}
	return counts, nil
}

// sendAll starts to send every flow. What it returns ends that and gives the number of packets sent.
func (w *World) sendAll() (func() (int, error), error) {
	var senders []*sender
	stop := func() (int, error) {
		sum := 0
		for _, s := range senders {
			n, err := s.end()
			if err != nil {
				return 0, err
			}
			sum += n
		}
		return sum, nil
	}
	for _, flow := range Flows() {
		s, err := w.send(flow.Host, Stream{From: netip.MustParseAddr(flow.From), To: addresses(flow.To), Protocols: flow.Protocols, Port: flow.Port, Rate: w.Rate})
		if err != nil {
			_, _ = stop()
			return nil, err
		}
		senders = append(senders, s)
	}
	return stop, nil
}
