package gateway_test

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/ipsec/command"
)

// asGateway makes the specs' own binary the gateway's, so that specs run the real commands in a namespace
// without building a second binary.
const asGateway = "RUN_AS_IPSEC_GATEWAY"

func TestMain(m *testing.M) {
	if os.Getenv(asGateway) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		code := command.Execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func TestGateway(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "ipsec/gateway")
}
