package nftables

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// socket is a netlink socket to nf_tables. It reads as much at once as the kernel gives: the kernel
// starts each part of a long list by counting from the beginning of the list.
type socket int

// receiveSize is the most that the kernel puts into one part of a list, in bytes.
const receiveSize = 32 << 10

// errChanged says that somebody changed the rules while they were read.
var errChanged = errors.New("the rules changed while they were read")

func open() (socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return -1, fmt.Errorf("connecting to nf_tables: %w", err)
	}
	return socket(fd), nil
}

func (s socket) close() { _ = unix.Close(int(s)) }

// send sends messages as one. The kernel takes them in one piece, which must fit into the socket's buffer.
func (s socket) send(messages ...netlink.Message) error {
	var all []byte
	for _, m := range messages {
		m.Header.Length = uint32(unix.NLMSG_HDRLEN + len(m.Data))
		bytes, err := m.MarshalBinary()
		if err != nil {
			return fmt.Errorf("encoding a message of type %#x: %w", m.Header.Type, err)
		}
		all = append(all, bytes...)
	}
	if err := unix.SetsockoptInt(int(s), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 2*len(all)+receiveSize); err != nil {
		return fmt.Errorf("making room for %d bytes: %w", len(all), err)
	}
	return unix.Sendto(int(s), all, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

// list asks for a list and gives the attributes of each message of the answer to take, which must not keep them.
func (s socket) list(kind int, header []byte, take func(attributes []byte)) error {
	if err := s.send(netlink.Message{
		Header: netlink.Header{Type: messageType(kind), Flags: netlink.Request | netlink.Dump}, Data: header,
	}); err != nil {
		return err
	}
	changed := false
	for {
		ended, err := s.receive(func(flags netlink.HeaderFlags, attributes []byte) {
			changed = changed || flags&netlink.DumpInterrupted != 0
			take(attributes)
		})
		switch {
		case err != nil:
			return err
		case ended && changed:
			return errChanged
		case ended:
			return nil
		}
	}
}

// receive reads one part of an answer. It has ended with a confirmation, or the end of a list.
func (s socket) receive(take func(flags netlink.HeaderFlags, attributes []byte)) (ended bool, err error) {
	buffer := make([]byte, receiveSize)
	n, _, err := unix.Recvfrom(int(s), buffer, 0)
	if err != nil {
		return false, err
	}
	for rest := buffer[:n]; len(rest) >= unix.NLMSG_HDRLEN; {
		length := int(binary.NativeEndian.Uint32(rest))
		if length < unix.NLMSG_HDRLEN || length > len(rest) {
			return false, errors.New("a message of the kernel is cut off")
		}
		kind, flags, data := binary.NativeEndian.Uint16(rest[4:]), netlink.HeaderFlags(binary.NativeEndian.Uint16(rest[6:])), rest[unix.NLMSG_HDRLEN:length]
		switch {
		case kind == unix.NLMSG_DONE:
			if flags&netlink.DumpInterrupted != 0 {
				return true, errChanged
			}
			return true, nil
		case kind == unix.NLMSG_ERROR && len(data) >= 4:
			if code := int32(binary.NativeEndian.Uint32(data)); code != 0 {
				return true, unix.Errno(-code)
			}
			return true, nil
		case len(data) >= headerLength:
			take(flags, data[headerLength:])
		}
		rest = rest[min(len(rest), (length+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1)):]
	}
	return false, nil
}

func messageType(kind int) netlink.HeaderType {
	return netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind)
}

// headerLength is that of nfgenmsg, before a message's attributes.
const headerLength = 4

// header is an nfgenmsg.
func header(family byte, resource uint16) []byte {
	return append([]byte{family, unix.NFNETLINK_V0}, bigEndian.AppendUint16(nil, resource)...)
}

// attributes gives each attribute to take, without copying: thousands of rules have tens of thousands.
func attributes(data []byte, take func(kind uint16, value []byte)) {
	for len(data) >= unix.SizeofNlAttr {
		length := int(binary.NativeEndian.Uint16(data))
		if length < unix.SizeofNlAttr || length > len(data) {
			return
		}
		take(binary.NativeEndian.Uint16(data[2:])&typeMask, data[unix.SizeofNlAttr:length])
		data = data[min(len(data), (length+unix.NLA_ALIGNTO-1)&^(unix.NLA_ALIGNTO-1)):]
	}
}

// text is an attribute's string.
func text(value []byte) string { return unix.ByteSliceToString(value) }

// typeMask takes the flags off an attribute's type (NLA_TYPE_MASK of linux/netlink.h).
const typeMask = 0x3fff
