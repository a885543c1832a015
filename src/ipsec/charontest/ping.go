package charontest

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// asPing makes the specs' own binary a ping that counts: machines lack one, and it must run in a namespace.
const asPing = "RUN_AS_PING"

const (
	pingInterval = 10 * time.Millisecond
	// pingPatience is how long the last answers may take.
	pingPatience = 500 * time.Millisecond
)

// Ping sends count ICMP echoes in the gateway's namespace and returns how many were answered.
func (n Network) Ping(source, destination string, count int) int {
	GinkgoHelper()
	_, answered := Stream{startPing(n.Gateway, source, destination, count)}.wait()
	return answered
}

// PingBack is Ping in the customer's namespace.
func (n Network) PingBack(source, destination string, count int) int {
	GinkgoHelper()
	_, answered := Stream{startPing(n.Customer, source, destination, count)}.wait()
	return answered
}

// Stream is a flow of ICMP echoes, 100 a second, through a tunnel.
type Stream struct{ session *gexec.Session }

// StartStream starts one in the gateway's namespace.
func (n Network) StartStream(source, destination string) Stream {
	GinkgoHelper()
	return Stream{startPing(n.Gateway, source, destination, 0)}
}

// Stop ends it, and says how many echoes were sent and answered.
func (s Stream) Stop() (sent, answered int) {
	GinkgoHelper()
	s.session.Terminate()
	return s.wait()
}

func startPing(namespace, source, destination string, count int) *gexec.Session {
	GinkgoHelper()
	cmd := exec.Command("ip", "netns", "exec", namespace, os.Args[0], source, destination, strconv.Itoa(count))
	cmd.Env = append(os.Environ(), asPing+"=1")
	return Start(cmd)
}

func (s Stream) wait() (sent, answered int) {
	GinkgoHelper()
	Eventually(s.session, "20s").Should(gexec.Exit(0))
	_, err := fmt.Sscanf(string(s.session.Out.Contents()), "%d %d", &sent, &answered)
	Expect(err).NotTo(HaveOccurred())
	return sent, answered
}

// ping is the program: source, destination and count, of which 0 means until SIGTERM.
func ping(arguments []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	count, err := strconv.Atoi(arguments[2])
	if err != nil {
		return err
	}
	socket, err := icmp.ListenPacket("ip4:icmp", arguments[0])
	if err != nil {
		return err
	}
	defer socket.Close()
	id, answered := os.Getpid()&0xffff, make(chan int)
	go func() { answered <- answers(socket, id, count) }()
	sent := 0
	ticker := time.NewTicker(pingInterval)
	for ; (count == 0 || sent < count) && ctx.Err() == nil; <-ticker.C {
		echo, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: id, Seq: sent & 0xffff, Data: binary.BigEndian.AppendUint64(nil, uint64(sent))}}).Marshal(nil)
		if err != nil {
			return err
		}
		// A packet that the kernel refuses is one that is lost.
		_, _ = socket.WriteTo(echo, &net.IPAddr{IP: net.ParseIP(arguments[1])})
		sent++
	}
	if err := socket.SetReadDeadline(time.Now().Add(pingPatience)); err != nil {
		return err
	}
	fmt.Println(sent, <-answered)
	return nil
}

// answers counts each echo's answer once, until there are as many as wanted or the socket's deadline.
func answers(socket *icmp.PacketConn, id, want int) int {
	seen := map[uint64]bool{}
	packet := make([]byte, 1500)
	for want == 0 || len(seen) < want {
		n, _, err := socket.ReadFrom(packet)
		if err != nil {
			break
		}
		message, err := icmp.ParseMessage(1, packet[:n])
		if err != nil || message.Type != ipv4.ICMPTypeEchoReply {
			continue
		}
		if echo, ok := message.Body.(*icmp.Echo); ok && echo.ID == id && len(echo.Data) == 8 {
			seen[binary.BigEndian.Uint64(echo.Data)] = true
		}
	}
	return len(seen)
}
