package promise

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"privnet/lab/host"
)

const (
	// opening is how long a tunnel may take to open.
	opening = 30 * time.Second
	// patience is how long an answer may take that is promised, on a slow machine too.
	patience = 5 * time.Second
	// listening is how long an answer is waited for that must not come.
	listening = time.Second
)

// noise is the mark of echo requests whose answers nobody waits for.
const noise = 0

// echoRequest is an ICMP echo request (RFC 792). The mark stands where identifier and sequence number do, and
// comes back in the reply.
func echoRequest(mark uint32) []byte {
	packet := binary.BigEndian.AppendUint32([]byte{8, 0, 0, 0}, mark)
	sum := 8<<8 + mark>>16 + mark&0xffff
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(packet[2:], ^uint16(sum+sum>>16))
	return packet
}

// get asks an address for the page of a name, from inside a host, and gives back the quoted text and how
// long it took.
func get(ctx context.Context, from host.Host, to netip.Addr, name string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return from.Dial(ctx, network, netip.AddrPortFrom(to, 80).String())
		},
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+name+"/", nil)
	if err != nil {
		return "", err
	}
	start := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1024))
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("HTTP %s", response.Status)
	}
	return fmt.Sprintf("%q in %d ms", strings.TrimSpace(string(body)), time.Since(start).Milliseconds()), nil
}

// persist repeats f until it succeeds or the time is over.
func persist(ctx context.Context, limit time.Duration, f func(context.Context) (string, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		answer, err := f(ctx)
		if err == nil {
			return answer, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("not within %s: %w", limit, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// door is an address that a host may not reach.
type door struct {
	from string
	to   netip.AddrPort
}

// closed knocks at all the doors at the same time. The error says which of them answered.
func (w World) closed(ctx context.Context, doors []door) error {
	answered := make([]string, len(doors))
	var group sync.WaitGroup
	for i, d := range doors {
		group.Go(func() {
			if answer, err := knock(ctx, w.Hosts[d.from], d.to); err == nil {
				answered[i] = fmt.Sprintf("%s reaches %s: %s", d.from, d.to, answer)
			}
		})
	}
	group.Wait()
	answered = slices.DeleteFunc(answered, func(text string) bool { return text == "" })
	if len(answered) > 0 {
		return errors.New(strings.Join(answered, "; "))
	}
	return nil
}

// knock tries an address by TCP, UDP and ICMP. There is an error if nothing came back: also a refusal
// by the address itself shows that packets reach it.
func knock(ctx context.Context, from host.Host, to netip.AddrPort) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, listening)
	defer cancel()
	answers := make(chan string, 3)
	for _, try := range []struct{ network, address string }{
		{"tcp", to.String()}, {"udp", to.String()}, {"ip4:icmp", to.Addr().String()},
	} {
		go func() { answers <- answer(ctx, from, try.network, try.address) }()
	}
	for range cap(answers) {
		if text := <-answers; text != "" {
			return text, nil
		}
	}
	return "", errors.New("no answer")
}

// answer is empty if the address did not answer. A router's "unreachable" is no answer.
func answer(ctx context.Context, from host.Host, network, address string) string {
	conn, err := from.Dial(ctx, network, address)
	if isRefusal(err) {
		return network + ": refused by the address itself"
	}
	if err != nil {
		return ""
	}
	defer conn.Close()
	if network == "tcp" {
		return "a TCP connection"
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	mark := 1 + rand.Uint32N(math.MaxUint32)
	if _, err := conn.Write(echoRequest(mark)); err != nil {
		return ""
	}
	for {
		data := make([]byte, 256)
		n, err := conn.Read(data)
		switch {
		case network == "udp" && isRefusal(err):
			return "udp: refused by the address itself"
		case err != nil:
			return ""
		case network == "udp" || isEchoReply(data[:n], mark):
			return "an answer by " + network
		}
	}
}

// isEchoReply reads what a raw socket gives: every ICMP packet of the host, from the IPv4 header on. An answer to
// another's request, or to one from before, has another mark.
func isEchoReply(data []byte, mark uint32) bool {
	if len(data) == 0 {
		return false
	}
	header := int(data[0]&0xf) * 4
	return len(data) >= header+8 && data[header] == 0 && binary.BigEndian.Uint32(data[header+4:]) == mark
}

// knocking sends TCP, UDP and ICMP to the door until the context ends, and counts.
func (w World) knocking(ctx context.Context, d door, sent *atomic.Int64) {
	from := w.Hosts[d.from]
	for ctx.Err() == nil {
		for _, try := range []struct{ network, address string }{{"udp", d.to.String()}, {"ip4:icmp", d.to.Addr().String()}} {
			if conn, err := from.Dial(ctx, try.network, try.address); err == nil {
				if _, err := conn.Write(echoRequest(noise)); err == nil {
					sent.Add(1)
				}
				conn.Close()
			}
		}
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		if conn, err := from.Dial(short, "tcp", d.to.String()); err == nil {
			conn.Close()
		}
		sent.Add(1)
		cancel()
	}
}

func isRefusal(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && strings.Contains(err.Error(), "connection refused")
}
