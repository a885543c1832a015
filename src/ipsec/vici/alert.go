package vici

import (
	"context"
	"fmt"

	"github.com/strongswan/govici/vici"
)

// Alert is something that charon found wrong.
type Alert struct {
	// Type is charon's word, as in peer-auth-failed.
	Type string
	// SA is the IKE_SA concerned; its zero value if there is none.
	SA SA
}

// AuthenticationFailed says whether the peer does not hold the key that charon does. With IKEv1 that shows
// only in that main mode's encrypted message is rubbish to charon.
func (a Alert) AuthenticationFailed() bool {
	switch a.Type {
	case "peer-auth-failed":
		return true
	case "parse-error-body":
		return a.SA.Version == 1 && a.SA.State == "CONNECTING"
	}
	return false
}

// WatchAlerts delivers charon's alerts until the context ends or charon goes away; the error says which.
func WatchAlerts(ctx context.Context, socket string, deliver func(Alert)) error {
	session, err := open(ctx, socket)
	if err != nil {
		return err
	}
	defer session.Close()
	events := make(chan vici.Event, eventBuffer)
	session.NotifyEvents(events)
	if err := session.subscribe(ctx, "alert"); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case event, ok := <-events:
			if !ok {
				return fmt.Errorf("waiting for alerts: charon closed the connection")
			}
			alert, err := readAlert(event.Message)
			if err != nil {
				return err
			}
			deliver(alert)
		}
	}
}

func readAlert(message *vici.Message) (Alert, error) {
	alert := Alert{}
	alert.Type, _ = message.Get("type").(string)
	sas, ok := message.Get("ike-sa").(*vici.Message)
	if !ok {
		return alert, nil
	}
	for _, name := range sas.Keys() {
		section, ok := sas.Get(name).(*vici.Message)
		if !ok {
			continue
		}
		sa, err := readSA(name, section)
		if err != nil {
			return Alert{}, fmt.Errorf("reading an alert: %w", err)
		}
		alert.SA = sa
	}
	return alert, nil
}
