package sense

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"privnet/connection"
	"privnet/doctor"
)

const (
	// farthest is how many routers the fabric may have before the gateway. Clouds show none, OpenStack one.
	farthest = 3
	hopWait  = 300 * time.Millisecond
	// hopPort is traceroute's.
	hopPort = 33434
)

// wayTo finds the router that a packet for the network passes: it is sent with so small a time to live that
// a router has to refuse it, and that router names itself (RFC 1812, 5.3.1). It ends at a gateway.
func wayTo(c doctor.Config, network netip.Prefix) netip.Addr {
	target, stream := netip.AddrPortFrom(connection.Host(network), hopPort), false
	for _, t := range c.Connection.Probes {
		// What may be probed passes the rules, however narrow they are.
		if network.Contains(t.Address) && t.Port != 0 {
			target, stream = netip.AddrPortFrom(t.Address, t.Port), true
		}
	}
	var first netip.Addr
	for ttl := 1; ttl <= farthest; ttl++ {
		for range 2 {
			router, err := hop(c.Source, target, ttl, stream)
			if err == nil && c.Connection.HasGateway(router) {
				return router
			}
			if err == nil {
				if !first.IsValid() {
					first = router
				}
				break
			}
		}
	}
	return first
}

var errNoRouter = errors.New("no router named itself")

// hop sends one packet, a datagram or the first of a stream, and gives the router that refused to forward it.
func hop(source netip.Addr, target netip.AddrPort, ttl int, stream bool) (netip.Addr, error) {
	kind := unix.SOCK_DGRAM
	if stream {
		kind = unix.SOCK_STREAM
	}
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.Addr{}, err
	}
	defer unix.Close(fd)
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1),
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: source.As4()}),
	)
	if err != nil {
		return netip.Addr{}, err
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: target.Addr().As4(), Port: int(target.Port())})
	if err == nil && !stream {
		_, err = unix.Write(fd, []byte{0})
	}
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return netip.Addr{}, err
	}
	for deadline := time.Now().Add(hopWait); time.Now().Before(deadline); {
		if router, err := refusedBy(fd); err == nil {
			return router, nil
		}
		pause()
	}
	return netip.Addr{}, errNoRouter
}

// refusedBy reads from a socket's error queue who sent "time exceeded": struct sock_extended_err and the
// address of the offender after it (ip(7)).
func refusedBy(fd int) (netip.Addr, error) {
	const timeExceeded, extendedError = 11, 16
	data, control := make([]byte, 512), make([]byte, 512)
	_, n, _, _, err := unix.Recvmsg(fd, data, control, unix.MSG_ERRQUEUE)
	if err != nil {
		return netip.Addr{}, err
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return netip.Addr{}, err
	}
	for _, m := range messages {
		if m.Header.Type != unix.IP_RECVERR || len(m.Data) < extendedError+8 {
			continue
		}
		if m.Data[4] == unix.SO_EE_ORIGIN_ICMP && m.Data[5] == timeExceeded && binary.NativeEndian.Uint16(m.Data[extendedError:]) == unix.AF_INET {
			return netip.AddrFrom4([4]byte(m.Data[extendedError+4:])), nil
		}
	}
	return netip.Addr{}, errNoRouter
}
