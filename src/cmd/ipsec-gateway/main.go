// Command ipsec-gateway runs strongSwan's charon with an org's IPsec connection.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"privnet/ipsec/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(command.Execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
