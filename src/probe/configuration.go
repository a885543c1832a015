package probe

import "privnet/ipsec/gateway"

// ReadConfiguration reads what the gateway job says of its configuration. A file that is not there or
// cannot be read says nothing; the tunnels are watched all the same.
func ReadConfiguration(path string) Configuration {
	out := Configuration{
		PSKs: []gateway.PSKStatus{}, Keys: []gateway.KeyStatus{}, Waivers: []gateway.WaiverStatus{}, Expiries: []gateway.ExpiryStatus{},
	}
	status, err := gateway.Gateway{Paths: gateway.Paths{Status: path}}.ReadStatus()
	if err != nil {
		out.Reason = err.Error()
		return out
	}
	out.Known, out.Healthy, out.Reason, out.FIPS, out.offer = true, status.Healthy, status.Problem, status.FIPS, status.Offer
	out.PSKs, out.Keys = append(out.PSKs, status.PSKs...), append(out.Keys, status.Keys...)
	out.Waivers, out.Expiries = append(out.Waivers, status.Waivers...), append(out.Expiries, status.Expiries...)
	return out
}
