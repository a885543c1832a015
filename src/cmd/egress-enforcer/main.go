// Command egress-enforcer keeps a VM at its egress policy; see package egress for what that promises.
package main

import (
	"os"

	"privnet/egress/command"
)

func main() {
	os.Exit(command.Run(os.Args[1:], os.Stdout, os.Stderr))
}
