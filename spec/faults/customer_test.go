package faults_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	. "privnet/ipsec/charontest"
)

// rekey lets the customer renew a child so many times, as a device does whose lifetime is too short.
func (b *bench) rekey(times int) {
	GinkgoHelper()
	for i := range times {
		b.customer.Swanctl("--rekey", "--child", "pair-0")
		b.logs(map[int]string{1: "detected rekeying of CHILD_SA", 2: "inbound CHILD_SA"}[b.peer.version], i+1)
	}
}

// renew lets the customer renew phase 1 so many times, always the newest: each has the next number.
func (b *bench) renew(times int) {
	GinkgoHelper()
	for i := range times {
		b.customer.Swanctl("--rekey", "--ike-id", strconv.Itoa(i+1))
		b.logs(map[int]string{1: "detected reauth of existing IKE_SA", 2: "] rekeyed between"}[b.peer.version], i+1)
	}
}

// restart kills the gateway, so that it tells nobody, and starts it anew.
func (b *bench) restart() {
	GinkgoHelper()
	b.process.Kill().Wait("5s")
	b.start()
}

// use lets a computer behind the endpoint send into the tunnel, for as long as the spec runs.
func (b *bench) use() {
	GinkgoHelper()
	Start(exec.Command("ip", "netns", "exec", b.network.Customer, "bash", "-c", "while sleep 0.1; do echo >/dev/udp/"+GatewaySegment+"/9; done"))
}

// logs waits until the gateway has logged something so many times.
func (b *bench) logs(text string, times int) {
	GinkgoHelper()
	Eventually(func() int {
		data, err := os.ReadFile(b.path("gateway.log"))
		Expect(err).NotTo(HaveOccurred())
		return strings.Count(string(data), text)
	}, "10s", "20ms").Should(BeNumerically(">=", times), "%d times %q", times, text)
}

// hammer lets all of the customer's connections try at once.
func (b *bench) hammer() {
	var tries sync.WaitGroup
	for i := range b.peer.copies - 1 {
		tries.Go(func() { _ = b.customer.Try("--initiate", "--ike", fmt.Sprintf("platform-%d", i+1), "--timeout", "1") })
	}
	tries.Wait()
}

// secondBox is another device of the customer's behind the same NAT, configured like the first.
func (b *bench) secondBox() Customer {
	GinkgoHelper()
	there := b.network
	there.Customer = Namespace("box")
	b.in(there.Customer, "ip link add net0 type veth peer name box0 netns "+b.network.Internet)
	b.in(there.Customer, "ip address add 192.168.78.2/24 dev net0")
	b.in(there.Customer, "ip link set net0 up")
	b.in(there.Customer, "ip route add default via 192.168.78.1")
	b.in(b.network.Internet, "ip address add 192.168.78.1/24 dev box0")
	b.in(b.network.Internet, "ip link set box0 up")
	b.in(b.network.Internet, "iptables -w -t nat -A POSTROUTING -s 192.168.78.2 -o gw0 -j SNAT --to "+Endpoint)
	for _, service := range Services {
		b.in(there.Customer, "ip address add "+service+"/32 dev lo")
	}
	p := b.peer
	p.source = "192.168.78.2"
	return StartCustomer(there, p.configuration())
}

// withoutNATTraversal makes the endpoint one that has none: its first message loses the vendor IDs by which it
// offers NAT traversal (RFC 3947), since the payload before them is made the last. They are in clear, and IKEv1
// does not authenticate them.
func (b *bench) withoutNATTraversal() {
	GinkgoHelper()
	const udp, exchange, noResponder, next = "udp dport 500", "@th,208,8 2", "@th,128,64 0", "@th,288,8 set 0"
	b.in(b.network.Internet, "nft add table ip change")
	b.in(b.network.Internet, "nft add chain ip change forward { type filter hook forward priority 0 ; }")
	b.in(b.network.Internet, "nft add rule ip change forward "+strings.Join([]string{udp, exchange, noResponder, next, "udp checksum set 0"}, " "))
}
