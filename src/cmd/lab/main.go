// Command lab runs the product on one machine; scripts/lab builds and calls it.
package main

import (
	"context"
	"fmt"
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
	err := lab.Command(os.Getenv("PRIVNET_ROOT"), os.Stdout).ExecuteContext(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(lab.ExitCode(err))
}
