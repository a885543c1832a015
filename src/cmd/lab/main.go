// Command lab runs the product on one machine; scripts/lab builds and calls it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"privnet/lab"
	"privnet/lab/host"
)

func main() {
	host.InitIfAsked()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(lab.Run(ctx, os.Getenv("PRIVNET_ROOT"), os.Args[1:], os.Stdout, os.Stderr))
}
