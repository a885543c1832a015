// Package promise measures, with real packets on the running lab, what the product promises.
//
// A promise that holds says what was measured. Where a promise is that something does not happen, the
// same measurement has to see what does happen, so that a blind one cannot pass.
package promise

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"privnet/connection"
	"privnet/lab/capture"
	"privnet/lab/host"
	"privnet/lab/network"
)

// Promise is the outcome for one of them.
type Promise struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Evidence string `json:"evidence"`
}

// World is the lab that is measured.
type World struct {
	Dir   string
	Map   network.Map
	Hosts map[string]host.Host
}

// Check measures every promise, one after the other. It leaves the lab as it was.
func Check(ctx context.Context, w World) []Promise {
	var out []Promise
	var reach, wire Promise
	reach.Name = "an isolated app reaches the private service in every private network"
	wire.Name = "only IKE and ESP cross the internet between gateway and endpoint"
	reach.Evidence, wire.Evidence, reach.OK, wire.OK = w.reachAndWire(ctx)
	out = append(out, reach, wire)
	for _, p := range []struct {
		name    string
		measure func(context.Context) (string, error)
	}{
		{"a shared app reaches nothing private", w.sharedApp},
		{"the private network cannot call into the segment", w.inbound},
		{"the isolated app still reaches the shared service, and the router reaches the app", w.shared},
		{"the customer closes the tunnel while apps keep sending: no access, nothing in clear, no initiation; re-opens it: access", w.closing},
	} {
		out = append(out, outcome(p.name, p.measure, ctx))
	}
	return out
}

func outcome(name string, measure func(context.Context) (string, error), ctx context.Context) Promise {
	evidence, err := measure(ctx)
	if err != nil {
		return Promise{Name: name, Evidence: err.Error()}
	}
	return Promise{Name: name, OK: true, Evidence: evidence}
}

// cells are the VMs with an app, isolated or shared.
func (w World) cells(isolated bool) []network.VM {
	return slices.DeleteFunc(slices.Clone(w.Map.VMs), func(vm network.VM) bool {
		return vm.App == "" || w.Map.Segment.Contains(vm.Addresses[0]) != isolated
	})
}

func (w World) private() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range w.Map.Services {
		out = append(out, s.Network)
	}
	return out
}

// reachAndWire measures the two promises by the same packets.
func (w World) reachAndWire(ctx context.Context) (reach, wire string, reached, clean bool) {
	watch, err := capture.Start(w.Dir, w.Hosts[network.Internet], "any")
	if err != nil {
		return err.Error(), err.Error(), false, false
	}
	reach, reachErr := w.reach(ctx)
	packets, err := watch.Stop()
	if err == nil {
		wire, err = w.onlyTunnel(packets)
	}
	if reachErr != nil {
		reach = reachErr.Error()
	}
	if err != nil {
		wire = err.Error()
	}
	return reach, wire, reachErr == nil, err == nil
}

func (w World) reach(ctx context.Context) (string, error) {
	before, err := w.delivered(ctx)
	if err != nil {
		return "", err
	}
	var found []string
	for _, cell := range w.cells(true) {
		for _, s := range w.Map.Services {
			answer, err := persist(ctx, func(ctx context.Context) (string, error) {
				return get(ctx, w.Hosts[cell.App], fmt.Sprintf("http://%s/", s.Address))
			})
			if err != nil {
				return "", fmt.Errorf("%s does not reach %s: %w", cell.App, s.Network, err)
			}
			found = append(found, fmt.Sprintf("%s → %s: %s", cell.App, s.Network, answer))
		}
	}
	after, err := w.delivered(ctx)
	if err != nil {
		return "", err
	}
	for _, s := range w.Map.Services {
		got := after[s.Host].minus(before[s.Host])
		if got.Segment.Packets == 0 {
			return "", fmt.Errorf("%s counted no packet from the segment", s.Host)
		}
		found = append(found, fmt.Sprintf("%s-%s: %d bytes delivered", w.Map.Segment, s.Network, got.Segment.Bytes))
	}
	sas, err := w.tunnelBytes(ctx)
	if err != nil {
		return "", err
	}
	return strings.Join(append(found, sas...), "; "), nil
}

// onlyTunnel fails if the internet saw anything of the private network, or anything but IKE and ESP
// between gateway and endpoint.
func (w World) onlyTunnel(packets []capture.Packet) (string, error) {
	if clear := w.inClear(packets); len(clear) > 0 {
		return "", fmt.Errorf("%d packets in clear, the first from %s to %s", len(clear), clear[0].Src, clear[0].Dst)
	}
	seen, inUDP := map[capture.Kind]int{}, 0
	for _, p := range packets {
		if w.between(p) {
			if seen[p.Kind]++; p.InUDP {
				inUDP++
			}
		}
	}
	if seen[capture.Other] > 0 || seen[capture.ESP] == 0 {
		return "", fmt.Errorf("between gateway and endpoint the internet saw %d IKE, %d ESP and %d other packets",
			seen[capture.IKE], seen[capture.ESP], seen[capture.Other])
	}
	return fmt.Sprintf("captured on every interface of the internet: %d IKE frames, %d of ESP by IP protocol 50, %d of ESP in UDP, 0 other, 0 in clear",
		seen[capture.IKE], seen[capture.ESP]-inUDP, inUDP), nil
}

func (w World) between(p capture.Packet) bool {
	ends := []netip.Addr{w.Map.GatewayPublic, w.Map.Endpoint}
	return slices.Contains(ends, p.Src) && slices.Contains(ends, p.Dst)
}

// inClear are the packets that have an address of the private networks or of the segment, wherever on
// the internet they go.
func (w World) inClear(packets []capture.Packet) []capture.Packet {
	hidden := append(w.private(), w.Map.Segment)
	var out []capture.Packet
	for _, p := range packets {
		if connection.Contains(hidden, p.Src) || connection.Contains(hidden, p.Dst) {
			out = append(out, p)
		}
	}
	return out
}

// sharedApp tries as things are, and once more with the IaaS's router handing the packets to the
// gateway, as a wrong route table would.
func (w World) sharedApp(ctx context.Context) (string, error) {
	before, err := w.delivered(ctx)
	if err != nil {
		return "", err
	}
	watch, err := capture.Start(w.Dir, w.Hosts[network.Internet], "any")
	if err != nil {
		return "", err
	}
	var doors []door
	for _, cell := range w.cells(false) {
		for _, service := range w.Map.Services {
			doors = append(doors, door{cell.App, netip.AddrPortFrom(service.Address, 80)})
		}
	}
	attempt := func() error { return w.closed(ctx, doors) }
	attemptErr := attempt()
	if attemptErr == nil {
		attemptErr = w.withRoutes(ctx, attempt)
	}
	packets, err := watch.Stop()
	if err != nil {
		return "", err
	}
	after, err := w.delivered(ctx)
	if err != nil {
		return "", err
	}
	total := 0
	for _, s := range w.Map.Services {
		total += after[s.Host].minus(before[s.Host]).Others.Packets
	}
	// The IaaS's router sends what it does not know to the internet, which is where a stray packet of a
	// shared app ends; it must not come any further.
	switch {
	case attemptErr != nil:
		return "", attemptErr
	case len(doors) == 0:
		return "", fmt.Errorf("there is no shared app to try with")
	case total > 0:
		return "", fmt.Errorf("refused, but %d packets were delivered", total)
	}
	return fmt.Sprintf("%d attempts by TCP, UDP and ICMP refused, half of them with a wrong route to the gateway; 0 packets delivered, %d packets captured meanwhile",
		2*len(doors), len(packets)), nil
}

// withRoutes calls f while the fabric routes the private networks to the gateway.
func (w World) withRoutes(ctx context.Context, f func() error) error {
	fabric := w.Hosts[network.Fabric]
	for _, p := range w.private() {
		if _, err := fabric.Run(ctx, "ip", "route", "add", p.String(), "via", w.Map.Gateway.String()); err != nil {
			return err
		}
		defer func() { _, _ = fabric.Run(context.WithoutCancel(ctx), "ip", "route", "del", p.String()) }()
	}
	return f()
}

// inbound lets every private service call the segment's hosts, while the segment is watched.
func (w World) inbound(ctx context.Context) (string, error) {
	watch, err := capture.Start(w.Dir, w.Hosts[network.Fabric], network.SegmentBridge)
	if err != nil {
		return "", err
	}
	targets := []netip.AddrPort{netip.AddrPortFrom(w.Map.Gateway, 22)}
	for _, cell := range w.cells(true) {
		targets = append(targets, netip.AddrPortFrom(cell.Addresses[0], network.CellPort), netip.AddrPortFrom(cell.Addresses[0], 22))
	}
	var doors []door
	for _, service := range w.Map.Services {
		for _, t := range targets {
			doors = append(doors, door{service.Host, t})
		}
	}
	answered := w.closed(ctx, doors)
	// What shows that the capture is not blind.
	for _, cell := range w.cells(true) {
		if _, err := get(ctx, w.Hosts[cell.App], fmt.Sprintf("http://%s/", w.Map.Services[0].Address)); err != nil {
			answered = fmt.Errorf("the app's own request, for comparison: %w", err)
		}
	}
	packets, err := watch.Stop()
	if err != nil {
		return "", err
	}
	opened, replies := 0, 0
	for _, p := range packets {
		switch {
		case !connection.Contains(w.private(), p.Src):
		case p.Opens:
			opened++
		default:
			replies++
		}
	}
	switch {
	case answered != nil:
		return "", answered
	case opened > 0:
		return "", fmt.Errorf("%d packets that open something came into the segment", opened)
	case replies == 0:
		return "", fmt.Errorf("the capture saw no reply either, so it proves nothing")
	}
	return fmt.Sprintf("%d calls by TCP, UDP and ICMP refused; 0 of them came into the segment, where %d packets of replies were seen",
		len(doors), replies), nil
}

func (w World) shared(ctx context.Context) (string, error) {
	var found []string
	for _, cell := range w.cells(true) {
		answer, err := get(ctx, w.Hosts[cell.App], fmt.Sprintf("http://%s/", network.SharedService))
		if err != nil {
			return "", fmt.Errorf("%s does not reach the shared service: %w", cell.App, err)
		}
		found = append(found, fmt.Sprintf("%s → shared service: %s", cell.App, answer))
	}
	answer, err := get(ctx, w.Hosts[network.Internet], fmt.Sprintf("http://%s/", network.Egress))
	if err != nil {
		return "", fmt.Errorf("the internet does not reach the app by the router: %w", err)
	}
	return strings.Join(append(found, "internet → router → app: "+answer), "; "), nil
}
