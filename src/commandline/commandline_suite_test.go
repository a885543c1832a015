package commandline_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestCommandline(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "commandline")
}
