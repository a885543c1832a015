package sense

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"privnet/doctor"
)

// tags are the placement tags of the cell's rep; nil if there is no rep.
func (s Senses) tags() ([]string, string) {
	data, err := os.ReadFile(filepath.Join(s.Jobs, "rep/config/rep.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ""
	}
	var rep struct {
		Tags     []string `json:"placement_tags"`
		Optional []string `json:"optional_placement_tags"`
	}
	if err == nil {
		err = json.Unmarshal(data, &rep)
	}
	if err != nil {
		return nil, "reading the rep's configuration: " + err.Error()
	}
	return append(append([]string{}, rep.Tags...), rep.Optional...), ""
}

// apps are the containers of the cell and what their security groups let them open, as silk writes it.
func apps(ctx context.Context) ([]doctor.App, string) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var rules strings.Builder
	for _, save := range []string{"iptables-save", "iptables-legacy-save"} {
		output, err := exec.CommandContext(ctx, save, "-t", "filter").Output()
		if err == nil {
			rules.Write(output)
		} else if save == "iptables-save" {
			return nil, "reading the rules of the containers: " + err.Error()
		}
	}
	return readApps(rules.String()), ""
}

// readApps finds the chains netout--<container>, as silk makes them, with the address ranges that they accept
// themselves or in the chains of the security groups that they jump to.
func readApps(rules string) []doctor.App {
	chains := map[string][]netOut{}
	var out []doctor.App
	for line := range strings.Lines(rules) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if container, ok := strings.CutPrefix(words[0], ":netout--"); ok && !strings.HasSuffix(container, "log") {
			out = append(out, doctor.App{Container: container})
		}
		if words[0] == "-A" && len(words) > 2 {
			chains[words[1]] = append(chains[words[1]], readNetOut(words[2:]))
		}
	}
	for i, app := range out {
		for _, rule := range chains["netout--"+app.Container] {
			if rule.to == "ACCEPT" {
				out[i].Open = append(out[i].Open, rule.where)
			}
			for _, next := range chains[rule.to] {
				if next.to == "ACCEPT" {
					out[i].Open = append(out[i].Open, rule.where.And(next.where))
				}
			}
		}
	}
	return out
}

// netOut is what a rule says of what an app opens.
type netOut struct {
	to    string
	where doctor.Range
}

var everywhere = doctor.RangeOf(netip.PrefixFrom(netip.IPv4Unspecified(), 0))

// readNetOut reads a rule. One for answers, or for DNS alone (the platform's default group lets that go
// everywhere), leads nowhere.
func readNetOut(words []string) netOut {
	rule := netOut{where: everywhere}
	for i := 0; i+1 < len(words); i++ {
		value := words[i+1]
		switch words[i] {
		case "--dst-range":
			from, until, _ := strings.Cut(value, "-")
			rule.where.From, _ = netip.ParseAddr(from)
			rule.where.To, _ = netip.ParseAddr(until)
		case "-d":
			if prefix, err := netip.ParsePrefix(value); err == nil {
				rule.where = doctor.RangeOf(prefix)
			}
		case "--dport", "--destination-port":
			if value == "53" || value == "53:53" {
				return netOut{}
			}
		case "--state", "--ctstate":
			if !strings.Contains(value, "NEW") {
				return netOut{}
			}
		case "-j", "-g":
			rule.to = value
		}
	}
	return rule
}

// names asks every server of the private domains, and the cell's own resolver, for each domain.
func (s Senses) names(ctx context.Context, source netip.Addr) (out []doctor.Name, problem string) {
	data, err := os.ReadFile(filepath.Join(s.Jobs, "private-dns/dns/handlers.json"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, ""
	}
	var handlers []struct {
		Domain string `json:"domain"`
		Source struct {
			Recursors []string `json:"recursors"`
		} `json:"source"`
	}
	if err == nil {
		err = json.Unmarshal(data, &handlers)
	}
	if err != nil {
		return nil, "reading the private domains: " + err.Error()
	}
	for _, h := range handlers {
		domain := strings.TrimSuffix(h.Domain, ".")
		for _, server := range h.Source.Recursors {
			address, err := netip.ParseAddr(server)
			if err != nil {
				problem = fmt.Sprintf("%s of private-dns: the server %q is no IP address", domain, server)
				continue
			}
			out = append(out, doctor.Name{Domain: domain, Server: address})
		}
		out = append(out, doctor.Name{Domain: domain, Server: s.Resolver.Addr(), Here: true})
	}
	var asked sync.WaitGroup
	for i := range out {
		asked.Go(func() {
			server, from := netip.AddrPortFrom(out[i].Server, 53), source
			if out[i].Here {
				server, from = s.Resolver, netip.Addr{}
			}
			if err := askName(ctx, server, from, out[i].Domain); err != nil {
				out[i].Problem = err.Error()
			}
		})
	}
	asked.Wait()
	return out, problem
}

// askName asks a server for a domain's start of authority. Any answer but a refusal or failure will do.
func askName(ctx context.Context, server netip.AddrPort, source netip.Addr, domain string) error {
	name, err := dnsmessage.NewName(domain + ".")
	if err != nil {
		return fmt.Errorf("asking for %s: %w", domain, err)
	}
	question := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(time.Now().UnixNano()), RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeSOA, Class: dnsmessage.ClassINET}},
	}
	packed, err := question.Pack()
	if err != nil {
		return fmt.Errorf("asking for %s: %w", domain, err)
	}
	for range tries {
		if err = exchange(ctx, server, source, packed, question.ID); err == nil {
			return nil
		}
	}
	return err
}

func exchange(ctx context.Context, server netip.AddrPort, source netip.Addr, packed []byte, id uint16) error {
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	conn, err := dial(ctx, server, source)
	if err != nil {
		return err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := conn.Write(packed); err != nil {
		return fmt.Errorf("asking %s: %w", server, err)
	}
	reply := make([]byte, 4096)
	for {
		n, err := conn.Read(reply)
		if err != nil {
			return fmt.Errorf("%s does not answer: %w", server, err)
		}
		var parser dnsmessage.Parser
		header, err := parser.Start(reply[:n])
		if err != nil || header.ID != id {
			continue
		}
		if header.RCode != dnsmessage.RCodeSuccess && header.RCode != dnsmessage.RCodeNameError {
			return fmt.Errorf("%s answers %s", server, strings.TrimPrefix(header.RCode.String(), "RCode"))
		}
		return nil
	}
}
