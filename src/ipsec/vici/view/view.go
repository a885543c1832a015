// Package view shows charon's security associations and its log to a process that must not change them. charon's
// vici socket is all or nothing: whoever opens it can load connections, close tunnels and hand over
// keys, so it belongs to root. A View is a second socket, for one group, that relays the few questions
// that only look. It reads requests no further than their name, and hangs up on any other.
package view

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/net/netutil"
)

// View relays from Socket to charon's own Charon.
type View struct {
	Charon string
	// Socket is made anew, in a directory of its own, so that the directory can be given to a container
	// without charon's socket beside it.
	Socket string
	// Group is the number of the group that may use the socket.
	Group int
	Log   *slog.Logger
}

// DefaultSocket is where a view is on a VM.
const DefaultSocket = "/var/vcap/sys/run/ipsec-gateway-view/vici.sock"

// Packet types of the vici protocol that a client may send.
const (
	commandRequest  = 0
	eventRegister   = 3
	eventUnregister = 4
)

var (
	commands = []string{"list-sas"}
	// charon tells its log at level 1 here, whatever else it logs: no packets and no keys.
	events = []string{"list-sa", "ike-updown", "child-updown", "ike-rekey", "child-rekey", "log"}
)

const (
	// maxRequest is far more than the longest request that is let through; replies are not limited.
	maxRequest     = 4096
	maxConnections = 32
)

// Serve makes the socket and relays until the context ends.
func (v View) Serve(ctx context.Context) error {
	listener, err := v.listen()
	if err != nil {
		return fmt.Errorf("making the read-only view of charon: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { listener.Close() })
	defer stop()
	limited := netutil.LimitListener(listener, maxConnections)
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		client, err := limited.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accepting a client of the view: %w", err)
		}
		clients.Go(func() {
			if err := v.relay(ctx, client); err != nil {
				v.Log.Warn("the read-only view of charon closed a connection", "reason", err.Error())
			}
		})
	}
}

func (v View) listen() (net.Listener, error) {
	directory := filepath.Dir(v.Socket)
	if err := os.MkdirAll(directory, 0o750); err != nil {
		return nil, err
	}
	if err := os.Chown(directory, -1, v.Group); err != nil {
		return nil, err
	}
	if err := os.Chmod(directory, 0o750); err != nil {
		return nil, err
	}
	if err := os.Remove(v.Socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := net.Listen("unix", v.Socket)
	if err != nil {
		return nil, err
	}
	err = errors.Join(os.Chown(v.Socket, -1, v.Group), os.Chmod(v.Socket, 0o660))
	if err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

func (v View) relay(ctx context.Context, client net.Conn) error {
	defer client.Close()
	charon, err := (&net.Dialer{}).DialContext(ctx, "unix", v.Charon)
	if err != nil {
		return fmt.Errorf("connecting to charon: %w", err)
	}
	defer charon.Close()
	stop := context.AfterFunc(ctx, func() { client.Close(); charon.Close() })
	defer stop()
	go func() {
		_, _ = io.Copy(client, charon)
		client.Close()
	}()
	for {
		request, err := readRequest(client)
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := charon.Write(request); err != nil {
			return fmt.Errorf("writing to charon: %w", err)
		}
	}
}

// readRequest reads one packet (a length of four bytes, a type, the length of a name, the name, a
// message) and gives it back if it only looks.
func readRequest(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(length[:])
	if size < 2 || size > maxRequest {
		return nil, fmt.Errorf("a request of %d bytes is refused", size)
	}
	packet := make([]byte, 4+size)
	copy(packet, length[:])
	if _, err := io.ReadFull(r, packet[4:]); err != nil {
		return nil, err
	}
	kind, end := packet[4], 6+int(packet[5])
	if end > len(packet) {
		return nil, errors.New("a request whose name is cut off is refused")
	}
	name := string(packet[6:end])
	switch {
	case kind == commandRequest && slices.Contains(commands, name):
	case (kind == eventRegister || kind == eventUnregister) && slices.Contains(events, name):
	default:
		return nil, fmt.Errorf("request %q of type %d is refused: this socket only shows security associations and charon's log", name, kind)
	}
	return packet, nil
}
