package charontest

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	"golang.org/x/net/ipv4"
)

// asFlood makes the specs' own binary record a peer's first packet, or send it again and again.
const asFlood = "RUN_AS_FLOOD"

const ikePort = 500

// spiLength is that of the initiator's SPI, with which a packet of IKE begins.
const spiLength = 8

// Record returns the first packet that a customer sends to initiate, while nothing else answers at the
// gateway.
func (n Network) Record(peer Customer) string {
	GinkgoHelper()
	session := Start(n.flood(n.Gateway, "record"))
	_ = peer.Try("--initiate", "--child", "pair-0", "--timeout", "1")
	Eventually(session, "5s").Should(gexec.Exit(0))
	_ = peer.Try("--terminate", "--ike", "platform", "--force", "--timeout", "1")
	return strings.TrimSpace(string(session.Out.Contents()))
}

// StartFlood sends a recorded packet to the gateway, so many times a second, each time with another SPI and from
// the next address of a network, until the session is terminated.
func (n Network) StartFlood(packet, sources string, rate int) *gexec.Session {
	GinkgoHelper()
	return Start(n.flood(n.Internet, "send", packet, sources, strconv.Itoa(rate)))
}

func (n Network) flood(namespace string, arguments ...string) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", namespace, os.Args[0]}, arguments...)...)
	cmd.Env = append(os.Environ(), asFlood+"=1")
	return cmd
}

// flood is the program.
func flood(arguments []string) error {
	if arguments[0] == "record" {
		return record()
	}
	packet, err := hex.DecodeString(arguments[1])
	if err != nil {
		return err
	}
	sources, err := netip.ParsePrefix(arguments[2])
	if err != nil {
		return err
	}
	rate, err := strconv.Atoi(arguments[3])
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	listener, err := net.ListenPacket("ip4:udp", "0.0.0.0")
	if err != nil {
		return err
	}
	raw, err := ipv4.NewRawConn(listener)
	if err != nil {
		return err
	}
	defer raw.Close()
	destination := net.ParseIP(GatewayPublic)
	ticker := time.NewTicker(time.Second / time.Duration(rate))
	for source := sources.Addr(); ctx.Err() == nil; <-ticker.C {
		_, _ = rand.Read(packet[:spiLength])
		udp := binary.BigEndian.AppendUint16(nil, ikePort)
		udp = binary.BigEndian.AppendUint16(udp, ikePort)
		udp = binary.BigEndian.AppendUint16(udp, uint16(8+len(packet)))
		udp = append(udp, 0, 0) // no checksum
		header := &ipv4.Header{Version: 4, Len: ipv4.HeaderLen, TotalLen: ipv4.HeaderLen + 8 + len(packet), TTL: 64,
			Protocol: syscall.IPPROTO_UDP, Src: source.AsSlice(), Dst: destination}
		if err := raw.WriteTo(header, append(udp, packet...), nil); err != nil {
			return err
		}
		if source = source.Next(); !sources.Contains(source) {
			source = sources.Addr()
		}
	}
	return nil
}

func record() error {
	socket, err := net.ListenPacket("udp4", net.JoinHostPort(GatewayPublic, strconv.Itoa(ikePort)))
	if err != nil {
		return err
	}
	defer socket.Close()
	packet := make([]byte, 1<<16)
	n, _, err := socket.ReadFrom(packet)
	if err != nil {
		return err
	}
	fmt.Println(hex.EncodeToString(packet[:n]))
	return nil
}
