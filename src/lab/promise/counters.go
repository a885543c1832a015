package promise

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"privnet/ipsec/vici"
)

// count is a kernel counter's value.
type count struct{ packets, bytes int }

// counts are what reached a private service, from the org's segment and from anybody else.
type counts struct{ segment, others count }

var counter = regexp.MustCompile(`(?m)^\[(\d+):(\d+)\] -A INPUT`)

// delivered reads the counters of the org's private services.
func (s site) delivered(ctx context.Context) ([]counts, error) {
	var out []counts
	for _, service := range s.org.Services {
		rules, err := s.Hosts[service.Host].Run(ctx, "iptables-save", "-c", "-t", "filter")
		if err != nil {
			return nil, err
		}
		found := counter.FindAllStringSubmatch(rules, -1)
		if len(found) != 3 {
			return nil, fmt.Errorf("the counters of %s are not there", service.Host)
		}
		out = append(out, counts{read(found[1]), read(found[2])})
	}
	return out, nil
}

func read(match []string) count {
	packets, _ := strconv.Atoi(match[1])
	bytes, _ := strconv.Atoi(match[2])
	return count{packets, bytes}
}

// undelivered fails if a private service has counted packets since then from anybody but the segment.
func (s site) undelivered(ctx context.Context, before []counts) error {
	after, err := s.delivered(ctx)
	if err != nil {
		return err
	}
	for i, service := range s.org.Services {
		if n := after[i].others.packets - before[i].others.packets; n > 0 {
			return fmt.Errorf("%d packets that are not from %s were delivered to %s", n, s.org.Segment, service.Host)
		}
	}
	return nil
}

// tunnelBytes asks the gateway's charon what each CHILD_SA has carried.
func (s site) tunnelBytes(ctx context.Context) ([]string, error) {
	var socket string
	for _, vm := range s.Map.VMs {
		if vm.Addresses[0] == s.org.Gateway {
			socket = s.Hosts[vm.Host].Root() + "/var/vcap/sys/run/ipsec-gateway/charon.vici"
		}
	}
	charon, err := vici.Connect(ctx, socket)
	if err != nil {
		return nil, fmt.Errorf("asking the gateway: %w", err)
	}
	defer charon.Close()
	sas, err := charon.SAs(ctx)
	if err != nil {
		return nil, fmt.Errorf("asking the gateway: %w", err)
	}
	var out []string
	for _, sa := range sas {
		for _, c := range sa.Children {
			out = append(out, fmt.Sprintf("SA %s IKEv%d %v-%v: %d bytes in, %d out", c.Name, sa.Version, c.LocalTS, c.RemoteTS, c.BytesIn, c.BytesOut))
		}
	}
	return out, nil
}
