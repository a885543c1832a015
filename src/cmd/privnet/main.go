// Command privnet is the operator's tool: from a customer's request to what bosh deploys.
package main

import (
	"os"

	"privnet/onboard/cli"
)

func main() {
	os.Exit(cli.Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
