package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// leastMTU is the size of packet in bytes that every host takes (RFC 791).
	leastMTU = 576
	// headers are those of IPv4 and of an ICMP echo.
	headers = 20 + 8
	// mtuTries is how often a size is asked before it counts as lost: one lost packet is no fault.
	mtuTries = 3
	// mtuWait is how long the first answer may take, leastWait how long the others may at least.
	mtuWait   = 500 * time.Millisecond
	leastWait = 50 * time.Millisecond
)

// KernelMTU is the size in bytes of the largest packet from source to destination that this VM's kernel
// would send in one piece, as the route, the tunnel's overhead and what routers have told say. Nothing is
// sent. It is 0 if the kernel would send none.
func KernelMTU(source, destination netip.Addr) int {
	conn, err := net.DialUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0)),
		net.UDPAddrFromAddrPort(netip.AddrPortFrom(destination, 9)))
	if err != nil {
		return 0
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	mtu := 0
	_ = raw.Control(func(fd uintptr) {
		if n, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU); err == nil {
			mtu = n
		}
	})
	return mtu
}

// PathMTU measures, with echo requests that must not be fragmented, the size in bytes of the largest
// packet that passes to a target and is answered, up to what the kernel would send. It is an error if
// nothing was learned: no permission, or not even a small request was answered.
func PathMTU(ctx context.Context, source, target netip.Addr) (int, error) {
	whole := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
		})
		return errors.Join(err, failed)
	}}
	conn, err := whole.ListenPacket(ctx, "ip4:icmp", source.String())
	if err != nil {
		return 0, fmt.Errorf("opening a raw socket: %w", err)
	}
	defer conn.Close()
	wait := mtuWait
	passes := func(size int) bool {
		for range mtuTries {
			limited, cancel := context.WithTimeout(ctx, wait)
			err := echo(limited, conn, &net.IPAddr{IP: target.AsSlice()}, size-headers)
			cancel()
			_ = conn.SetDeadline(time.Time{})
			if err == nil || errors.Is(err, unix.EMSGSIZE) {
				return err == nil
			}
		}
		return false
	}
	largest := KernelMTU(source, target)
	if largest < leastMTU {
		return 0, errors.New("the kernel has no route to the target")
	}
	if passes(largest) {
		return largest, nil
	}
	begun := time.Now()
	if !passes(leastMTU) {
		return 0, fmt.Errorf("the target does not answer an echo request of %d bytes", leastMTU)
	}
	wait = min(max(4*time.Since(begun), leastWait), mtuWait)
	// What passes is in [low, high).
	low, high := leastMTU, min(largest, maxPacket)
	for high-low > 1 {
		middle := (low + high) / 2
		if passes(middle) {
			low = middle
		} else {
			high = middle
		}
	}
	return low, ctx.Err()
}
