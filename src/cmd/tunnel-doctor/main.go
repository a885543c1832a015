// Command tunnel-doctor says why an org's connection does not work, and what to change.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"privnet/doctor/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(command.Execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
