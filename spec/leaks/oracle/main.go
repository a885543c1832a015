// Command oracle provokes leaks and counts them; see package leaks. It needs root.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"private-network-release/spec/leaks"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) == 3 && os.Args[1] == "send" {
		var stream leaks.Stream
		if err := json.Unmarshal([]byte(os.Args[2]), &stream); err != nil {
			return fmt.Errorf("reading what to send: %w", err)
		}
		return leaks.Send(stream, os.Stdin, os.Stdout)
	}
	oracle, err := filepath.Abs(os.Args[0])
	if err != nil {
		return fmt.Errorf("finding the oracle itself: %w", err)
	}
	trial := leaks.Trial{Settings: leaks.Settings{Oracle: oracle}, Out: os.Stdout}
	flag.StringVar(&trial.Enforcer, "enforcer", "", "the program egress-enforcer")
	flag.StringVar(&trial.StrongSwan, "strongswan", "/var/vcap/packages/strongswan", "the directory of the release's strongSwan")
	flag.StringVar(&trial.DataPath, "data-path", "userland", "what encrypts: kernel or userland")
	flag.StringVar(&trial.Backend, "backend", "nft", "what holds the rules: nft or legacy (iptables' variants), or nftables")
	flag.StringVar(&trial.Former, "former", "", "an egress-enforcer of another version, to upgrade from")
	flag.IntVar(&trial.Swaps, "swaps", 8, "how often a policy is swapped for another in one fault")
	flag.IntVar(&trial.Rate, "rate", 200, "packets a second of each flow")
	flag.DurationVar(&trial.Interval, "interval", time.Second, "how often the enforcers look by themselves")
	flag.DurationVar(&trial.Dwell, "dwell", 300*time.Millisecond, "how long a fault lasts before the next")
	flag.Int64Var(&trial.Seed, "seed", 1, "chooses the sequences")
	flag.IntVar(&trial.Sequences, "sequences", 4, "how many sequences of faults, after each single one")
	flag.IntVar(&trial.Length, "length", 4, "faults in a sequence")
	flag.Uint64Var(&trial.Packets, "packets", 0, "goes on with sequences until so many packets were sent")
	flag.StringVar(&trial.Only, "only", "", "a regular expression: of the single faults only those whose names fit")
	flag.BoolVar(&trial.Control, "control", false, "without the enforcers: everything must leak")
	flag.Parse()
	if trial.Enforcer == "" && !trial.Control {
		return errors.New("give -enforcer, the path of egress-enforcer")
	}
	return trial.Run()
}
