package leaks

import (
	"errors"
	"fmt"
	"slices"
)

// Fault is something that goes wrong. Its effect lasts until Heal, in part longer: the enforcer needs a moment.
type Fault struct {
	Name string
	// Removes are the layers that may be gone meanwhile.
	Removes Layers
	Inject  func(*World) error
	// Heal undoes what nobody on the VM would; it is no repair of what the enforcer holds. nil is nothing to do.
	Heal func(*World) error
}

// Faults lists what can go wrong in a world of these settings.
func Faults(s Settings) []Fault {
	return slices.Concat(processFaults(s), tunnelFaults(s), ruleFaults(s), routeFaults(), rebootFaults(), machineFaults(s))
}

// rulesOf is the layer of a host's rules.
var rulesOf = map[string]Layer{cell: CellRules, sharedCell: SharedRules, gateway: GatewayRules}

// onEach gives a fault for each host with an enforcer.
func onEach(name string, make func(host string) Fault) []Fault {
	var out []Fault
	for _, host := range enforced {
		fault := make(host)
		fault.Name = fmt.Sprintf("%s on the %s", name, host)
		out = append(out, fault)
	}
	return out
}

// all does something on each of the hosts.
func all(hosts []string, do func(host string) error) error {
	var failed []error
	for _, host := range hosts {
		failed = append(failed, do(host))
	}
	return errors.Join(failed...)
}
