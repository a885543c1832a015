package gateway

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"privnet/atomicfile"
	"privnet/connection"
	"privnet/ipsec"
)

// Status is what a gateway says of its configuration, in a file for others. What the tunnels do is not in
// it: charon knows that better.
type Status struct {
	Version int `json:"version"`
	// Healthy says that charon holds what the job configures.
	Healthy bool `json:"healthy"`
	// Problem says why it does not.
	Problem   string    `json:"problem,omitempty"`
	UpdatedAt time.Time `json:"updated_at"`
	// FIPS says whether only OpenSSL's FIPS provider does the cryptography.
	FIPS bool `json:"fips"`
	// Offer is what charon may agree to.
	Offer OfferStatus `json:"offer"`
	PSKs  []PSKStatus `json:"psks"`
	// Keys are the pre-shared keys that are configured.
	Keys     []KeyStatus    `json:"keys"`
	Waivers  []WaiverStatus `json:"waivers"`
	Expiries []ExpiryStatus `json:"expiries"`
}

// PSKStatus says which pre-shared key charon has for an endpoint.
type PSKStatus struct {
	Endpoint netip.Addr `json:"endpoint"`
	Identity string     `json:"identity"`
	InUse    ipsec.Slot `json:"in_use"`
	Active   ipsec.Slot `json:"active"`
	// Overlap says whether the endpoint may use the other one, and Until how long; absent without an end.
	Overlap bool       `json:"overlap"`
	Until   *time.Time `json:"overlap_until,omitempty"`
	// Since is when charon last got the other one because the endpoint failed with the one before, and
	// Swaps how often it did.
	Since *time.Time `json:"since,omitempty"`
	Swaps int        `json:"swaps"`
}

// OfferStatus is what the connection's crypto policy allows, in strongSwan's words.
type OfferStatus struct {
	// IKE is 1, 2 or auto.
	IKE connection.IKE `json:"ike"`
	// Certificates says that both sides authenticate by certificate and not by pre-shared key.
	Certificates bool `json:"certificates"`
	// Phase1 and Phase2 are the proposals of all versions.
	Phase1 []string `json:"phase1"`
	Phase2 []string `json:"phase2"`
}

// KeyStatus is how long this VM has had a pre-shared key.
type KeyStatus struct {
	PSK       ipsec.Slot `json:"psk"`
	FirstSeen time.Time  `json:"first_seen"`
}

// WaiverStatus is a weak algorithm that the connection may use.
type WaiverStatus struct {
	Algorithm string    `json:"algorithm"`
	Reason    string    `json:"reason"`
	Until     time.Time `json:"until"`
}

// ExpiryStatus is when a waiver, a certificate or a CRL ends.
type ExpiryStatus struct {
	What    string    `json:"what"`
	At      time.Time `json:"at"`
	Expired bool      `json:"expired"`
}

// statusVersion changes when the meaning of a field does.
const statusVersion = 1

func pskStatuses(rendered ipsec.Rendered, choices keyChoices, now time.Time) []PSKStatus {
	out := []PSKStatus{}
	for _, key := range rendered.Keys {
		status := PSKStatus{
			Endpoint: key.Endpoint, Identity: key.Remote, InUse: key.InUse, Active: key.Keys.Active, Overlap: key.Keys.Overlap(now),
		}
		if until := key.Keys.OverlapUntil; !until.IsZero() && status.Overlap {
			status.Until = &until
		}
		if choice, ok := choices[key.ID]; ok {
			status.Since, status.Swaps = &choice.Since, choice.Swaps
		}
		out = append(out, status)
	}
	return out
}

// tellConfigured puts what is configured into the status: waivers, ends, FIPS, what is offered and the ages of keys.
func (g Gateway) tellConfigured(config ipsec.Config) error {
	waivers, expiries := []WaiverStatus{}, []ExpiryStatus{}
	for _, c := range config.Connections {
		for _, w := range c.Waivers {
			waivers = append(waivers, WaiverStatus{w.Algorithm, w.Reason, w.Until.UTC()})
		}
	}
	for _, e := range config.Expiries() {
		expiries = append(expiries, ExpiryStatus{e.What, e.At.UTC(), e.Expired(g.Now())})
	}
	offer := OfferStatus{Phase1: []string{}, Phase2: []string{}}
	keys := []KeyStatus{}
	for _, c := range config.Connections {
		offer.IKE, offer.Certificates = c.IKE, c.Certificates != nil
		phase1, phase2 := c.Offer()
		offer.Phase1, offer.Phase2 = append(offer.Phase1, phase1...), append(offer.Phase2, phase2...)
		ages, err := g.keyAges(c.Keys)
		if err != nil {
			return err
		}
		keys = append(keys, ages...)
	}
	return g.updateStatus(func(s *Status) {
		s.Offer, s.Keys = offer, keys
		s.Waivers, s.Expiries, s.FIPS = waivers, expiries, config.FIPS
		if expired := refuseExpired(config, g.Now()); expired != nil && s.Healthy {
			s.Healthy, s.Problem = false, expired.Error()
		}
	})
}

// ReadStatus reads what the gateway says of itself.
func (g Gateway) ReadStatus() (Status, error) {
	data, err := os.ReadFile(g.Paths.Status)
	if err != nil {
		return Status{}, fmt.Errorf("reading the gateway's status: %w; it is written when the gateway starts", err)
	}
	var status Status
	if err := json.Unmarshal(data, &status); err != nil {
		return Status{}, fmt.Errorf("reading %s: %w", g.Paths.Status, err)
	}
	return status, nil
}

// updateStatus changes the status file.
func (g Gateway) updateStatus(change func(*Status)) error {
	// A file that cannot be read is written anew.
	status, err := g.ReadStatus()
	if err != nil {
		status = Status{}
	}
	change(&status)
	status.Version, status.UpdatedAt = statusVersion, g.Now().UTC()
	data, err := json.MarshalIndent(status, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the gateway's status: %w", err)
	}
	// The directory, which the read-only view of charon shares, says who may read.
	if err := os.MkdirAll(filepath.Dir(g.Paths.Status), 0o750); err != nil {
		return fmt.Errorf("making the status's directory: %w", err)
	}
	return atomicfile.Write(g.Paths.Status, append(data, '\n'), 0o644)
}

// fail turns the status red; what charon holds is unchanged.
func (g Gateway) fail(problem error) {
	if err := g.updateStatus(func(s *Status) { s.Healthy, s.Problem = false, problem.Error() }); err != nil {
		g.Log.Error("the status is not told", "reason", err.Error())
	}
}
