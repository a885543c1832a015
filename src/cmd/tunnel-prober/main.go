// Command tunnel-prober watches an org's connection and says whether it works.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"privnet/probe/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(command.Execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
