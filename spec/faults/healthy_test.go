package faults_test

import (
	"fmt"
	"os/exec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

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
		It(fmt.Sprintf("on a tunnel of IP protocol 50, during rekeying (IKEv%d)", version), func() {
			b := newBench(healthyPeer(version), settings{kernel: true})
			Expect(b.initiate()).To(Succeed())
			b.rekey(1)
			healthy(b)
		})

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
			load := Start(exec.Command("ip", "netns", "exec", b.network.Gateway, "bash", "-c", "while :; do : </dev/tcp/"+Services[0]+"/8443; done"))
			for _, renewed := range [][]string{{"--child", "pair-0"}, {"--ike", "platform"}} {
				rekeying := make(chan error, 1)
				go func() { rekeying <- b.customer.Try(append([]string{"--rekey"}, renewed...)...) }()
				healthy(b)
				Expect(<-rekeying).To(Succeed())
			}
			load.Kill().Wait()
			b.customer.Swanctl("--terminate", "--ike", "platform")
			Expect(b.initiate()).To(Succeed())
			healthy(b)
		})

		It(fmt.Sprintf("where the customer's networks are wider than agreed, and narrowed (IKEv%d)", version), func() {
			p := healthyPeer(version)
			p.local[0] = map[int]string{1: "10.128.0.0/9", 2: "10.128.0.0/9,172.16.0.0/12"}[version]
			b := newBench(p, settings{})
			Expect(b.initiate()).To(Succeed())
			healthy(b)
		})

		It(fmt.Sprintf("with certificates (IKEv%d)", version), func() {
			p, s := healthyPeer(version), settings{}
			certified(valid)(&p, &s)
			b := newBench(p, s)
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
