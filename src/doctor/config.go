package doctor

import (
	"net/netip"
	"slices"
	"time"

	"privnet/connection"
	"privnet/document"
)

// Config is what the doctor on one VM looks at.
type Config struct {
	Role       Role
	Connection connection.Connection
	// Source is this VM's address in the segment.
	Source netip.Addr
	// Listen is how long to listen for a silent endpoint.
	Listen time.Duration
}

// The limits of Config.Listen, and its default.
const (
	minListen     = time.Second
	maxListen     = 10 * time.Minute
	defaultListen = 30 * time.Second
)

// ParseConfig reads a job's doctor.json. The error is document.Problems with everything that is wrong.
func ParseConfig(file string, data []byte) (Config, error) {
	doc, err := document.Parse(file, data)
	if err != nil {
		return Config{}, err
	}
	c := readConfig(doc.Root())
	return c, doc.Err()
}

func readConfig(v document.Value) Config {
	if !v.Fields("role", "connection", "addresses", "listen") {
		return Config{}
	}
	v.Get("role").Required("gateway or cell")
	c := Config{
		Role:       Role(v.Get("role").OneOf("", string(Gateway), string(Cell))),
		Connection: connection.Read(v.Get("connection")),
		Listen:     defaultListen,
	}
	if text := v.Get("listen").Text(); text != "" {
		var err error
		if c.Listen, err = time.ParseDuration(text); err != nil || c.Listen < minListen || c.Listen > maxListen {
			v.Get("listen").Problem("must be a time from %s to %s, such as %s", minListen, maxListen, defaultListen)
		}
	}
	if c.Role == Gateway && len(c.Connection.Endpoints) == 0 {
		v.Get("connection").Get("endpoints").Problem("is missing; give at least one endpoint with address and device")
	}
	addresses := connection.ReadOwnAddresses(v.Get("addresses"))
	if i := slices.IndexFunc(addresses, c.isSource); i >= 0 {
		c.Source = addresses[i]
	} else {
		v.Get("addresses").Problem("has no address in the segment %v that this %s could have", c.Connection.Segment, c.Role)
	}
	return c
}

func (c Config) isSource(address netip.Addr) bool {
	return c.Connection.HasGateway(address) == (c.Role == Gateway) && connection.Contains(c.Connection.Segment, address)
}
