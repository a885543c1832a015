package faults_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/ipsec/vici"
)

// record appends what the gateway's charon logs to the file that RECORD names, as a section of what package
// signature's specs read. With STRONGSWAN_DIR it can be another version's charon.
func (b *bench) record() {
	GinkgoHelper()
	file := os.Getenv("RECORD")
	if file == "" {
		return
	}
	var text strings.Builder
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = vici.WatchLog(ctx, b.path("run/charon.vici"), func() { close(ready) }, func(l vici.LogLine) {
			fmt.Fprintf(&text, "%s %s\n", cmp.Or(l.SA, "-"), l.Text)
		})
	}()
	Eventually(ready, "5s").Should(BeClosed())
	DeferCleanup(func() {
		cancel()
		<-done
		out, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		Expect(err).NotTo(HaveOccurred())
		defer out.Close()
		_, err = fmt.Fprintf(out, "== %s ikev%d\n%s\n", strings.TrimSuffix(CurrentSpecReport().LeafNodeText, fmt.Sprintf(" (IKEv%d)", b.peer.version)), b.peer.version, text.String())
		Expect(err).NotTo(HaveOccurred())
	})
}
