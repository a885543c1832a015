package leaks

import (
	"fmt"
	"sort"
	"strings"
	"syscall"
	"time"
)

// stage is a state of a world without enforcers.
type stage struct {
	name  string
	enter func(*World) error
}

// stages are those that together let every flow be seen at every place where it must not.
var stages = []stage{
	{"the tunnel is up, and the cells have no route to the gateway", func(*World) error { return nil }},
	{"the cells have the route", func(w *World) error {
		return all(privateNetworks, func(network string) error {
			return w.run(cell, "ip", "route", "add", network, "via", gatewayAddress)
		})
	}},
	// The other org's app gets a source in the segment, so that the tunnel takes it.
	{"the gateway masquerades", func(w *World) error {
		return w.feedIn(gateway, "*nat\n-A POSTROUTING -s "+sharedCellAddress+" -j SNAT --to-source "+gatewayAddress+"\n-A POSTROUTING -j MASQUERADE\nCOMMIT\n", w.tool("iptables-restore"), "--noflush")
	}},
	{"the tunnel is gone", func(w *World) error {
		w.kill("charon-"+gateway, syscall.SIGTERM)
		return w.run(gateway, "ip", "xfrm", "policy", "flush")
	}},
}

// control shows that the oracle sees leaks: it fails if a flow is not seen where it must not be, in any stage.
func (t Trial) control(world *World) error {
	stop, err := world.sendAll()
	if err != nil {
		return err
	}
	most := Counts{}
	for _, stage := range stages {
		if err := stage.enter(world); err != nil {
			return fmt.Errorf("entering the stage %q: %w", stage.name, err)
		}
		before, err := world.count()
		if err != nil {
			return err
		}
		time.Sleep(time.Second)
		after, err := world.count()
		if err != nil {
			return err
		}
		fmt.Fprintf(t.Out, "%s:\n", stage.name)
		for _, flow := range Flows() {
			for host := range flow.Seen {
				at := place{flow.Name, host}
				most[at] = max(most[at], after[at]-before[at])
				fmt.Fprintf(t.Out, "  %5d packets of %s seen at the %s\n", after[at]-before[at], flow.Name, host)
			}
		}
	}
	sent, err := stop()
	if err != nil {
		return err
	}
	var missing []string
	for at, n := range most {
		if n == 0 {
			missing = append(missing, fmt.Sprintf("%s at the %s", at.flow, at.host))
		}
	}
	fmt.Fprintf(t.Out, "%s, control: %d packets sent\n", t.DataPath, sent)
	if len(missing) > 0 {
		sort.Strings(missing)
		return fmt.Errorf("without the enforcers these do not leak, so that the oracle proves nothing: %s", strings.Join(missing, ", "))
	}
	return nil
}
