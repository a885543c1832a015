package cli_test

import (
	"os"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/onboard/cli"
)

// asPrivnet in the environment makes this test's binary be the command, for the specs that need processes.
const asPrivnet = "SPEC_RUNS_AS_PRIVNET"

func TestMain(m *testing.M) {
	if os.Getenv(asPrivnet) != "" {
		os.Exit(cli.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func TestCLI(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "onboard/cli")
}
