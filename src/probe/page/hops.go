package page

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"privnet/probe"
	"privnet/probe/health"
)

// way is that from an app to the private networks, as it is seen from here.
func way(s probe.Status, now time.Time) []station {
	segment := networks(s.Pairs, func(p probe.Pair) netip.Prefix { return p.Segment })
	network := networks(s.Pairs, func(p probe.Pair) netip.Prefix { return p.PrivateNetwork })
	onGateway := s.Charon != nil
	apps := hop{Name: "Apps", Address: segment, Mark: "unseen", Word: "not seen from here", Details: []string{"on the org's dedicated cells"}}
	if !onGateway {
		apps.Mark, apps.Word, apps.Details = "good", "here", []string{"on this cell, among others"}
	}
	var gateways, tunnels station
	if !onGateway {
		for _, g := range s.Gateways {
			gateways = append(gateways, nextHop(g))
		}
		tunnels = station{{Name: "Tunnel", Mark: "unseen", Word: "not seen from here", Details: []string{"ask the prober on the gateway"}}}
	} else {
		gateways = station{gateway(s)}
		for _, t := range s.Tunnels {
			tunnels = append(tunnels, tunnel(t, s, now))
		}
	}
	return []station{{apps}, {rules(s)}, gateways, tunnels, {private(s, network)}}
}

// station is where the way goes by one hop or another.
type station []hop

// Mark is that of the best hop: the way goes there.
func (s station) Mark() string {
	if len(s) == 0 {
		return "unsure"
	}
	return slices.MaxFunc(s, func(a, b hop) int { return worst[a.Mark] - worst[b.Mark] }).Mark
}

func rules(s probe.Status) hop {
	h := hop{Name: "Egress rules", Address: "on this VM", Mark: "unsure", Word: "not known"}
	switch s.Enforcement.State {
	case health.On:
		h.Mark, h.Word = "good", "on"
	case health.Off:
		h.Mark, h.Word = "bad", "off"
	}
	if s.Enforcement.Reason != "" {
		h.Details = append(h.Details, s.Enforcement.Reason)
	}
	h.Details = append(h.Details, fmt.Sprintf("%d packets dropped, %d repairs", s.Enforcement.DroppedPackets, s.Enforcement.Repairs))
	return h
}

func gateway(s probe.Status) hop {
	h := hop{Name: "Gateway", Address: s.Gateway, Mark: "good", Word: "IKE daemon answers"}
	switch {
	case s.ObservedAt.IsZero():
		h.Mark, h.Word = "unsure", "not asked yet"
	case !s.Charon.Answers:
		h.Mark, h.Word, h.Details = "bad", "IKE daemon does not answer", []string{s.Charon.Reason}
	case s.Configuration != nil && s.Configuration.Known && !s.Configuration.Healthy:
		h.Mark, h.Details = "fair", []string{s.Configuration.Reason}
	}
	return h
}

// nextHop is a gateway as a cell sees it.
func nextHop(g probe.NextHop) hop {
	h := hop{Name: "Gateway", Address: g.Address.String(), Mark: "good", Word: "answers"}
	switch {
	case g.AskedAt.IsZero():
		h.Mark, h.Word = "unsure", "not asked yet"
	case !g.Reached && g.Missed >= probe.LostAfter:
		h.Mark, h.Word, h.Details = "bad", "no answer", []string{g.Reason}
	case !g.Reached:
		h.Mark, h.Word = "unsure", "missed"
	}
	return h
}

func tunnel(t probe.Tunnel, s probe.Status, now time.Time) hop {
	h := hop{Name: "Tunnel", Address: "to " + t.Endpoint.String(), Mark: "bad", Word: "down"}
	switch {
	case !s.Charon.Answers:
		h.Mark, h.Word = "unsure", "not known"
	case t.Established:
		h.Mark, h.Word = "good", fmt.Sprintf("up, IKEv%d", t.IKEVersion)
		h.Details = []string{"for " + since(t.EstablishedAt, now), strings.ReplaceAll(t.Algorithms, "/", " / ")}
		if len(t.Differences) > 0 {
			h.Mark, h.Details = "fair", append(h.Details, "not as it is configured now")
		}
		if t.LocalNAT || t.RemoteNAT {
			h.Details = append(h.Details, "through NAT")
		}
	case t.State != "":
		h.Details = []string{"phase 1 has begun and is not complete"}
	default:
		h.Details = []string{"the endpoint has not connected"}
	}
	return h
}

func private(s probe.Status, network string) hop {
	h := hop{Name: "Private network", Address: network, Mark: marks[s.State]}
	works, answers, asked := 0, 0, 0
	for _, p := range s.Pairs {
		if p.State.Works() {
			works++
		}
	}
	for _, t := range s.Targets {
		if t.Reached {
			answers++
		}
		if !t.AskedAt.IsZero() {
			asked++
		}
	}
	h.Word = fmt.Sprintf("%d of %d pairs work", works, len(s.Pairs))
	if s.State == health.Unknown && works == 0 {
		h.Word = "not known"
	}
	switch {
	case len(s.Targets) == 0:
		h.Details = []string{"no probe target is declared"}
	case asked == 0:
		h.Details = []string{"no target was asked yet"}
	default:
		h.Details = []string{fmt.Sprintf("%d of %d targets answer", answers, len(s.Targets))}
	}
	return h
}
