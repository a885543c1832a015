// Command org-isolation puts a Cloud Foundry org into its isolation segment, as an errand.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"privnet/cfapi/command"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(command.Execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}
