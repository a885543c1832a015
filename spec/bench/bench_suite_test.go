// Package bench_test measures the gateway beside strongSwan's own tool, in one run. It asserts no time, and
// runs only with BENCH=1, because its figures mean nothing on a busy machine:
//
//	sudo BENCH=1 STRONGSWAN_DIR=... go test ./spec/bench -v
package bench_test

import (
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestBench(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "bench")
}

var _ = BeforeEach(func() {
	if os.Getenv("BENCH") == "" {
		Skip("measures only with BENCH=1")
	}
})
