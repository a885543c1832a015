package probe

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"privnet/connection"
	"privnet/doctor/advice"
	"privnet/doctor/signature"
	"privnet/ipsec/vici"
)

// undeclared stands for the tunnel of a failure that no declared endpoint has caused, as far as is known.
const undeclared = "undeclared"

// failures makes of charon's log what failed, on whose side, and how often.
type failures struct {
	config Config
	reader *signature.Reader
	// counts are by tunnel and reason; all are there from the start. The map is replaced, never changed.
	counts map[string]uint64
	// counted is when each failure that still stands was last counted.
	counted  map[string]time.Time
	standing []Failure
	last     *Failure
}

func newFailures(c Config, state State) *failures {
	f := &failures{
		config: c, counts: map[string]uint64{}, standing: []Failure{}, last: state.LastFailure,
		reader: signature.NewReader(signature.Expect{
			Gateway: c.publicAddress(), Endpoints: c.Connection.Endpoints,
			Segment: c.Connection.Segment, PrivateNetworks: c.Connection.PrivateNetworks, IKE: connection.IKEAuto,
		}),
	}
	if c.Role != RoleGateway {
		return f
	}
	tunnels := []string{undeclared}
	for _, e := range c.Connection.Endpoints {
		tunnels = append(tunnels, e.Address.String())
	}
	for _, tunnel := range tunnels {
		for _, reason := range signature.FailureNames() {
			f.counts[failureKey(tunnel, reason)] = state.Failures[failureKey(tunnel, reason)]
		}
	}
	return f
}

func failureKey(tunnel, reason string) string { return tunnel + " " + reason }

// expect takes from the gateway job what was agreed, with which charon's lines are compared.
func (f *failures) expect(c *Configuration) {
	if c.Known {
		f.reader.Expect.IKE, f.reader.Expect.Certificates = c.offer.IKE, c.offer.Certificates
	}
}

func (f *failures) read(l vici.LogLine, now time.Time) {
	f.reader.Read(signature.Line{Time: now, SA: l.SA, Text: l.Text})
}

// look finds out which failures stand, counts those that are new since it was last called, and returns them.
func (f *failures) look(now time.Time) []Failure {
	var fresh []Failure
	counts, counted := maps.Clone(f.counts), map[string]time.Time{}
	f.standing = []Failure{}
	for _, finding := range f.reader.Findings(now) {
		failure, tunnel := f.failure(finding), undeclared
		if _, declared := f.device(finding.Endpoint); declared {
			tunnel = finding.Endpoint.String()
		}
		f.standing = append(f.standing, failure)
		key := failureKey(tunnel, failure.Reason)
		if tunnel != undeclared { // what strangers send is of one kind, whatever it says
			key += " " + failure.Parameter + " " + failure.Got
		}
		if finding.Time.After(f.counted[key]) && counted[key].IsZero() {
			counts[failureKey(tunnel, failure.Reason)]++
			fresh = append(fresh, failure)
		}
		if finding.Time.After(counted[key]) {
			counted[key] = finding.Time
		}
	}
	f.counts, f.counted = counts, counted
	if len(fresh) > 0 {
		newest := slices.MaxFunc(fresh, func(a, b Failure) int { return a.At.Compare(b.At) })
		f.last = &newest
	}
	return fresh
}

// maxShown is how many failures people are shown: strangers can cause hundreds.
const maxShown = 5

// ShownFailures are the failures to show to people, which are all of few and the newest of many, and how many are left out.
func (s Status) ShownFailures() (shown []Failure, more int) {
	if len(s.Failures) <= maxShown {
		return s.Failures, 0
	}
	shown = slices.SortedStableFunc(slices.Values(s.Failures), func(a, b Failure) int { return b.At.Compare(a.At) })
	return shown[:maxShown], len(s.Failures) - maxShown
}

func (f *failures) device(endpoint netip.Addr) (string, bool) {
	for _, e := range f.config.Connection.Endpoints {
		if e.Address == endpoint {
			return e.Device, true
		}
	}
	return "other", false
}

func (f *failures) failure(finding signature.Finding) Failure {
	device, _ := f.device(finding.Endpoint)
	return Failure{
		At: finding.Time, Endpoint: finding.Endpoint, Reason: finding.Signature, IKEVersion: finding.IKE,
		Parameter: string(finding.Parameter), Side: string(finding.Side), Got: finding.Got, Want: finding.Want,
		Meaning: finding.Meaning, Advice: advice.For(device, finding.Parameter, finding.Want), Evidence: finding.Evidence,
	}
}
