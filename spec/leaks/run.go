package leaks

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Oracle judges one world.
type Oracle struct {
	World *World
	// Dwell is how long a fault lasts before the next one, and before it is healed.
	Dwell time.Duration
	Out   io.Writer
}

// Observation is what was seen of the flows.
type Observation struct {
	// Leaked are packets where no layers excuse one, by a sentence each.
	Leaked []string
	// Exposed are packets where a whole cut was gone.
	Exposed []string
}

// Err is an error if there is a leak.
func (o Observation) Err() error {
	if len(o.Leaked) == 0 {
		return nil
	}
	return errors.New(strings.Join(o.Leaked, "\n"))
}

// Suffer injects the faults one after another, heals them in the same order and waits for all repairs and
// for the tunnel. Then it says what was seen since it began.
func (o Oracle) Suffer(faults []Fault) (Observation, error) {
	before, err := o.World.count()
	if err != nil {
		return Observation{}, err
	}
	var removed Layers
	for _, fault := range faults {
		if err := fault.Inject(o.World); err != nil {
			return Observation{}, fmt.Errorf("injecting %q: %w", fault.Name, err)
		}
		removed = append(removed, fault.Removes...)
		time.Sleep(o.Dwell)
	}
	for _, fault := range faults {
		if fault.Heal == nil {
			continue
		}
		if err := fault.Heal(o.World); err != nil {
			return Observation{}, fmt.Errorf("healing %q: %w", fault.Name, err)
		}
	}
	if err := o.recover(); err != nil {
		return Observation{}, err
	}
	after, err := o.World.count()
	if err != nil {
		return Observation{}, err
	}
	return o.judge(before, after, removed), nil
}

// recover waits until all is repaired and what may pass does.
func (o Oracle) recover() error {
	if err := o.World.repaired(); err != nil {
		return err
	}
	if o.flows() == nil {
		return nil
	}
	if err := o.World.connect(); err != nil {
		return err
	}
	if err := within(patience, o.flows); err != nil {
		return fmt.Errorf("waiting for the tunnel to carry: %w", err)
	}
	return nil
}

// flows is an error unless every flow that may arrive does.
func (o Oracle) flows() error {
	before, err := o.World.count()
	if err != nil {
		return err
	}
	time.Sleep(100 * time.Millisecond)
	after, err := o.World.count()
	if err != nil {
		return err
	}
	for flow, host := range Healthy {
		at := place{flow, host}
		if after[at] == before[at] {
			return fmt.Errorf("nothing from %s reaches the %s", flow, host)
		}
	}
	return nil
}

func (o Oracle) judge(before, after Counts, removed Layers) Observation {
	var seen Observation
	for _, flow := range Flows() {
		for host, cuts := range flow.Seen {
			at := place{flow.Name, host}
			n := after[at] - before[at]
			if n == 0 {
				continue
			}
			sentence := fmt.Sprintf("%d packets of %s seen at the %s (%s at %d packets a second)", n, flow.Name, host,
				time.Duration(float64(n)/float64(o.World.Rate)*float64(time.Second)).Round(time.Millisecond), o.World.Rate)
			if excused(removed, cuts) {
				seen.Exposed = append(seen.Exposed, sentence)
			} else {
				seen.Leaked = append(seen.Leaked, fmt.Sprintf("%s, although only %s was gone", sentence, removed))
			}
		}
	}
	return seen
}

func excused(removed Layers, cuts []Layers) bool {
	for _, cut := range cuts {
		if removed.hold(cut) {
			return true
		}
	}
	return false
}

// Shrink looks for a shorter sequence that leaks, too: it leaves out one fault after another. The sequence
// must leak itself.
func (o Oracle) Shrink(faults []Fault) ([]Fault, error) {
	for i := 0; i < len(faults); {
		shorter := append(append([]Fault{}, faults[:i]...), faults[i+1:]...)
		seen, err := o.Suffer(shorter)
		if err != nil {
			return faults, err
		}
		if seen.Err() != nil {
			faults = shorter
		} else {
			i++
		}
	}
	return faults, nil
}

// Names are the faults' names, in their order.
func Names(faults []Fault) string {
	names := make([]string, len(faults))
	for i, fault := range faults {
		names[i] = fault.Name
	}
	return strings.Join(names, "; ")
}
