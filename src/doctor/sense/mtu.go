package sense

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"privnet/doctor"
)

// The sizes in bytes, with IP header, of the echo requests by which a path is measured. The largest is
// what every tunnel over a path of 1500 bytes carries: AES-CBC with NAT-T leaves 1422.
var sizes = []int{576, 1000, 1200, 1280, 1360, 1400}

const echoWait = 400 * time.Millisecond

// measure finds the sizes that pass to a target that answers. The kernel must not fragment, and a size
// that it refuses itself is known to it: that is no black hole.
func measure(source, target netip.Addr, largest int) (doctor.PathMTU, error) {
	out := doctor.PathMTU{Target: target}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
	if err != nil {
		return out, err
	}
	defer unix.Close(fd)
	timeout := unix.NsecToTimeval(int64(echoWait))
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: source.As4()}),
	)
	if err != nil {
		return out, err
	}
	for _, size := range sizes {
		if size > largest {
			break
		}
		passed, known := false, false
		for range 3 {
			if passed, known = echo(fd, target, size); passed || known {
				break
			}
		}
		switch {
		case known:
			return out, nil
		case passed:
			out.Passes = size
		default:
			out.Lost = size
			return out, nil
		}
	}
	return out, nil
}

// echo sends a request of a size and says whether the reply came; known says that the kernel refused it.
func echo(fd int, target netip.Addr, size int) (passed, known bool) {
	packet := make([]byte, size-20)
	_, _ = rand.Read(packet[4:24])
	packet[0] = 8
	binary.BigEndian.PutUint16(packet[2:], checksum(packet))
	err := unix.Sendto(fd, packet, 0, &unix.SockaddrInet4{Addr: target.As4()})
	if errors.Is(err, unix.EMSGSIZE) {
		return false, true
	}
	if err != nil {
		return false, false
	}
	buffer := make([]byte, 2048)
	deadline := time.Now().Add(echoWait)
	for time.Now().Before(deadline) {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if err != nil {
			return false, false
		}
		header := int(buffer[0]&0xf) * 4
		if n == header+len(packet) && buffer[header] == 0 && string(buffer[header+4:header+24]) == string(packet[4:24]) {
			return true, false
		}
	}
	return false, false
}

// checksum is the internet checksum (RFC 1071).
func checksum(data []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(data); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(data[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

func pause() { time.Sleep(20 * time.Millisecond) }
