package promise

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"sync/atomic"
	"time"

	govici "github.com/strongswan/govici/vici"

	"privnet/ipsec/vici"
	"privnet/lab/capture"
	"privnet/lab/network"
)

// closedFor is how long the tunnel stays closed.
const closedFor = 3 * time.Second

// closing closes the tunnel at the customer's end and re-opens it, while every isolated app sends to
// every private network all the time.
func (w World) closing(ctx context.Context) (string, error) {
	sending, stop := context.WithCancel(ctx)
	defer stop()
	var sent atomic.Int64
	for _, cell := range w.cells(true) {
		for _, s := range w.Map.Services {
			go w.send(sending, w.Hosts[cell.App], s.Address, &sent)
		}
	}
	watch, err := capture.Start(w.Dir, w.Hosts[network.Internet], "any")
	if err != nil {
		return "", err
	}
	endpoint := w.Hosts[network.Endpoint]
	list, err := endpoint.Run(ctx, "swanctl", "--list-conns")
	if err != nil {
		return "", err
	}
	for _, m := range established.FindAllStringSubmatch(list, -1) {
		if _, err := endpoint.Run(ctx, "swanctl", "--terminate", "--ike", m[1]); err != nil {
			return "", fmt.Errorf("closing the tunnel at the endpoint: %w", err)
		}
	}
	closed := time.Now()
	counted := sent.Load()
	accessErr := w.noAccess(ctx)
	time.Sleep(time.Until(closed.Add(closedFor)))
	counted = sent.Load() - counted
	packets, err := watch.Stop()
	if err != nil {
		return "", err
	}

	reopening := time.Now()
	for _, m := range child.FindAllStringSubmatch(list, -1) {
		if _, err := endpoint.Run(ctx, "swanctl", "--initiate", "--child", m[1], "--timeout", "30"); err != nil {
			return "", fmt.Errorf("re-opening the tunnel at the endpoint: %w", err)
		}
	}
	again, err := w.allAnswer(ctx)
	if err != nil {
		return "", fmt.Errorf("no access after re-opening: %w", err)
	}
	return fmt.Sprintf("closed for %s while the apps sent %d packets: no access, 0 in clear, 0 initiations; access again %d ms after re-opening",
		closedFor, counted, again.Sub(reopening).Milliseconds()), errors.Join(accessErr, w.quiet(packets, counted))
}

var (
	established = regexp.MustCompile(`(?m)^(\S+): IKEv`)
	child       = regexp.MustCompile(`(?m)^\s+(\S+): TUNNEL`)
)

func (w World) noAccess(ctx context.Context) error {
	var doors []door
	for _, cell := range w.cells(true) {
		for _, service := range w.Map.Services {
			doors = append(doors, door{cell.App, netip.AddrPortFrom(service.Address, 80)})
		}
	}
	if err := w.closed(ctx, doors); err != nil {
		return fmt.Errorf("although the tunnel is closed, %w", err)
	}
	return nil
}

func (w World) quiet(packets []capture.Packet, sent int64) error {
	if sent == 0 {
		return errors.New("the apps sent nothing, so nothing is proved")
	}
	if clear := w.inClear(packets); len(clear) > 0 {
		return fmt.Errorf("%d packets in clear, the first from %s to %s", len(clear), clear[0].Src, clear[0].Dst)
	}
	for _, p := range packets {
		if p.Initiates && p.Src == w.Map.GatewayPublic {
			return errors.New("the gateway tried to open the tunnel")
		}
	}
	return nil
}

func (w World) allAnswer(ctx context.Context) (time.Time, error) {
	for _, cell := range w.cells(true) {
		for _, s := range w.Map.Services {
			if _, err := persist(ctx, func(ctx context.Context) (string, error) {
				return get(ctx, w.Hosts[cell.App], fmt.Sprintf("http://%s/", s.Address))
			}); err != nil {
				return time.Time{}, err
			}
		}
	}
	return time.Now(), nil
}

// tunnelBytes asks the gateway's charon what each CHILD_SA has carried.
func (w World) tunnelBytes(ctx context.Context) ([]string, error) {
	for _, vm := range w.Map.VMs {
		if vm.Addresses[0] != w.Map.Gateway {
			continue
		}
		session, err := govici.NewSession(govici.WithSocketPath(w.Hosts[vm.Host].Root() + "/var/vcap/sys/run/ipsec-gateway/charon.vici"))
		if err != nil {
			return nil, fmt.Errorf("asking the gateway: %w", err)
		}
		defer session.Close()
		sas, err := vici.ListSAs(ctx, session)
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
	return nil, errors.New("there is no gateway")
}
