package backend_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"privnet/connection"
	"privnet/egress"
)

// path is a VM that forwards, between a client and a service, each in a network namespace:
//
//	client ── in:router:out ── service
//
// Of two interfaces towards the service, one is named like the tunnel's device, so that a gateway's rules can be
// measured without the cost of encryption, which would hide theirs.
type path struct{ client, router, service string }

const (
	appAddress     = "10.255.1.2"
	segmentAddress = "10.20.0.10"
	publicAddress  = "93.184.216.34"
)

func newPath(b *testing.B) path {
	if os.Geteuid() != 0 {
		b.Skip("needs root, for network namespaces")
	}
	name := fmt.Sprintf("forward-%d-", os.Getpid())
	p := path{name + "client", name + "router", name + "service"}
	for _, host := range []string{p.client, p.router, p.service} {
		ip(b, "netns add "+host)
		b.Cleanup(func() { ip(b, "netns delete "+host) })
		ip(b, "-n "+host+" link set lo up")
	}
	for _, link := range []struct{ device, near, far, beside, address string }{
		{"in", p.router, p.client, "10.99.0.1", "10.99.0.2"},
		{"out", p.router, p.service, "10.99.1.1", "10.99.1.2"},
		{egress.TunnelDevice, p.router, p.service, "10.99.2.1", "10.99.2.2"},
	} {
		ip(b, "-n "+link.near+" link add "+link.device+" type veth peer name "+link.device+" netns "+link.far)
		ip(b, "-n "+link.near+" address add "+link.beside+"/30 dev "+link.device)
		ip(b, "-n "+link.far+" address add "+link.address+"/30 dev "+link.device)
		for _, end := range []string{link.near, link.far} {
			ip(b, "-n "+end+" link set "+link.device+" up")
		}
	}
	for _, address := range []string{appAddress, segmentAddress} {
		ip(b, "-n "+p.client+" address add "+address+"/32 dev lo")
		ip(b, "-n "+p.router+" route add "+address+"/32 via 10.99.0.2")
		ip(b, "-n "+p.service+" route add "+address+"/32 via 10.99.2.1")
	}
	ip(b, "-n "+p.client+" route add default via 10.99.0.1")
	ip(b, "-n "+p.service+" route replace default via 10.99.1.1")
	ip(b, "-n "+p.router+" route add default via 10.99.1.2")
	for _, address := range []string{"172.16.0.0/12", publicAddress + "/32"} {
		ip(b, "-n "+p.service+" route add local "+address+" dev lo")
	}
	// A socket that nobody reads: without one, the service would answer by ICMP.
	in(b, p.service, func() error {
		socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		b.Cleanup(func() { _ = unix.Close(socket) })
		return errors.Join(err, unix.Bind(socket, &unix.SockaddrInet4{Port: 443}))
	})
	run(b, "ip netns exec "+p.router+" sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0")
	for _, host := range []string{p.router, p.service} {
		run(b, "ip netns exec "+host+" sh -c 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$f; done'")
	}
	return p
}

func ip(b *testing.B, words string) {
	b.Helper()
	run(b, "ip "+words)
}

func run(b *testing.B, command string) {
	b.Helper()
	if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
		b.Fatal(command, err, string(out))
	}
}

// in does the work in a namespace.
func in(b *testing.B, namespace string, work func() error) {
	b.Helper()
	done := make(chan error)
	go func() {
		// The thread is not unlocked: it ends with the goroutine and takes its namespace along.
		runtime.LockOSThread()
		handle, err := netns.GetFromName(namespace)
		if err == nil {
			defer handle.Close()
			err = netns.Set(handle)
		}
		if err == nil {
			err = work()
		}
		done <- err
	}()
	must(b, <-done)
}

// undisturbed keeps the thread on one processor, which it gives to no other work of the machine. The kernel
// forwards a packet on the processor that sends it, and within the sender's system call.
func undisturbed(processor int) error {
	var set unix.CPUSet
	set.Set(processor)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return err
	}
	return unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0)
}

// datagrams sends bursts of small UDP packets and says how long one packet of the fastest burst took on its whole
// way, in nanoseconds.
func (p path) datagrams(b *testing.B, source, destination string) (each float64) {
	b.Helper()
	const bursts, burst = 20, 64 * 16
	in(b, p.client, func() error {
		socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return err
		}
		defer unix.Close(socket)
		address := func(text string, port int) *unix.SockaddrInet4 {
			return &unix.SockaddrInet4{Port: port, Addr: netip.MustParseAddr(text).As4()}
		}
		err = errors.Join(unix.Bind(socket, address(source, 0)), unix.Connect(socket, address(destination, 443)), undisturbed(0))
		if err != nil {
			return err
		}
		for range bursts {
			began := time.Now()
			if err := sendMany(socket, burst); err != nil {
				return err
			}
			took := float64(time.Since(began).Nanoseconds()) / burst
			if each == 0 || took < each {
				each = took
			}
		}
		return nil
	})
	return each
}

// sendMany sends packets of 18 bytes, the least that fills an Ethernet frame, 64 a system call.
func sendMany(socket, count int) error {
	type message struct {
		header unix.Msghdr
		sent   uint32
		_      [4]byte
	}
	payload := make([]byte, 18)
	part := unix.Iovec{Base: &payload[0]}
	part.SetLen(len(payload))
	messages := make([]message, 64)
	for i := range messages {
		messages[i].header.Iov = &part
		messages[i].header.SetIovlen(1)
	}
	for count > 0 {
		sent, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(socket), uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), 0, 0, 0)
		if errno != 0 {
			return errno
		}
		count -= int(sent)
	}
	return nil
}

// stream sends TCP and says how many bits a second went through in the fastest of short whiles, in 10⁹.
func (p path) stream(b *testing.B, source, destination string) (rate float64) {
	b.Helper()
	const whiles, while = 10, 20 * time.Millisecond
	var listener net.Listener
	in(b, p.service, func() (err error) {
		listener, err = net.Listen("tcp4", destination+":0")
		return err
	})
	defer listener.Close()
	ended := make(chan error)
	go func() {
		runtime.LockOSThread()
		ended <- receive(listener)
	}()
	in(b, p.client, func() error {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: 5 * time.Second}
		outgoing, err := dialer.Dial("tcp4", listener.Addr().String())
		if err != nil {
			return err
		}
		defer outgoing.Close()
		file, err := outgoing.(*net.TCPConn).File()
		if err != nil {
			return err
		}
		defer file.Close()
		// Written without the runtime, whose threads would be disturbed.
		if err := errors.Join(unix.SetNonblock(int(file.Fd()), false), undisturbed(0)); err != nil {
			return err
		}
		buffer := make([]byte, 256<<10)
		for range whiles {
			began, sent := time.Now(), 0
			for time.Since(began) < while {
				n, err := unix.Write(int(file.Fd()), buffer)
				if err != nil {
					return err
				}
				sent += n
			}
			rate = max(rate, float64(sent)*8/float64(time.Since(began).Nanoseconds()))
		}
		return nil
	})
	must(b, <-ended)
	return rate
}

// receive reads all of one connection, on the other processor.
func receive(listener net.Listener) error {
	incoming, err := listener.Accept()
	if err != nil {
		return err
	}
	defer incoming.Close()
	file, err := incoming.(*net.TCPConn).File()
	if err != nil {
		return err
	}
	defer file.Close()
	if err := errors.Join(unix.SetNonblock(int(file.Fd()), false), undisturbed(1)); err != nil {
		return err
	}
	buffer := make([]byte, 1<<20)
	for {
		if n, err := unix.Read(int(file.Fd()), buffer); n <= 0 {
			return err
		}
	}
}

// forwarding is a role's rules and a flow that they let pass.
type forwarding struct {
	name                string
	source, destination string
	policy              func(n int) egress.Policy
	// tracks says that the VM tracks its flows without our rules, too: a cell translates its apps' addresses.
	tracks bool
}

func forwardings() []forwarding {
	cell := func(n int) egress.Policy {
		p := networks(n)
		p.Connection.Routing = connection.RoutingIaaS
		return p
	}
	gateway := func(n int) egress.Policy {
		p := networks(n)
		p.Role, p.Connection.DataPath, p.Connection.PathMTU = egress.RoleGateway, connection.DataPathUserland, 1500
		p.Connection.Segment = []netip.Prefix{netip.MustParsePrefix("10.20.0.0/26")}
		p.Connection.Endpoints = []connection.Endpoint{{Address: netip.MustParseAddr("198.51.100.10")}}
		return p
	}
	return []forwarding{
		{"cell, app to a public address", appAddress, publicAddress, cell, true},
		{"cell, app to a private network", appAddress, "172.16.5.9", cell, true},
		{"gateway, segment to a private network", segmentAddress, "172.16.5.9", gateway, false},
		{"gateway that tracks anyway, the same", segmentAddress, "172.16.5.9", gateway, true},
	}
}

// BenchmarkForward is what the rules cost a packet that is forwarded, and what they leave of the throughput: with
// no rules of ours and with those of 10 and of 1,000 networks, in turns.
func BenchmarkForward(b *testing.B) {
	for _, backend := range backends(b) {
		for _, f := range forwardings() {
			b.Run(strings.ReplaceAll(backend.name+"/"+f.name, " ", "-"), func(b *testing.B) {
				p := newPath(b)
				ip(b, "-n "+p.router+" route add 172.16.0.0/12 via 10.99.2.2 dev "+egress.TunnelDevice)
				if f.tracks {
					run(b, "ip netns exec "+p.router+" "+backend.iptables+" -t nat -A POSTROUTING -s 10.255.0.0/16 -j MASQUERADE")
				}
				times, rates := map[int]sample{}, map[int]sample{}
				for b.Loop() {
					for _, n := range []int{0, 10, 1000} {
						in(b, p.router, func() error {
							if n == 0 {
								return backend.rules.Remove(egress.Policy{IPTablesBinDir: backend.dir})
							}
							policy := f.policy(n)
							policy.IPTablesBinDir = backend.dir
							return backend.rules.Apply(policy)
						})
						// The kernel still frees the former rules.
						time.Sleep(20 * time.Millisecond)
						times[n] = append(times[n], p.datagrams(b, f.source, f.destination))
						rates[n] = append(rates[n], p.stream(b, f.source, f.destination))
					}
				}
				what := backend.name + ": " + f.name
				tell(what+", no rules, UDP", times[0], "ns")
				tell(what+", no rules, TCP", rates[0], "Gbit/s")
				for _, n := range []int{10, 1000} {
					of := fmt.Sprintf("%s, %d", what, n)
					tell(of+", UDP", times[n], "ns")
					tell(of+", UDP throughput", times[0].per(times[n]), "of that without")
					tell(of+", TCP throughput", rates[n].per(rates[0]), "of that without")
				}
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// programs is a directory with the programs of one variant of iptables, as a policy names it.
func programs(b *testing.B, variant string) string {
	b.Helper()
	multi, err := exec.LookPath("xtables-" + variant + "-multi")
	if err != nil {
		b.Skip("needs " + variant + " iptables")
	}
	dir := b.TempDir()
	for _, name := range []string{"iptables", "iptables-save", "iptables-restore", "ip6tables", "ip6tables-save", "ip6tables-restore"} {
		must(b, os.Symlink(multi, filepath.Join(dir, name)))
	}
	return dir
}
