package vici

import (
	"context"
	"fmt"
	"time"

	"github.com/strongswan/govici/vici"
)

// Kind is the name of a kind of event in charon.
type Kind string

const (
	IKEUpDown   Kind = "ike-updown"
	ChildUpDown Kind = "child-updown"
	IKERekey    Kind = "ike-rekey"
	ChildRekey  Kind = "child-rekey"
)

var kinds = []Kind{IKEUpDown, ChildUpDown, IKERekey, ChildRekey}

// Event is something that happened to an IKE_SA or its CHILD_SAs.
type Event struct {
	Time time.Time
	Kind Kind
	// Up says, of an up-down event, whether it went up.
	Up bool
	// SA is as the event tells it: with the CHILD_SAs concerned, and after a rekey the new ones.
	SA SA
}

// Update is what charon said last.
type Update struct {
	// SAs are all IKE_SAs, listed after the events.
	SAs []SA
	// Events are those that arrived since the update before.
	Events []Event
	// Err says why charon could not be asked; then SAs means nothing.
	Err error
}

const (
	// eventBuffer is large because govici drops an event when its channel is full. Nothing but a count
	// can be lost by it: what is, always comes from a list.
	eventBuffer = 4096
	// settle is how long events that come together are gathered before SAs are listed.
	settle = 20 * time.Millisecond
	// patience is how long charon may take for an answer.
	patience = 5 * time.Second
	// reconnectPause keeps a charon that is not there from being asked in a tight loop.
	reconnectPause = 500 * time.Millisecond
)

// Watch tells deliver of all SAs at once, after every event and at every poll, until the context ends.
// It connects again when charon goes away, and delivers an error as often as it fails.
func Watch(ctx context.Context, socket string, poll time.Duration, deliver func(Update)) {
	for ctx.Err() == nil {
		err := watchOnce(ctx, socket, poll, deliver)
		if ctx.Err() != nil {
			return
		}
		deliver(Update{Err: err})
		select {
		case <-ctx.Done():
		case <-time.After(reconnectPause):
		}
	}
}

func watchOnce(ctx context.Context, socket string, poll time.Duration, deliver func(Update)) error {
	commands, err := open(ctx, socket)
	if err != nil {
		return err
	}
	defer commands.Close()
	events := make(chan Event, eventBuffer)
	lost := make(chan error, len(kinds))
	for _, kind := range kinds {
		session, err := subscribe(ctx, socket, kind, events, lost)
		if err != nil {
			return err
		}
		defer session.Close()
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	var news []Event
	for {
		sas, err := list(ctx, commands)
		if err != nil {
			return err
		}
		deliver(Update{SAs: sas, Events: news})
		news = nil
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-lost:
			return err
		case <-ticker.C:
		case event := <-events:
			news = gather(event, events)
		}
	}
}

func list(ctx context.Context, s session) ([]SA, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return listSAs(ctx, s)
}

// gather takes what arrives together with an event: a closing tunnel reports each of its CHILD_SAs.
func gather(first Event, more <-chan Event) []Event {
	out := []Event{first}
	deadline := time.After(settle)
	for {
		select {
		case event := <-more:
			out = append(out, event)
		case <-deadline:
			return out
		}
	}
}

// subscribe opens a session for one kind of event alone: govici 0.8 holds a lock while it waits for a
// subscription to be confirmed, and an event of a kind that is already subscribed would block it for good.
func subscribe(ctx context.Context, socket string, kind Kind, events chan<- Event, lost chan<- error) (session, error) {
	opened, err := open(ctx, socket)
	if err != nil {
		return session{}, err
	}
	raw := make(chan vici.Event, eventBuffer)
	opened.NotifyEvents(raw)
	if err := opened.subscribe(ctx, string(kind)); err != nil {
		opened.Close()
		return session{}, err
	}
	go func() {
		for e := range raw {
			event, err := readEvent(e)
			if err != nil {
				lost <- err
				return
			}
			select {
			case events <- event:
			default: // only counted, see eventBuffer
			}
		}
		lost <- fmt.Errorf("waiting for %s: charon closed the connection", kind)
	}()
	return opened, nil
}

func readEvent(e vici.Event) (Event, error) {
	event := Event{Time: e.Timestamp, Kind: Kind(e.Name), Up: e.Message.Get("up") == "yes"}
	for _, name := range e.Message.Keys() {
		section, ok := e.Message.Get(name).(*vici.Message)
		if !ok {
			continue
		}
		if successor, ok := section.Get("new").(*vici.Message); ok {
			section = successor
		}
		sa, err := readSA(name, section)
		if err != nil {
			return Event{}, fmt.Errorf("reading %s event: %w", e.Name, err)
		}
		event.SA = sa
	}
	return event, nil
}
