package iptables

import (
	"fmt"

	"privnet/egress"
	"privnet/egress/nftables"
)

// Glancer tells in microseconds what iptables-save tells in tens of milliseconds a thousand rules: whether the
// mangle table of a variant is still as it was. state is another one after each change of a rule, and may be
// another one without, and is empty if it cannot be told; dropped is what the rules of the chains dropped. An error
// says that it is not known, as when somebody took the chains away.
type Glancer func(kind string, family egress.Family, chains []string) (state string, dropped uint64, err error)

// Glance is the Glancer of the network namespace of the calling thread.
func Glance(kind string, family egress.Family, chains []string) (state string, dropped uint64, err error) {
	if kind == kindLegacy {
		return legacyState(family, chains)
	}
	generation, err := nftables.Generation()
	if err != nil {
		return "", 0, err
	}
	dropped, err = nftables.Dropped(family, "mangle", chains)
	return fmt.Sprint(generation), dropped, err
}
