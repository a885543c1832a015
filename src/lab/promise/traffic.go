package promise

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"privnet/connection"
	"privnet/lab/capture"
	"privnet/lab/network"
)

func (s site) reach(ctx context.Context) (string, error) {
	before, err := s.delivered(ctx)
	if err != nil {
		return "", err
	}
	found, err := s.ask(ctx, opening)
	if err != nil {
		return "", err
	}
	after, err := s.delivered(ctx)
	if err != nil {
		return "", err
	}
	for i, service := range s.org.Services {
		bytes := after[i].segment.bytes - before[i].segment.bytes
		if bytes == 0 {
			return "", fmt.Errorf("%s counted nothing from the segment", service.Host)
		}
		found = append(found, fmt.Sprintf("%s-%s: %d bytes delivered", s.org.Segment, service.Network, bytes))
	}
	sas, err := s.tunnelBytes(ctx)
	if err != nil {
		return "", err
	}
	return strings.Join(append(found, sas...), "; "), nil
}

// wire fails if the internet saw anything of the private networks, or anything but IKE and ESP between
// gateway and endpoint.
func (s site) wire(ctx context.Context) (string, error) {
	packets, err := s.captured(network.Internet, "any", func() error {
		_, err := s.ask(ctx, patience)
		return err
	})
	if err != nil {
		return "", err
	}
	if err := s.clear(packets); err != nil {
		return "", err
	}
	seen, inUDP := map[capture.Kind]int{}, 0
	ends := []netip.Addr{s.org.GatewayPublic, s.org.Endpoint}
	for _, p := range packets {
		if slices.Contains(ends, p.Src) && slices.Contains(ends, p.Dst) {
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

// captured returns what passes an interface while f runs. The error of f comes first.
func (w World) captured(host, iface string, f func() error) ([]capture.Packet, error) {
	watch, err := capture.Start(w.Dir, w.Hosts[host], iface)
	if err != nil {
		return nil, err
	}
	failed := f()
	packets, err := watch.Stop()
	if failed != nil {
		return nil, failed
	}
	return packets, err
}

// clear fails if a packet has an address of the private networks or of the segment, wherever on the
// internet it goes.
func (s site) clear(packets []capture.Packet) error {
	hidden := append(s.org.PrivateNetworks(), s.org.Segment)
	for _, p := range packets {
		if connection.Contains(hidden, p.Src) || connection.Contains(hidden, p.Dst) {
			return fmt.Errorf("a packet in clear from %s to %s", p.Src, p.Dst)
		}
	}
	return nil
}

// sharedApp tries as things are, and once more with the IaaS's router handing the packets to the
// gateway, as a wrong route table would.
func (s site) sharedApp(ctx context.Context) (string, error) {
	before, err := s.delivered(ctx)
	if err != nil {
		return "", err
	}
	doors := s.doors(s.sharedCells())
	if len(doors) == 0 {
		return "", errors.New("there is no shared app to try with")
	}
	// The IaaS's router sends what it does not know to the internet, which is where a stray packet of a
	// shared app ends; it must not come any further.
	packets, err := s.captured(network.Internet, "any", func() error {
		if err := s.closed(ctx, doors); err != nil {
			return err
		}
		return s.withRoutes(ctx, func() error { return s.closed(ctx, doors) })
	})
	if err != nil {
		return "", err
	}
	if err := s.undelivered(ctx, before); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d attempts by TCP, UDP and ICMP refused, half of them with a wrong route to the gateway; 0 packets delivered, %d packets captured meanwhile",
		2*len(doors), len(packets)), nil
}

// withRoutes calls f while the fabric routes the private networks to the gateway.
func (s site) withRoutes(ctx context.Context, f func() error) error {
	fabric := s.Hosts[network.Fabric]
	for _, p := range s.org.PrivateNetworks() {
		if _, err := fabric.Run(ctx, "ip", "route", "add", p.String(), "via", s.org.Gateway.String()); err != nil {
			return err
		}
		defer func() { _, _ = fabric.Run(context.WithoutCancel(ctx), "ip", "route", "del", p.String()) }()
	}
	return f()
}

// inbound lets every private service call the segment's hosts, while the segment is watched.
func (s site) inbound(ctx context.Context) (string, error) {
	targets := []netip.AddrPort{netip.AddrPortFrom(s.org.Gateway, 22)}
	for _, cell := range s.isolated() {
		targets = append(targets, netip.AddrPortFrom(cell.Addresses[0], network.CellPort), netip.AddrPortFrom(cell.Addresses[0], 22))
	}
	var doors []door
	for _, service := range s.org.Services {
		for _, t := range targets {
			doors = append(doors, door{service.Host, t})
		}
	}
	packets, err := s.captured(network.Fabric, s.org.Bridge(), func() error {
		// The app's own requests show that the capture is not blind.
		_, err := s.ask(ctx, patience)
		return errors.Join(s.closed(ctx, doors), err)
	})
	if err != nil {
		return "", err
	}
	opened, replies := 0, 0
	for _, p := range packets {
		switch {
		case !connection.Contains(s.org.PrivateNetworks(), p.Src):
		case p.Opens:
			opened++
		default:
			replies++
		}
	}
	switch {
	case opened > 0:
		return "", fmt.Errorf("%d packets that open something came into the segment", opened)
	case replies == 0:
		return "", errors.New("the capture saw no reply either, so it proves nothing")
	}
	return fmt.Sprintf("%d calls by TCP, UDP and ICMP refused; 0 of them came into the segment, where %d packets of replies were seen",
		len(doors), replies), nil
}

func (s site) shared(ctx context.Context) (string, error) {
	var found []string
	for _, cell := range s.isolated() {
		answer, err := get(ctx, s.Hosts[cell.App], network.SharedService, network.SharedHost)
		if err != nil {
			return "", fmt.Errorf("%s does not reach the shared service: %w", cell.App, err)
		}
		found = append(found, fmt.Sprintf("%s → shared service: %s", cell.App, answer))
	}
	answer, err := get(ctx, s.Hosts[network.Internet], network.Egress, s.org.Name)
	if err != nil {
		return "", fmt.Errorf("the internet does not reach the app by the router: %w", err)
	}
	return strings.Join(append(found, "internet → router → app: "+answer), "; "), nil
}

// apart lets every org's apps ask at the addresses of every other org's services, with the IaaS's router
// handing the packets to that org's gateway. Where the private networks are the same, the org's own
// service may answer.
func apart(ctx context.Context, sites []site) (string, error) {
	var found []string
	for _, own := range sites {
		answers, err := own.ask(ctx, patience)
		if err != nil {
			return "", err
		}
		found = append(found, answers...)
		for _, other := range sites {
			if other.org.Number == own.org.Number {
				continue
			}
			before, err := other.delivered(ctx)
			if err != nil {
				return "", err
			}
			doors := other.doors(own.isolated())
			if err := other.withRoutes(ctx, func() error { return own.foreign(ctx, other, doors) }); err != nil {
				return "", err
			}
			if err := other.undelivered(ctx, before); err != nil {
				return "", err
			}
			found = append(found, fmt.Sprintf("%s at the %d services of %s, with a wrong route to its gateway: %d attempts by TCP, UDP and ICMP, 0 packets delivered",
				own.org.Name, len(other.org.Services), other.org.Name, len(doors)))
		}
	}
	return strings.Join(found, "; "), nil
}

// foreign fails if one of the other org's services answers.
func (s site) foreign(ctx context.Context, other site, doors []door) error {
	var refused []door
	for _, d := range doors {
		if !connection.Contains(s.org.PrivateNetworks(), d.to.Addr()) {
			refused = append(refused, d)
			continue
		}
		_, _ = knock(ctx, s.Hosts[d.from], d.to)
		page, err := get(ctx, s.Hosts[d.from], d.to.Addr(), other.org.Name)
		for _, service := range other.org.Services {
			if err == nil && answers(page, service.Host) {
				return fmt.Errorf("%s reaches %s at %s", d.from, service.Host, d.to)
			}
		}
	}
	return s.closed(ctx, refused)
}
