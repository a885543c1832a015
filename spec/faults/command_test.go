package faults_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
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

var _ = Describe("The doctor's support archive", func() {
	// content is that of all files by their names.
	content := func(b *bench) map[string]string {
		GinkgoHelper()
		b.ask("--bundle", b.path("bundle.tgz"))
		data, err := os.ReadFile(b.path("bundle.tgz"))
		Expect(err).NotTo(HaveOccurred())
		zip, err := gzip.NewReader(bytes.NewReader(data))
		Expect(err).NotTo(HaveOccurred())
		out := map[string]string{}
		for archive := tar.NewReader(zip); ; {
			header, err := archive.Next()
			if err == io.EOF {
				return out
			}
			Expect(err).NotTo(HaveOccurred())
			file, err := io.ReadAll(archive)
			Expect(err).NotTo(HaveOccurred())
			out[header.Name] = string(file)
		}
	}

	It("holds what helps, and no pre-shared key in any form", func() {
		b := newBench(healthyPeer(2), settings{})
		Expect(b.initiate()).To(Succeed())
		files := content(b)
		for _, name := range []string{"report.txt", "report.json", "charon.log", "sas.json", "commands/ip_route_show_table_all.txt"} {
			Expect(files).To(HaveKey("tunnel-doctor/" + name))
		}
		for name, file := range files {
			for _, secret := range []string{key, base64.StdEncoding.EncodeToString([]byte(key))} {
				Expect(file).NotTo(ContainSubstring(secret), name)
			}
			Expect(name).NotTo(ContainSubstring("xfrm_state"))
		}
	})

	It("holds no line of a private key", func() {
		p, s := healthyPeer(2), settings{}
		certified(valid)(&p, &s)
		b := newBench(p, s)
		Expect(b.initiate()).To(Succeed())
		for name, file := range content(b) {
			Expect(file).NotTo(ContainSubstring("PRIVATE KEY"), name)
			for _, line := range strings.Fields(authorities().gateway.PrivateKey) {
				if len(line) > 20 {
					Expect(file).NotTo(ContainSubstring(line), name)
				}
			}
		}
	})
})

var _ = Describe("While the customer tries, the doctor", func() {
	It("tells live what is wrong", func() {
		p := healthyPeer(2)
		p.ike = "aes256-sha256-modp1024"
		b := newBench(p, settings{})
		watch := b.doctor("--watch")
		Eventually(watch.Out).Should(gbytes.Say("Watching"))
		Expect(b.fail()).NotTo(Succeed())
		Eventually(watch.Out).Should(gbytes.Say(`phase 1 DH group \(customer side\)`))
		Eventually(watch.Out).Should(gbytes.Say("swanctl.conf"))
		p.ike = healthyPeer(2).ike
		b.customer.Configure(p.configuration())
		Expect(b.initiate()).To(Succeed())
		Eventually(watch.Out).Should(gbytes.Say("established"))
	})

	It("records IKE, also in UDP 4500, and no ESP and nobody's data", func() {
		b := newBench(healthyPeer(2), settings{})
		record := b.doctor("--capture", b.path("ike.pcap"), "--for", "1m")
		Eventually(record.Out).Should(gbytes.Say("Recording"))
		Expect(b.initiate()).To(Succeed())
		b.network.Exec(b.network.Gateway, "bash", "-c", "for i in {1..30}; do : </dev/tcp/"+Services[0]+"/8443; done")
		Eventually(record.Interrupt()).Should(gexec.Exit(0))
		Expect(record.Out).To(gbytes.Say(`\d+ IKE packets recorded`))
		info, err := os.Stat(b.path("ike.pcap"))
		Expect(err).NotTo(HaveOccurred())
		Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))
		data, err := os.ReadFile(b.path("ike.pcap"))
		Expect(err).NotTo(HaveOccurred())
		ports := map[uint16]int{}
		for data = data[24:]; len(data) > 0; {
			size := binary.BigEndian.Uint32(data[8:])
			packet := data[16 : 16+size]
			data = data[16+size:]
			Expect(packet[9]).To(BeEquivalentTo(17), "UDP")
			port := binary.BigEndian.Uint16(packet[22:])
			ports[port]++
			if port == 4500 {
				Expect(binary.BigEndian.Uint32(packet[28:])).To(BeZero(), "the non-ESP marker")
			}
		}
		Expect(ports).To(And(HaveLen(2), HaveKeyWithValue(uint16(500), 2), HaveKey(uint16(4500))))
	})
})

var _ = Describe("Told to fix, the doctor", func() {
	It("restarts what is not right on the VM, and nothing without being told", func() {
		b := newBench(healthyPeer(2), settings{unenforced: true})
		Expect(b.initiate()).To(Succeed())
		b.in(b.network.Gateway, "sysctl -qw net.ipv4.ip_forward=0")
		// As on a stemcell, where monit is a script that finds the real one on the PATH.
		for name, text := range map[string]string{"monit": "exec monit-actual \"$@\"", "monit-actual": "echo \"$@\" >>" + b.path("monit.log")} {
			Expect(os.WriteFile(b.path(name), []byte("#!/bin/sh\n"+text+"\n"), 0o755)).To(Succeed())
		}
		report, code := b.ask("--monit", b.path("monit"))
		Expect(report.Problems[0].Parameter).To(Equal(doctor.Rules))
		Expect(code).To(Equal(1))
		Expect(b.path("monit.log")).NotTo(BeAnExistingFile())

		session := b.doctor("--fix", "--monit", b.path("monit"))
		Eventually(session, "20s").Should(gexec.Exit(1))
		Expect(session.Out).To(gbytes.Say("fixed: restarted egress-enforcer"))
		// The rules and forwarding are the same job's.
		Expect(os.ReadFile(b.path("monit.log"))).To(BeEquivalentTo("restart egress-enforcer\n"))

		report, _ = b.ask("--fix", "--monit", b.path("monit"))
		Expect(report.Verdict).To(Equal(doctor.Broken), "the report alone is what --json prints")
		Expect(os.ReadFile(b.path("monit.log"))).To(BeEquivalentTo("restart egress-enforcer\nrestart egress-enforcer\n"))
	})

	It("gives charon its connections back, and opens no tunnel", func() {
		b := newBench(healthyPeer(2), settings{})
		b.unload()
		session := b.doctor("--fix", "--listen", "1s")
		Eventually(session, "20s").Should(gexec.Exit(1))
		Expect(session.Out).To(gbytes.Say("fixed: reloaded the gateway's configuration"))
		Expect(session.Out).To(gbytes.Say("connection in charon +ok"))
		Expect(session.Out).To(gbytes.Say("no IKE packet from " + Endpoint))
		Expect(b.initiate()).To(Succeed())
	})
})
