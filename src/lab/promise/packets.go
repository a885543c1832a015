package promise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"privnet/lab/host"
)

const (
	// patience is how long an answer may take that is promised, on a slow machine too.
	patience = 5 * time.Second
	// opening is how long the customer may take to open the tunnel.
	opening = 30 * time.Second
	// listening is how long an answer is waited for that must not come.
	listening = time.Second
)

// echoRequest is an ICMP echo request (RFC 792) with its checksum.
var echoRequest = []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}

// get asks for a page from inside a host, and gives back its text and how long it took.
func get(ctx context.Context, from host.Host, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	client := http.Client{Transport: &http.Transport{DialContext: from.Dial, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
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

// persist repeats f until it succeeds or the time for a tunnel is over.
func persist(ctx context.Context, f func(context.Context) (string, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, opening)
	defer cancel()
	for {
		answer, err := f(ctx)
		if err == nil {
			return answer, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("not within %s: %w", opening, err)
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
			if answer, err := knock(ctx, w.Hosts[d.from], d.to.Addr(), d.to.Port()); err == nil {
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
func knock(ctx context.Context, from host.Host, to netip.Addr, port uint16) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, listening)
	defer cancel()
	answers := make(chan string, 3)
	for _, try := range []struct{ network, address string }{
		{"tcp", netip.AddrPortFrom(to, port).String()}, {"udp", netip.AddrPortFrom(to, port).String()}, {"ip4:icmp", to.String()},
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
	if _, err := conn.Write(echoRequest); err != nil {
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
		case network == "udp" || isEchoReply(data[:n]):
			return "an answer by " + network
		}
	}
}

// isEchoReply reads what a raw socket gives, which begins with the IPv4 header.
func isEchoReply(data []byte) bool {
	if len(data) == 0 {
		return false
	}
	header := int(data[0]&0xf) * 4
	return len(data) > header && data[header] == 0
}

// send sends TCP, UDP and ICMP to the address until the context ends, and counts.
func (w World) send(ctx context.Context, from host.Host, to netip.Addr, sent *atomic.Int64) {
	for ctx.Err() == nil {
		for _, try := range []struct{ network, address string }{
			{"udp", netip.AddrPortFrom(to, 80).String()}, {"ip4:icmp", to.String()},
		} {
			if conn, err := from.Dial(ctx, try.network, try.address); err == nil {
				if _, err := conn.Write(echoRequest); err == nil {
					sent.Add(1)
				}
				conn.Close()
			}
		}
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		if conn, err := from.Dial(short, "tcp", netip.AddrPortFrom(to, 80).String()); err == nil {
			conn.Close()
		}
		sent.Add(1)
		cancel()
	}
}

// count is a kernel counter's value.
type count struct{ Packets, Bytes int }

// counts are what reached a private service, from the segment and from anybody else.
type counts struct{ Segment, Others count }

func (c counts) minus(b counts) counts {
	return counts{
		count{c.Segment.Packets - b.Segment.Packets, c.Segment.Bytes - b.Segment.Bytes},
		count{c.Others.Packets - b.Others.Packets, c.Others.Bytes - b.Others.Bytes},
	}
}

var counter = regexp.MustCompile(`(?m)^\[(\d+):(\d+)\] -A INPUT`)

// delivered reads the counters of all private services.
func (w World) delivered(ctx context.Context) (map[string]counts, error) {
	out := map[string]counts{}
	for _, s := range w.Map.Services {
		rules, err := w.Hosts[s.Host].Run(ctx, "iptables-save", "-c", "-t", "filter")
		if err != nil {
			return nil, err
		}
		found := counter.FindAllStringSubmatch(rules, -1)
		if len(found) != 3 {
			return nil, fmt.Errorf("the counters of %s are not there", s.Host)
		}
		out[s.Host] = counts{read(found[1]), read(found[2])}
	}
	return out, nil
}

func read(match []string) count {
	packets, _ := strconv.Atoi(match[1])
	bytes, _ := strconv.Atoi(match[2])
	return count{packets, bytes}
}

func isRefusal(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && strings.Contains(err.Error(), "connection refused")
}
