package leaks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"syscall"
	"time"
)

// Stream is what one host sends: each protocol from one address to each of others.
type Stream struct {
	From      netip.Addr   `json:"from"`
	To        []netip.Addr `json:"to"`
	Protocols []protocol   `json:"protocols"`
	Port      uint16       `json:"port"`
	// Rate is packets a second, in all.
	Rate int `json:"rate"`
}

// firstID to lastID are the source ports and echo identifiers. Half the packets keep to the first, so that they
// belong to flows which conntrack knows; the others take one after another, so that there are always new flows.
const firstID, lastID = 20000, 60000

// Send sends the stream until the input ends, then prints how many packets it tried to send. A packet that
// the kernel refuses at once counts like any other: the host has tried.
func Send(stream Stream, input io.Reader, output io.Writer) error {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_RAW|syscall.SOCK_NONBLOCK, syscall.IPPROTO_RAW)
	if err != nil {
		return fmt.Errorf("opening a raw socket: %w", err)
	}
	defer syscall.Close(socket)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(io.Discard, input)
	}()
	began, id, pairs := time.Now(), uint16(firstID), 0
	pause := 2 * time.Second / time.Duration(stream.Rate)
	for {
		select {
		case <-ended:
			return json.NewEncoder(output).Encode(2 * pairs)
		case <-time.After(pause):
		}
		// After a long pause, such as one of the whole machine, there is no making up for all of it.
		due := min(int(time.Since(began)/pause), pairs+stream.Rate/10+1)
		for ; pairs < due; pairs++ {
			address := stream.To[pairs%len(stream.To)]
			protocol := stream.Protocols[pairs/len(stream.To)%len(stream.Protocols)]
			if id++; id > lastID {
				id = firstID + 1
			}
			for _, n := range []uint16{firstID, id} {
				_ = syscall.Sendto(socket, packet(protocol, stream.From, address, n, stream.Port), 0,
					&syscall.SockaddrInet4{Addr: address.As4()})
			}
		}
	}
}

// sender is a process that sends in a host.
type sender struct {
	command *exec.Cmd
	input   io.Closer
	output  bytes.Buffer
}

func (w *World) send(host string, stream Stream) (*sender, error) {
	text, err := json.Marshal(stream)
	if err != nil {
		return nil, fmt.Errorf("sending from the %s: %w", host, err)
	}
	s := &sender{command: w.command(host, w.Oracle, "send", string(text))}
	s.command.Stdout, s.command.Stderr = &s.output, &s.output
	if s.input, err = s.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("sending from the %s: %w", host, err)
	}
	if err := s.command.Start(); err != nil {
		return nil, fmt.Errorf("sending from the %s: %w", host, err)
	}
	return s, nil
}

// end ends the process and gives the number of packets that it sent.
func (s *sender) end() (int, error) {
	s.input.Close()
	if err := s.command.Wait(); err != nil {
		return 0, fmt.Errorf("sending: %w: %s", err, s.output.String())
	}
	n := 0
	if err := json.Unmarshal(s.output.Bytes(), &n); err != nil {
		return 0, fmt.Errorf("reading how much was sent: %w", err)
	}
	return n, nil
}
