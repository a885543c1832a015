package iptables

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"privnet/egress"
)

// layout is where things are in a legacy table: the structs ipt_entry and ip6t_entry of
// linux/netfilter_ipv4/ip_tables.h and linux/netfilter_ipv6/ip6_tables.h, on 64-bit machines.
type layout struct {
	domain, level int
	// counters is where an entry's packets and bytes are, targetAt where it says where its target begins.
	counters, targetAt int
}

var layouts = map[egress.Family]layout{
	egress.IPv4: {domain: unix.AF_INET, level: unix.SOL_IP, counters: 96, targetAt: 88},
	egress.IPv6: {domain: unix.AF_INET6, level: unix.SOL_IPV6, counters: 152, targetAt: 140},
}

// Of the headers named above, and of linux/netfilter/x_tables.h.
const (
	getInfo       = 64
	getEntries    = 65
	nameLength    = 32
	infoLength    = 84
	sizeAt        = 80
	entriesAt     = 40
	counterLength = 16
	// comefrom is a kernel's own note, between the offsets and the counters.
	comefromAt = 4
	// A target has its length, its name, and then its data.
	targetNameAt, targetDataAt = 2, 32
	// standardDrop is the verdict of -j DROP, errorTarget the target of an entry that only names a chain.
	standardDrop = -1
	errorTarget  = "ERROR"
)

// legacyState reads the legacy mangle table as the kernel has it, without understanding its rules: the state is
// a hash of all entries but for their counters.
func legacyState(family egress.Family, chains []string) (state string, dropped uint64, err error) {
	l := layouts[family]
	entries, err := l.entries()
	if err != nil {
		return "", 0, fmt.Errorf("reading the legacy mangle table: %w", err)
	}
	dropping := map[string]bool{}
	for _, chain := range chains {
		dropping[chain] = true
	}
	chain := ""
	for rest := entries; len(rest) > 0; {
		if len(rest) < l.counters+counterLength {
			return "", 0, errors.New("reading the legacy mangle table: an entry is cut off")
		}
		target, next := int(binary.NativeEndian.Uint16(rest[l.targetAt:])), int(binary.NativeEndian.Uint16(rest[l.targetAt+2:]))
		if next > len(rest) || target+targetDataAt+4 > next {
			return "", 0, errors.New("reading the legacy mangle table: an entry is not as expected")
		}
		data := rest[target+targetDataAt : next]
		switch unix.ByteSliceToString(rest[target+targetNameAt : target+targetDataAt]) {
		case errorTarget:
			chain = unix.ByteSliceToString(data)
		case "":
			if verdict := int32(binary.NativeEndian.Uint32(data)); verdict == standardDrop && dropping[chain] {
				dropped += binary.NativeEndian.Uint64(rest[l.counters:])
			}
		}
		clear(rest[l.targetAt+comefromAt : l.counters+counterLength])
		rest = rest[next:]
	}
	sum := sha256.Sum256(entries)
	return hex.EncodeToString(sum[:]), dropped, nil
}

// entries asks for the size of the table and then for the table.
func (l layout) entries() ([]byte, error) {
	socket, err := unix.Socket(l.domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return nil, err
	}
	defer unix.Close(socket)
	info := make([]byte, infoLength)
	copy(info, "mangle")
	if err := getsockopt(socket, l.level, getInfo, info); err != nil {
		return nil, err
	}
	size := binary.NativeEndian.Uint32(info[sizeAt:])
	request := bytes.Join([][]byte{append([]byte("mangle"), make([]byte, nameLength-len("mangle"))...),
		binary.NativeEndian.AppendUint32(nil, size), make([]byte, entriesAt-nameLength-4+int(size))}, nil)
	// A table that has grown meanwhile is an error.
	if err := getsockopt(socket, l.level, getEntries, request); err != nil {
		return nil, err
	}
	return request[entriesAt:], nil
}

func getsockopt(socket, level, option int, value []byte) error {
	length := uint32(len(value))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(socket), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&value[0])), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}
