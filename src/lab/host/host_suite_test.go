package host_test

import (
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/lab/host"
)

func TestHost(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "lab/host")
}

// The test binary is what Start runs as a host's first process.
func TestMain(m *testing.M) {
	host.InitIfAsked()
	os.Exit(m.Run())
}
