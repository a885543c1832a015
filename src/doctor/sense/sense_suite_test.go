package sense

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/doctor/signature"
)

func TestSense(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "doctor/sense")
}

// What a whole observation comes to is specified in spec/faults, with real charons.
var _ = Describe("Reading charon's log", func() {
	read := func(content string) []signature.Line {
		GinkgoHelper()
		path := filepath.Join(GinkgoT().TempDir(), "log")
		Expect(os.WriteFile(path, []byte(content), 0o600)).To(Succeed())
		var out []signature.Line
		Expect(readLog(path, func(l signature.Line) { out = append(out, l) })).To(Succeed())
		return out
	}
	const line = `{"time":"2026-11-23T09:00:00.5Z","level":"INFO","msg":"no proposal found","source":"charon","group":"IKE","charon_level":1,"org":"agency-a","ike_sa":"3"}`

	It("takes charon's lines with their time, and leaves the gateway's own and what is no JSON", func() {
		out := read(`{"time":"2026-11-23T09:00:00Z","msg":"charon is ready"}` + "\nplain\n" + line + "\n")
		Expect(out).To(Equal([]signature.Line{{Time: time.Date(2026, 11, 23, 9, 0, 0, 500_000_000, time.UTC), SA: "3", Text: "no proposal found"}}))
	})

	It("reads only the end of a long log, and no line by half", func() {
		out := read(strings.Repeat(line+"\n", maxHistory/len(line)+1000))
		Expect(len(out)).To(BeNumerically("~", maxHistory/(len(line)+1), 10))
		for _, l := range out {
			Expect(l.Text).To(Equal("no proposal found"))
		}
	})

	It("says why there is none", func() {
		Expect(readLog("/nowhere/log", nil)).To(MatchError(ContainSubstring("reading charon's log")))
	})
})

var _ = Describe("Measuring a path", func() {
	It("finds no black hole on the loopback", func() {
		if os.Getuid() != 0 {
			Skip("needs root: a raw socket")
		}
		loopback := netip.MustParseAddr("127.0.0.1")
		m, err := measure(loopback, loopback, 1422)
		Expect(err).NotTo(HaveOccurred())
		Expect(m.Passes).To(Equal(1400))
		Expect(m.Lost).To(BeZero())
	})
})
