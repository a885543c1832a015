package netfilter_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"os/exec"
	"strings"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// Outer addresses and security parameters of the ESP (RFC 4303) between the router and the wire's right end.
// It encrypts nothing, so that what is in it can be read and written here.
const (
	espToWire, espToRouter uint32 = 0x100, 0x200
	espHeader                     = 20 + 8
)

func isBehindESP(address uint32) bool { return address>>8 == 10<<16|9<<8|2 }

// protect puts what passes between 10.8.0.0/16 and 10.9.2.0/24 into ESP, if the kernel has it.
func (b *bench) protect() error {
	for _, line := range []string{
		"state add src 10.99.1.1 dst 10.99.1.2 proto esp spi 0x100 mode tunnel enc cipher_null '' auth digest_null ''",
		"state add src 10.99.1.2 dst 10.99.1.1 proto esp spi 0x200 mode tunnel enc cipher_null '' auth digest_null ''",
		"policy add src 10.8.0.0/16 dst 10.9.2.0/24 dir out tmpl src 10.99.1.1 dst 10.99.1.2 proto esp mode tunnel",
		"policy add src 10.9.2.0/24 dst 10.8.0.0/16 dir fwd tmpl src 10.99.1.2 dst 10.99.1.1 proto esp mode tunnel",
		"policy add src 10.9.2.0/24 dst 10.8.0.0/16 dir in tmpl src 10.99.1.2 dst 10.99.1.1 proto esp mode tunnel",
	} {
		words := strings.Fields(strings.ReplaceAll(line, "''", "EMPTY"))
		for i := range words {
			words[i] = strings.ReplaceAll(words[i], "EMPTY", "")
		}
		if out, err := exec.Command("ip", append([]string{"-n", b.router, "xfrm"}, words...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %s", line, out)
		}
	}
	b.protects = true
	return nil
}

// encapsulated is a frame with its packet in ESP to the router.
func encapsulated(bytes []byte) []byte {
	GinkgoHelper()
	inner := bytes[14:]
	padding := (4 - (len(inner)+2)%4) % 4
	trailer := append(make([]byte, padding), byte(padding), 4)
	payload := binary.BigEndian.AppendUint32(nil, espToRouter)
	payload = binary.BigEndian.AppendUint32(payload, 1)
	payload = append(append(payload, inner...), trailer...)
	ip := &layers.IPv4{Version: 4, TTL: 64, SrcIP: net.IP{10, 99, 1, 2}, DstIP: net.IP{10, 99, 1, 1}, Protocol: layers.IPProtocolESP}
	buffer := gopacket.NewSerializeBuffer()
	Expect(gopacket.SerializeLayers(buffer, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: wireAddress, DstMAC: wireAddress, EthernetType: layers.EthernetTypeIPv4}, ip, gopacket.Payload(payload))).To(Succeed())
	return buffer.Bytes()
}

// decapsulated is the packet, or that in it, if it is the router's own ESP.
func decapsulated(packet []byte) (header []byte, protected bool) {
	if packet[9] == 50 && len(packet) >= espHeader+20 && binary.BigEndian.Uint32(packet[20:]) == espToWire {
		return packet[espHeader:], true
	}
	return packet, false
}

// inUserModeLinux runs this suite's specs that the focus names where the kernel has ESP.
func inUserModeLinux(focus string) {
	GinkgoHelper()
	if _, err := exec.LookPath("linux.uml"); err != nil {
		Skip("this kernel has no ESP, and there is no linux.uml; install it with: sudo scripts/install-tools")
	}
	share := GinkgoT().TempDir()
	// The race detector's memory is more than a guest has, so the guest gets a program of its own.
	do("go", "test", "-c", "-race=false", "-o", share+"/netfilter.test", ".")
	cmd := exec.Command("../../../spec/kernel/uml", share, share+"/netfilter.test", "--ginkgo.v", "--ginkgo.focus", focus, "--ginkgo.seed", fmt.Sprint(GinkgoRandomSeed()))
	out, err := cmd.CombinedOutput()
	GinkgoWriter.Println(string(out))
	Expect(err).NotTo(HaveOccurred(), "%s", out)
	Expect(string(out)).To(ContainSubstring("1 Passed"))
}
