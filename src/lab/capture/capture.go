// Package capture records the packets that pass a host's interface, with tcpdump, and tells them apart.
// A capture that lost packets is an error: it proves nothing.
package capture

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"privnet/lab/host"
)

// Packet is what a promise needs to know of an IPv4 packet.
type Packet struct {
	Time     time.Time
	Src, Dst netip.Addr
	Kind     Kind
	// InUDP: the ESP is encapsulated in UDP, as behind a NAT.
	InUDP bool
	// Opens: the packet asks for something new: a TCP SYN without ACK, an echo request, or any UDP.
	Opens bool
	// Initiates: an IKE message that opens an IKE SA (its responder's SPI is still zero).
	Initiates bool
}

// Kind is what a packet is to somebody who watches the internet.
type Kind string

const (
	IKE Kind = "IKE"
	// ESP is IP protocol 50, or UDP-encapsulated (RFC 3948).
	ESP   Kind = "ESP"
	Other Kind = "other"
)

// Capture is a running one.
type Capture struct {
	cmd     *exec.Cmd
	packets []Packet
	read    chan error
	last    *bytes.Buffer
	ended   chan struct{}
}

// Start begins to record what passes an interface of the host; "any" stands for all.
func Start(dir string, h host.Host, iface string) (*Capture, error) {
	c := &Capture{read: make(chan error, 1), last: new(bytes.Buffer), ended: make(chan struct{})}
	// Immediate mode, because what waits in a block of the kernel's ring is lost when tcpdump ends.
	c.cmd = h.NetworkCommand(dir, "tcpdump", "--immediate-mode", "-i", iface, "-Z", "root", "-n", "-U", "-s", "128", "-B", "16384", "-w", "-", "ip")
	if iface == "any" {
		c.cmd.Args = append(c.cmd.Args[:len(c.cmd.Args)-1], "-y", "LINUX_SLL", "ip")
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting tcpdump: %w", err)
	}
	go func() { c.read <- c.collect(stdout) }()
	listening := make(chan struct{})
	go func() {
		defer close(c.ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(c.last, lines.Text())
			if strings.Contains(lines.Text(), "listening on") {
				close(listening)
			}
		}
	}()
	select {
	case <-listening:
		return c, nil
	case <-c.ended:
		_ = c.cmd.Wait()
		return nil, fmt.Errorf("capturing in %s: %s", h.Name, strings.TrimSpace(c.last.String()))
	}
}

// settling is the time that what has been sent has to pass and to be written down. What tcpdump has not read
// when it ends is lost, and on a busy machine it may not have had its turn yet.
const settling = time.Second

// Stop ends the capture, after a while, and returns the packets.
func (c *Capture) Stop() ([]Packet, error) {
	time.Sleep(settling)
	if err := c.cmd.Process.Signal(syscall.SIGINT); err != nil {
		return nil, fmt.Errorf("ending tcpdump: %w", err)
	}
	readErr := <-c.read
	<-c.ended
	if err := c.cmd.Wait(); err != nil {
		return nil, fmt.Errorf("capturing: %w: %s", err, c.last)
	}
	if readErr != nil {
		return nil, readErr
	}
	if !strings.Contains(c.last.String(), "\n0 packets dropped by kernel") {
		return nil, fmt.Errorf("the capture is not complete: %s", strings.TrimSpace(c.last.String()))
	}
	return c.packets, nil
}

func (c *Capture) collect(stdout io.Reader) error {
	reader, err := pcapgo.NewReader(stdout)
	if err != nil {
		return fmt.Errorf("reading the capture: %w", err)
	}
	for {
		data, info, err := reader.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the capture: %w", err)
		}
		if p, ok := Decode(data, reader.LinkType(), info.Timestamp); ok {
			c.packets = append(c.packets, p)
		}
	}
}

// Decode reads one frame; ok is false if it holds no IPv4.
func Decode(data []byte, link layers.LinkType, at time.Time) (p Packet, ok bool) {
	frame := gopacket.NewPacket(data, link, gopacket.DecodeOptions{Lazy: true, NoCopy: true})
	ip, ok := frame.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	if !ok {
		return Packet{}, false
	}
	src, _ := netip.AddrFromSlice(ip.SrcIP.To4())
	dst, _ := netip.AddrFromSlice(ip.DstIP.To4())
	p = Packet{Time: at, Src: src, Dst: dst, Kind: Other}
	if ip.Protocol == layers.IPProtocolESP {
		p.Kind = ESP
	}
	switch l := frame.TransportLayer().(type) {
	case *layers.TCP:
		p.Opens = l.SYN && !l.ACK
	case *layers.UDP:
		p.Opens = true
		p.encapsulated(l)
	}
	if icmp, ok := frame.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4); ok {
		p.Opens = icmp.TypeCode.Type() == layers.ICMPv4TypeEchoRequest
	}
	return p, true
}

// encapsulated tells IKE from ESP on the ports 500 and 4500 (RFC 7296 section 2.23, RFC 3948).
func (p *Packet) encapsulated(udp *layers.UDP) {
	payload := udp.LayerPayload()
	switch {
	case udp.SrcPort == 500 || udp.DstPort == 500:
		p.Kind = IKE
	case udp.SrcPort != 4500 && udp.DstPort != 4500:
		return
	case len(payload) >= 4 && binary.BigEndian.Uint32(payload) == 0:
		p.Kind, payload = IKE, payload[4:]
	default: // also the keepalive, one byte 0xff
		p.Kind, p.InUDP = ESP, true
	}
	p.Initiates = p.Kind == IKE && len(payload) >= 16 && binary.BigEndian.Uint64(payload[8:]) == 0
}
