package check

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"

	"privnet/connection"
)

// nonceSize is the number of random bytes by which an answer is known: a raw socket sees every answer
// that comes to the VM, and the kernel replaces the identifier on others.
const nonceSize = 16

// maxPacket is more than the largest packet of any link that a VM has.
const maxPacket = 10 << 10

// icmpProtocol is ICMP's number (RFC 792).
const icmpProtocol = 1

// askICMP sends one echo request (RFC 792) and waits for its reply.
func askICMP(ctx context.Context, target connection.Target, source netip.Addr) error {
	conn, datagram, err := listenICMP(source)
	if err != nil {
		return unaskable{fmt.Errorf("opening an ICMP socket: %w", err)}
	}
	defer conn.Close()
	var destination net.Addr = &net.IPAddr{IP: target.Address.AsSlice()}
	if datagram {
		destination = &net.UDPAddr{IP: target.Address.AsSlice()}
	}
	return echo(ctx, conn, destination, nonceSize)
}

// echo sends a request with so many bytes of data, the first of them random, and waits for its reply.
func echo(ctx context.Context, conn net.PacketConn, destination net.Addr, size int) error {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	data := make([]byte, size)
	_, _ = rand.Read(data[:nonceSize]) // never fails, see its documentation
	request, err := (&icmp.Message{
		Type: ipv4.ICMPTypeEcho,
		Body: &icmp.Echo{ID: int(data[0])<<8 | int(data[1]), Seq: 1, Data: data},
	}).Marshal(nil)
	if err != nil {
		return unaskable{err}
	}
	if _, err := conn.WriteTo(request, destination); err != nil {
		return err
	}
	buffer := make([]byte, maxPacket)
	for {
		n, from, err := conn.ReadFrom(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			return err
		}
		if addressOf(from) == addressOf(destination) && isReply(buffer[:n], data) {
			return nil
		}
	}
}

// listenICMP opens a ping socket, which needs no privilege where net.ipv4.ping_group_range allows it,
// or else a raw one, which needs CAP_NET_RAW.
func listenICMP(source netip.Addr) (conn *icmp.PacketConn, datagram bool, err error) {
	conn, err = icmp.ListenPacket("udp4", source.String())
	if err == nil || errors.Is(err, syscall.EADDRNOTAVAIL) {
		return conn, true, err
	}
	conn, err = icmp.ListenPacket("ip4:icmp", source.String())
	return conn, false, err
}

func isReply(packet, data []byte) bool {
	message, err := icmp.ParseMessage(icmpProtocol, packet)
	if err != nil || message.Type != ipv4.ICMPTypeEchoReply {
		return false
	}
	echo, ok := message.Body.(*icmp.Echo)
	return ok && bytes.Equal(echo.Data, data)
}

func addressOf(from net.Addr) netip.Addr {
	var ip net.IP
	switch a := from.(type) {
	case *net.UDPAddr:
		ip = a.IP
	case *net.IPAddr:
		ip = a.IP
	}
	address, _ := netip.AddrFromSlice(ip)
	return address.Unmap()
}
