// Command onboarding measures plan, render and verify for growing numbers of orgs, beside what bosh int takes
// to apply the ops-files that came out: seconds on the clock, seconds of the processors, largest resident
// memory. It prints the tables of docs/operating.md and docs/verify.md:
//
//	scripts/build && go run ./spec/bench/onboarding CF-DEPLOYMENT/cf-deployment.yml [ORGS ...]
package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const platform = `iaas: vsphere
networks: [10.0.0.0/16]
segments: [{az: z1, cidr: 10.64.0.0/12}]
public_addresses: [203.0.112.0/20]
public_network: public
`

const request = `org: Agency %d
endpoint: {address: 198.51.100.10, device: paloalto}
private_networks: [10.150.0.0/16, 172.30.8.0/22]
apps: 40
`

func main() {
	if err := measure(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func measure(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("give the manifest, and the numbers of orgs if not 1, 100, 500 and 2000")
	}
	manifest, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	counts := args[1:]
	if len(counts) == 0 {
		counts = []string{"1", "100", "500", "2000"}
	}
	fmt.Println("| orgs | plan | plan again | render | bosh int | verify | one more org | ops-file of one org |")
	fmt.Println("|---|---|---|---|---|---|---|---|")
	for _, count := range counts {
		n, err := strconv.Atoi(count)
		if err != nil {
			return fmt.Errorf("reading the number of orgs: %w", err)
		}
		if err := row(manifest, n); err != nil {
			return fmt.Errorf("measuring %d orgs: %w", n, err)
		}
	}
	return nil
}

func row(manifest string, n int) error {
	dir, err := os.MkdirTemp("", "onboarding-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "platform.yml"), []byte(platform), 0o644); err != nil {
		return err
	}
	var requests, ops []string
	for i := range n + 1 {
		file := fmt.Sprintf("%d.yml", i)
		if err := os.WriteFile(filepath.Join(dir, file), fmt.Appendf(nil, request, i), 0o644); err != nil {
			return err
		}
		requests = append(requests, "--request", file)
		ops = append(ops, "-o", fmt.Sprintf("rendered/agency-%d/ops.yml", i))
	}
	plan := []string{"plan", "--platform", "platform.yml"}
	render := []string{"render", "--all", "--shared-cell-guard", "--platform", "platform.yml", "--manifest", manifest}
	first, last := requests[:2*n], requests[2*n:]
	steps := [][]string{
		append(append([]string{"privnet"}, plan...), first...),
		append(append([]string{"privnet"}, plan...), first...),
		append([]string{"privnet"}, render...),
		append([]string{"bosh", "int", manifest, "-o", "rendered/shared-cell-guard.yml"}, ops[:2*n]...),
		{"privnet", "verify", "--platform", "platform.yml", "--manifest", interpolated},
		append(append([]string{"privnet"}, plan...), last...),
	}
	fmt.Printf("| %d ", n)
	for _, step := range steps {
		used, err := run(dir, step)
		if err != nil {
			return err
		}
		fmt.Printf("| %.2f s (%.2f s), %d MB ", used.clock.Seconds(), used.processors.Seconds(), used.memory>>20)
	}
	info, err := os.Stat(filepath.Join(dir, "rendered", "agency-0", "ops.yml"))
	if err != nil {
		return err
	}
	fmt.Printf("| %d bytes |\n", info.Size())
	return nil
}

// interpolated is the file that bosh int fills.
const interpolated = "all.yml"

// usage is what a command took; memory is in bytes.
type usage struct {
	clock, processors time.Duration
	memory            int64
}

// run runs a command of bin/.
func run(dir string, args []string) (usage, error) {
	binary, err := filepath.Abs(filepath.Join("bin", args[0]))
	if err != nil {
		return usage{}, err
	}
	command := exec.Command(binary, args[1:]...)
	command.Dir, command.Stderr = dir, os.Stderr
	if args[0] == "bosh" {
		file, err := os.Create(filepath.Join(dir, interpolated))
		if err != nil {
			return usage{}, err
		}
		defer file.Close()
		command.Stdout = file
	}
	start := time.Now()
	if err := command.Run(); err != nil {
		return usage{}, fmt.Errorf("running %s %s: %w", args[0], args[1], err)
	}
	state := command.ProcessState
	return usage{time.Since(start), state.UserTime() + state.SystemTime(), state.SysUsage().(*syscall.Rusage).Maxrss << 10}, nil
}
