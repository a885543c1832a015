package command_test

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/ipsec/charontest"
	"privnet/probe/command"
)

// asProber makes the specs' own binary the prober, so that specs run it in a namespace.
const asProber = "RUN_AS_TUNNEL_PROBER"

func TestMain(m *testing.M) {
	if os.Getenv(asProber) == "" {
		charontest.Main(m.Run)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	code := command.Execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func TestCommand(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "probe/command")
}
