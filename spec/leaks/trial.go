package leaks

import (
	"fmt"
	"io"
	"math/rand"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
	"time"
)

// Trial is a whole run of the oracle: each fault alone, then random sequences of them.
type Trial struct {
	Settings
	// Dwell is how long a fault lasts.
	Dwell time.Duration
	// Seed chooses the sequences: the same one, the same sequences.
	Seed              int64
	Sequences, Length int
	// Packets is how many must be sent at least; sequences go on until then.
	Packets uint64
	// Only, a regular expression, chooses among the single faults.
	Only string
	// Control is a run without enforcers, in which every flow must be seen where none may be.
	Control bool
	Out     io.Writer
}

// Run fails with what leaked, after the last line of its report.
func (t Trial) Run() error {
	only, err := regexp.Compile(t.Only)
	if err != nil {
		return fmt.Errorf("reading -only: %w", err)
	}
	faults := Faults(t.Settings)
	if !slices.ContainsFunc(faults, func(f Fault) bool { return only.MatchString(f.Name) }) {
		return fmt.Errorf("reading -only: %q fits no fault; those of these settings are: %s", t.Only, Names(faults))
	}
	world, err := NewWorld(t.Settings)
	defer world.Close()
	if err != nil {
		return err
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-ended
		// Hosts and what runs in them would stay.
		world.Close()
		os.Exit(1)
	}()
	if t.Control {
		return t.control(world)
	}
	if err := world.StartEnforcers(); err != nil {
		return err
	}
	stop, err := world.sendAll()
	if err != nil {
		return err
	}
	began := time.Now()
	oracle := Oracle{World: world, Dwell: t.Dwell, Out: t.Out}
	leaks, runs, failed := 0, 0, oracle.recover()
	suffer := func(faults []Fault) {
		var seen Observation
		seen, failed = oracle.Suffer(faults)
		runs++
		leaks += len(seen.Leaked)
		t.tell(faults, seen)
		if seen.Err() != nil && len(faults) > 1 && failed == nil {
			shorter, _ := oracle.Shrink(faults)
			fmt.Fprintf(t.Out, "  shrunk: %s\n", Names(shorter))
		}
	}
	for _, fault := range faults {
		if failed == nil && only.MatchString(fault.Name) {
			suffer([]Fault{fault})
		}
	}
	random := rand.New(rand.NewSource(t.Seed))
	enough := func(n int) bool {
		return n >= t.Sequences && uint64(time.Since(began).Seconds()*float64(t.Rate*len(Flows()))) >= t.Packets
	}
	for n := 0; failed == nil && !enough(n); n++ {
		sequence := make([]Fault, t.Length)
		for i := range sequence {
			sequence[i] = faults[random.Intn(len(faults))]
		}
		suffer(sequence)
	}
	sent, err := stop()
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(t.Out, "%s, %s: %d leaks in %d packets, %d runs, seed %d, %s\n", t.DataPath, t.Backend, leaks, sent, runs, t.Seed, time.Since(began).Round(time.Second))
	if leaks > 0 {
		return fmt.Errorf("%d leaks", leaks)
	}
	return nil
}

func (t Trial) tell(faults []Fault, seen Observation) {
	verdict := "ok"
	if len(seen.Leaked) > 0 {
		verdict = "LEAK"
	}
	fmt.Fprintf(t.Out, "%-4s %s\n", verdict, Names(faults))
	for _, sentence := range seen.Leaked {
		fmt.Fprintln(t.Out, "  "+sentence)
	}
	for _, sentence := range seen.Exposed {
		fmt.Fprintln(t.Out, "  exposed: "+sentence)
	}
}
