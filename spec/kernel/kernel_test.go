package kernel_test

import (
	"context"
	"os"
	"runtime"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// What the internet sees of the tunnel.
const (
	byProtocol50 = `, [1-9]\d* of ESP by IP protocol 50, 0 of ESP in UDP, `
	inUDP        = `, 0 of ESP by IP protocol 50, [1-9]\d* of ESP in UDP, `
)

var _ = Describe("the lab on a kernel with ESP", Ordered, ContinueOnFailure, func() {
	variants := []struct {
		name string
		args []string
		wire string
	}{
		{"with IKEv1", []string{"--ike", "1"}, byProtocol50},
		{"with IKEv2", []string{"--ike", "2"}, byProtocol50},
		{"with IKEv1 behind a NAT", []string{"--ike", "1", "--nat"}, inUDP},
		{"with IKEv2 behind a NAT", []string{"--ike", "2", "--nat"}, inUDP},
		{"with IKEv1 and a NAT before the gateway", []string{"--ike", "1", "--gateway-nat"}, inUDP},
	}
	outcomes := make([]chan outcome, len(variants))
	faulty := make(chan outcome, 1)

	// The guests run at the same time, but no more of them than there are processors: each has one.
	BeforeAll(func() {
		if why := missing(); why != "" {
			Skip(why)
		}
		release := prepare()
		ctx, cancel := context.WithCancel(context.Background())
		var guests sync.WaitGroup
		DeferCleanup(func() {
			cancel()
			guests.Wait()
		})
		processors := make(chan struct{}, runtime.NumCPU())
		for i, variant := range variants {
			outcomes[i] = make(chan outcome, 1)
			guests.Go(func() {
				processors <- struct{}{}
				defer func() { <-processors }()
				outcomes[i] <- lab(ctx, release, variant.args...)
			})
		}
		if os.Getenv("STRONGSWAN_DIR") != "" {
			guests.Go(func() {
				processors <- struct{}{}
				defer func() { <-processors }()
				faulty <- faults(ctx)
			})
		}
	})

	for i, variant := range variants {
		It("keeps every promise "+variant.name+", by the kernel's ESP", func(ctx SpecContext) {
			var got outcome
			Eventually(ctx, outcomes[i]).Should(Receive(&got))
			GinkgoWriter.Printf("%s\n%s", got.Output, table(got.Promises))
			Expect(got.Failed).To(BeEmpty())
			Expect(got.Output).To(ContainSubstring("the kernel's ESP (this kernel has it)"))
			Expect(got.Promises).To(HaveLen(6))
			Expect(got.Promises).To(HaveEach(HaveField("OK", true)))
			Expect(got.Promises).To(ContainElement(HaveField("Evidence", MatchRegexp(variant.wire))))
		}, NodeTimeout(3*patience))
	}

	It("lets the doctor say what is wrong with the kernel's ESP", func(ctx SpecContext) {
		if os.Getenv("STRONGSWAN_DIR") == "" {
			Skip("needs the release's strongSwan: build package strongswan and set STRONGSWAN_DIR")
		}
		var got outcome
		Eventually(ctx, faulty).Should(Receive(&got))
		GinkgoWriter.Print(got.Output)
		Expect(got.Failed).To(BeEmpty())
		Expect(got.Output).To(ContainSubstring("6 Passed | 0 Failed"))
	}, NodeTimeout(3*patience))
})
