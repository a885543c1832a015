package capture_test

import (
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/lab/host"
)

func TestCapture(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "lab/capture")
}

func TestMain(m *testing.M) {
	host.InitIfAsked()
	os.Exit(m.Run())
}
