package vici

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/strongswan/govici/vici"
)

// Charon is a session with a running charon. It is for one goroutine at a time.
type Charon struct {
	session session
}

// Connect opens a session over the socket that charon serves vici on.
func Connect(ctx context.Context, socket string) (*Charon, error) {
	session, err := open(ctx, socket)
	if err != nil {
		return nil, err
	}
	return &Charon{session}, nil
}

// Close ends the session.
func (c *Charon) Close() error { return c.session.Close() }

// Version is charon's own, as in 6.1.0. It fails where charon does not answer.
func (c *Charon) Version(ctx context.Context) (string, error) {
	reply, err := c.call(ctx, "version", nil)
	if err != nil {
		return "", err
	}
	version, _ := reply.Get("version").(string)
	return version, nil
}

// SAs are all IKE_SAs.
func (c *Charon) SAs(ctx context.Context) ([]SA, error) { return listSAs(ctx, c.session) }

// Plugins are the names of the plugins that charon loaded, without charon itself, which it lists too.
func (c *Charon) Plugins(ctx context.Context) ([]string, error) {
	reply, err := c.call(ctx, "stats", nil)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(texts(reply, "plugins"), func(name string) bool { return name == "charon" }), nil
}

// ReloadSettings makes charon read strongswan.conf again, without touching a connection.
func (c *Charon) ReloadSettings(ctx context.Context) error {
	_, err := c.call(ctx, "reload-settings", nil)
	return err
}

// TerminateAll closes all IKE_SAs and tells the peers, each within the patience. It returns how many there
// were.
func (c *Charon) TerminateAll(ctx context.Context, patience time.Duration) (int, error) {
	sas, err := listSAs(ctx, c.session)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, sa := range sas {
		errs = append(errs, c.terminate(ctx, patience, "ike-id", sa.UniqueID))
	}
	return len(sas), errors.Join(errs...)
}

// terminate closes the SAs that a key names and waits until the peer has confirmed it, or gives up and
// forgets them.
func (c *Charon) terminate(ctx context.Context, patience time.Duration, selection ...string) error {
	request := map[string]string{"force": "yes", "timeout": fmt.Sprint(patience.Milliseconds())}
	for i := 0; i+1 < len(selection); i += 2 {
		request[selection[i]] = selection[i+1]
	}
	message, err := newMessage(request)
	if err != nil {
		return err
	}
	reply, err := c.session.Call(ctx, "terminate", message)
	if reply != nil && reply.Get("matches") == "0" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("closing %v: %w", selection, err)
	}
	return nil
}

func (c *Charon) call(ctx context.Context, command string, request map[string]string) (*vici.Message, error) {
	message, err := newMessage(request)
	if err != nil {
		return nil, err
	}
	reply, err := c.session.Call(ctx, command, message)
	if err != nil {
		return nil, fmt.Errorf("calling %s of charon: %w", command, err)
	}
	return reply, nil
}

// names asks for a list of names, such as get-conns' conns.
func (c *Charon) names(ctx context.Context, command, key string) ([]string, error) {
	reply, err := c.call(ctx, command, nil)
	if err != nil {
		return nil, err
	}
	out := texts(reply, key)
	slices.Sort(out)
	return out, nil
}

func newMessage(settings map[string]string) (*vici.Message, error) {
	message := vici.NewMessage()
	for key, value := range settings {
		if err := message.Set(key, value); err != nil {
			return nil, fmt.Errorf("encoding %s for charon: %w", key, err)
		}
	}
	return message, nil
}

func texts(message *vici.Message, key string) []string {
	list, _ := message.Get(key).([]string)
	return list
}
