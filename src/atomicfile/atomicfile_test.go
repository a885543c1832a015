package atomicfile_test

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/atomicfile"
)

func TestAtomicFile(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "atomicfile")
}

var _ = Describe("A file that is written as a whole", func() {
	It("is there with one content or the other at every moment", func() {
		path := filepath.Join(GinkgoT().TempDir(), "status.json")
		Expect(atomicfile.Write(path, []byte("a"), 0o644)).To(Succeed())
		done := make(chan struct{})
		go func() {
			defer GinkgoRecover()
			defer close(done)
			for range 50 {
				Expect(atomicfile.Write(path, []byte("b"), 0o644)).To(Succeed())
			}
		}()
		for running := true; running; {
			data, err := os.ReadFile(path)
			Expect(err).NotTo(HaveOccurred())
			Expect(string(data)).To(BeElementOf("a", "b"))
			select {
			case <-done:
				running = false
			default:
			}
		}
	})

	It("is an error where there is no directory", func() {
		Expect(atomicfile.Write("/nonexistent/status.json", nil, 0o644)).To(MatchError(ContainSubstring("writing /nonexistent/status.json")))
	})
})
