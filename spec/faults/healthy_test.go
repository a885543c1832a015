package faults_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"
	"github.com/onsi/gomega/gexec"

	"privnet/doctor"
	. "privnet/ipsec/charontest"
)

var _ = Describe("The doctor raises no alarm", func() {
	healthy := func(b *bench) {
		GinkgoHelper()
		report, code := b.ask()
		Expect(report.Problems).To(BeEmpty())
		Expect(report.Verdict).To(Equal(doctor.Healthy))
		Expect(code).To(BeZero())
		Expect(report.UnknownLines).To(BeEmpty())
	}
	for _, version := range []int{1, 2} {
		for name, s := range map[string]settings{
			"on a tunnel": {}, "on a gateway for either version": {ike: "auto"}, "on an idle tunnel without targets": {noProbes: true},
			"behind the cloud's 1:1 NAT": {nat: NAT{Gateway: true}}, "with the customer behind NAT": {nat: NAT{Customer: true}},
		} {
			It(fmt.Sprintf("%s (IKEv%d)", name, version), func() {
				b := newBench(healthyPeer(version), s)
				Expect(b.initiate()).To(Succeed())
				healthy(b)
			})
		}

		It(fmt.Sprintf("during rekeying, under load, and after the customer came back (IKEv%d)", version), func() {
			b := newBench(healthyPeer(version), settings{})
			Expect(b.initiate()).To(Succeed())
			b.customer.Swanctl("--rekey", "--child", "pair-0")
			healthy(b)
			b.customer.Swanctl("--rekey", "--ike", "platform")
			b.network.Exec(b.network.Gateway, "bash", "-c", "for i in {1..300}; do : </dev/tcp/"+Services[0]+"/8443; done")
			healthy(b)
			b.customer.Swanctl("--terminate", "--ike", "platform")
			Expect(b.initiate()).To(Succeed())
			healthy(b)
		})

		It(fmt.Sprintf("once the customer has corrected what was wrong (IKEv%d)", version), func() {
			wrong := healthyPeer(version)
			wrong.ike, wrong.key = "aes256-sha1-modp2048", "wrong"+key
			b := newBench(wrong, settings{})
			Expect(b.fail()).NotTo(Succeed())
			right := healthyPeer(version)
			b.customer.Configure(right.configuration())
			Expect(b.initiate()).To(Succeed())
			healthy(b)
		})
	}
})

var _ = Describe("The doctor's support archive", func() {
	It("holds no key, wherever one could have come from", func() {
		b := newBench(healthyPeer(2), settings{})
		Expect(b.initiate()).To(Succeed())
		b.ask("--bundle", b.path("bundle.tgz"))
		data, err := os.ReadFile(b.path("bundle.tgz"))
		Expect(err).NotTo(HaveOccurred())
		zip, err := gzip.NewReader(bytes.NewReader(data))
		Expect(err).NotTo(HaveOccurred())
		var names []string
		for archive := tar.NewReader(zip); ; {
			header, err := archive.Next()
			if err == io.EOF {
				break
			}
			Expect(err).NotTo(HaveOccurred())
			content, err := io.ReadAll(archive)
			Expect(err).NotTo(HaveOccurred())
			names = append(names, header.Name)
			for _, secret := range []string{key, base64.StdEncoding.EncodeToString([]byte(key))} {
				Expect(string(content)).NotTo(ContainSubstring(secret), header.Name)
			}
			Expect(strings.Contains(header.Name, "xfrm_state")).To(BeFalse())
		}
		Expect(names).To(ContainElements("tunnel-doctor/report.txt", "tunnel-doctor/charon.log", "tunnel-doctor/sas.json",
			"tunnel-doctor/commands/ip_route_show_table_all.txt"))
	})
})

var _ = Describe("While the customer tries, the doctor", func() {
	It("tells live what is wrong, and records IKE and no data", func() {
		p := healthyPeer(2)
		p.ike = "aes256-sha256-modp1024"
		b := newBench(p, settings{})
		watch := b.doctor("--watch")
		Eventually(watch.Out).Should(gbytes.Say("Watching"))
		record := b.doctor("--capture", b.path("ike.pcap"), "--for", "5s")
		Expect(b.fail()).NotTo(Succeed())
		Eventually(watch.Out).Should(gbytes.Say(`phase 1 DH group \(customer side\)`))
		Eventually(watch.Out).Should(gbytes.Say("swanctl.conf"))
		p.ike = healthyPeer(2).ike
		b.customer.Configure(p.configuration())
		Expect(b.initiate()).To(Succeed())
		Eventually(watch.Out).Should(gbytes.Say("established"))
		Eventually(record, "10s").Should(gexec.Exit(0))
		Expect(record.Out).To(gbytes.Say(`\d+ IKE packets recorded`))
		info, err := os.Stat(b.path("ike.pcap"))
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Size()).To(BeNumerically(">", 500))
		Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))
	})
})
