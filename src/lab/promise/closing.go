package promise

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync/atomic"
	"time"

	"privnet/lab/network"
)

// closedFor is how long the tunnel stays closed.
const closedFor = 3 * time.Second

var (
	established = regexp.MustCompile(`(?m)^(\S+): IKEv`)
	child       = regexp.MustCompile(`(?m)^\s+(\S+): TUNNEL`)
)

// closing closes the tunnel at the customer's end and re-opens it, while every isolated app sends to
// every private network all the time.
func (s site) closing(ctx context.Context) (string, error) {
	doors := s.doors(s.isolated())
	sending, stop := context.WithCancel(ctx)
	defer stop()
	var sent atomic.Int64
	for _, d := range doors {
		go s.knocking(sending, d, &sent)
	}
	endpoint := s.Hosts[s.org.EndpointHost()]
	list, err := endpoint.Run(ctx, "swanctl", "--list-conns")
	if err != nil {
		return "", err
	}
	var counted int64
	packets, err := s.captured(network.Internet, "any", func() error {
		for _, m := range established.FindAllStringSubmatch(list, -1) {
			if _, err := endpoint.Run(ctx, "swanctl", "--terminate", "--ike", m[1]); err != nil {
				return fmt.Errorf("closing the tunnel at the endpoint: %w", err)
			}
		}
		closed, before := time.Now(), sent.Load()
		if err := s.closed(ctx, doors); err != nil {
			return fmt.Errorf("although the tunnel is closed, %w", err)
		}
		time.Sleep(time.Until(closed.Add(closedFor)))
		counted = sent.Load() - before
		return nil
	})
	broken := err
	if broken == nil && counted == 0 {
		broken = errors.New("the apps sent nothing, so nothing is proved")
	}
	for _, p := range packets {
		if p.Initiates && p.Src == s.org.GatewayPublic {
			broken = errors.New("the gateway tried to open the tunnel")
		}
	}
	broken = errors.Join(broken, s.clear(packets))

	reopening := time.Now()
	for _, m := range child.FindAllStringSubmatch(list, -1) {
		if _, err := endpoint.Run(ctx, "swanctl", "--initiate", "--child", m[1], "--timeout", "30"); err != nil {
			return "", errors.Join(broken, fmt.Errorf("re-opening the tunnel at the endpoint: %w", err))
		}
	}
	if _, err := s.ask(ctx, opening); err != nil {
		return "", errors.Join(broken, fmt.Errorf("no access after re-opening: %w", err))
	}
	return fmt.Sprintf("closed for %s while the apps sent %d packets: no access, 0 in clear, 0 initiations; access again %d ms after re-opening",
		closedFor, counted, time.Since(reopening).Milliseconds()), broken
}
