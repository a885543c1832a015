package vici

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"

	"github.com/strongswan/govici/vici"
)

// session is a vici session that loses nothing of a long list.
type session struct {
	*vici.Session
	conn *paced
}

func open(ctx context.Context, socket string) (session, error) {
	var conn *paced
	dial := func(_ context.Context, network, address string) (net.Conn, error) {
		dialed, err := (&net.Dialer{Timeout: patience}).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		conn = &paced{Conn: dialed}
		return conn, nil
	}
	opened, err := vici.NewSession(vici.WithSocketPath(socket), vici.WithDialContext(dial))
	if err != nil {
		return session{}, fmt.Errorf("connecting to charon: %w", err)
	}
	return session{opened, conn}, nil
}

// subscribe waits until charon has confirmed that it tells of the event, or the context ends. govici's own
// Subscribe takes no context.
func (s session) subscribe(ctx context.Context, event string) error {
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Subscribe(event); err != nil {
		return fmt.Errorf("subscribing to %s: %w", event, err)
	}
	return nil
}

// list returns all that a command lists as events. After an error the session is of no further use.
func (s session) list(ctx context.Context, command, event string, request *vici.Message) ([]*vici.Message, error) {
	pace := &pace{room: make(chan struct{}, ahead), done: make(chan struct{})}
	s.conn.pace.Store(pace)
	defer func() {
		s.conn.pace.Store(nil)
		close(pace.done)
	}()
	var out []*vici.Message
	for message, err := range s.CallStreaming(ctx, command, event, request) {
		if err != nil {
			return nil, err
		}
		out = append(out, message)
		select {
		case <-pace.room:
		default: // its reading had begun before the list did
		}
	}
	return out, nil
}

// ahead is how many messages may be read before they are taken. govici 0.8 has room for 128; of a longer list
// it drops, without a word, what comes faster than it is taken, and maybe the end.
const ahead = 64

// maxMessage is the size in bytes of the longest message that charon sends (VICI_MESSAGE_SIZE_MAX). govici makes room
// for whatever length is announced.
const maxMessage = 512 << 10

// paced is a connection from which, during a list, no message is read before there is room for it. charon
// waits meanwhile.
type paced struct {
	net.Conn
	pace atomic.Pointer[pace]

	// These belong to govici's one reader: what it has of a message's length, which is four bytes, and how
	// much of its content is still to come.
	length  []byte
	content uint32
}

// pace has one of room for each message that was read and not taken, until it is done.
type pace struct{ room, done chan struct{} }

// Read waits for room where a message begins.
func (p *paced) Read(b []byte) (int, error) {
	if pace := p.pace.Load(); pace != nil && p.content == 0 && len(p.length) == 0 {
		select {
		case pace.room <- struct{}{}:
		case <-pace.done:
		}
	}
	n, err := p.Conn.Read(b)
	for rest := b[:n]; len(rest) > 0; {
		if p.content > 0 {
			part := min(p.content, uint32(len(rest)))
			p.content, rest = p.content-part, rest[part:]
			continue
		}
		p.length, rest = append(p.length, rest[0]), rest[1:]
		if len(p.length) == 4 {
			p.content, p.length = binary.BigEndian.Uint32(p.length), p.length[:0]
		}
		if p.content > maxMessage {
			return 0, fmt.Errorf("charon announces a message of %d bytes, which it never sends", p.content)
		}
	}
	return n, err
}
