package vici

import (
	"context"
	"fmt"
	"time"

	"github.com/strongswan/govici/vici"
)

// LogLine is a line that charon logs.
type LogLine struct {
	// SA is charon's number of the IKE_SA that it is about, Name that of its connection; empty if none.
	SA, Name string
	Group    string
	Text     string
}

// WatchLog delivers charon's log lines as they come, at the level of charon's own log, until the context
// ends or charon goes away; the error says which. ready is called once nothing can be missed any more.
func WatchLog(ctx context.Context, socket string, ready func(), deliver func(LogLine)) error {
	session, err := open(ctx, socket)
	if err != nil {
		return err
	}
	defer session.Close()
	events := make(chan vici.Event, eventBuffer)
	session.NotifyEvents(events)
	if err := session.subscribe(ctx, "log"); err != nil {
		return err
	}
	ready()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, ok := <-events:
			if !ok {
				return fmt.Errorf("waiting for charon's log: charon closed the connection")
			}
			r := reader{message: event.Message}
			deliver(LogLine{SA: r.text("ikesa-uniqueid"), Name: r.text("ikesa-name"), Group: r.text("group"), Text: r.text("msg")})
		}
	}
}

// FollowLog is WatchLog for as long as the context lasts: it connects again when charon goes away. Lines
// in between are missed.
func FollowLog(ctx context.Context, socket string, deliver func(LogLine)) {
	for ctx.Err() == nil {
		_ = WatchLog(ctx, socket, func() {}, deliver) // Watch, which sees the same charon go, says so
		select {
		case <-ctx.Done():
		case <-time.After(reconnectPause):
		}
	}
}
