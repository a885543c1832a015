package probe

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"privnet/connection"
	"privnet/document"
)

// Role is what the VM is to the connection.
type Role string

const (
	// RoleGateway watches charon and sends probes.
	RoleGateway Role = "gateway"
	// RoleCell sends probes only.
	RoleCell Role = "cell"
)

const (
	// DefaultListen is where the prober serves.
	DefaultListen = "127.0.0.1:9427"
	// DefaultInterval is the time between two questions to one target.
	DefaultInterval = 10 * time.Second
	// The interval's limits: shorter would be load, longer no watching.
	minInterval = 500 * time.Millisecond
	maxInterval = 5 * time.Minute
)

// Config is what one prober watches.
type Config struct {
	Role       Role
	Connection connection.Connection
	// Source is this VM's address in the segment, from which probes are sent; on a gateway it is the
	// gateway's.
	Source   netip.Addr
	Interval time.Duration
	// Listen is the address and port of the HTTP server; the unspecified address means all of Addresses.
	Listen netip.AddrPort
	// TLS says that it is served by TLS there; on the VM itself it always is without.
	TLS bool
	// Addresses are this VM's own.
	Addresses []netip.Addr
}

// ParseConfig reads a job's prober.json. The error is document.Problems with everything that is wrong.
func ParseConfig(file string, data []byte) (Config, error) {
	doc, err := document.Parse(file, data)
	if err != nil {
		return Config{}, err
	}
	c := readConfig(doc.Root())
	if err := doc.Err(); err != nil {
		return Config{}, err
	}
	return c, nil
}

func readConfig(v document.Value) Config {
	if !v.Fields("role", "connection", "addresses", "interval", "listen", "tls") {
		return Config{}
	}
	v.Get("role").Required("gateway or cell")
	c := Config{
		Role:       Role(v.Get("role").OneOf("", string(RoleGateway), string(RoleCell))),
		Connection: connection.Read(v.Get("connection")),
		Interval:   readInterval(v.Get("interval")),
		Listen:     readListen(v.Get("listen")),
		TLS:        v.Get("tls").Bool(),
		Addresses:  readAddresses(v.Get("addresses")),
	}
	c.Source = c.findSource(v.Get("addresses"))
	if c.Listen.IsValid() && !c.Listen.Addr().IsLoopback() && !c.TLS {
		v.Get("listen").Problem("is served to other machines, which needs TLS: set tls.certificate and tls.private_key, or listen_address: 127.0.0.1")
	}
	if c.Role == RoleGateway && !v.Get("connection").Get("endpoints").Present() {
		v.Get("connection").Get("endpoints").Problem("is missing; a gateway watches the tunnels with the connection's endpoints")
	}
	return c
}

func readAddresses(v document.Value) []netip.Addr {
	var out []netip.Addr
	for _, a := range v.List() {
		address, err := netip.ParseAddr(a.Text())
		if err != nil {
			a.Problem("is not an IP address; give the addresses of this VM")
			continue
		}
		out = append(out, address)
	}
	return out
}

// findSource finds this VM's own address in the segment; it has others, too.
func (c Config) findSource(v document.Value) netip.Addr {
	mine := func(a netip.Addr) bool { return connection.Contains(c.Connection.Segment, a) }
	if c.Role == RoleGateway {
		mine = c.Connection.HasGateway
	}
	if i := slices.IndexFunc(c.Addresses, mine); i >= 0 {
		return c.Addresses[i]
	}
	switch c.Role {
	case RoleGateway:
		v.Problem("has none of the gateways' addresses; one of %v must be this VM's", gatewayAddresses(c.Connection))
	case RoleCell:
		v.Problem("has no address in the segment %v; a dedicated cell has one", c.Connection.Segment)
	}
	return netip.Addr{}
}

func gatewayAddresses(c connection.Connection) []netip.Addr {
	var out []netip.Addr
	for _, g := range c.Gateways {
		out = append(out, g.Address)
	}
	return out
}

func readInterval(v document.Value) time.Duration {
	text := v.Text()
	if text == "" {
		return DefaultInterval
	}
	interval, err := time.ParseDuration(text)
	if err != nil || interval < minInterval || interval > maxInterval {
		v.Problem("must be a time from %s to %s, such as %s", minInterval, maxInterval, DefaultInterval)
	}
	return interval
}

func readListen(v document.Value) netip.AddrPort {
	text := v.Text()
	if text == "" {
		text = DefaultListen
	}
	listen, err := netip.ParseAddrPort(text)
	if err != nil {
		v.Problem("must be an IP address and a port, such as %s", DefaultListen)
	}
	return listen
}

// publicAddress is the one that endpoints connect to, and the gateway's identity; zero on a cell.
func (c Config) publicAddress() netip.Addr {
	for _, g := range c.Connection.Gateways {
		if g.Address == c.Source {
			return g.PublicAddress
		}
	}
	return netip.Addr{}
}

// Pairs are the pairs that can be judged from this VM: all of them on a gateway; on a cell those of its
// own subnet, because its probes say nothing of the others.
func (c Config) Pairs() []connection.Pair {
	return slices.DeleteFunc(c.Connection.Pairs(), func(p connection.Pair) bool {
		return c.Role == RoleCell && !p.Segment.Contains(c.Source)
	})
}

// probed says whether the target is asked through the pair.
func (c Config) probed(p connection.Pair, t connection.Target) bool {
	return p.Segment.Contains(c.Source) && p.PrivateNetwork.Contains(t.Address)
}

// PairName is a pair as it is written in labels and messages: 10.20.0.0/26=10.150.0.0/16.
func PairName(segment, privateNetwork netip.Prefix) string {
	return fmt.Sprintf("%s=%s", segment, privateNetwork)
}
