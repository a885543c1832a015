// Command onboarding measures plan and render for growing numbers of orgs, beside what bosh int takes to
// apply the ops-files that came out. It prints the table of docs/operating.md:
//
//	scripts/build && go run ./spec/figures/onboarding CF-DEPLOYMENT/cf-deployment.yml [ORGS ...]
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
		return fmt.Errorf("give the manifest, and the numbers of orgs if not 1, 100 and 1000")
	}
	manifest, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	counts := args[1:]
	if len(counts) == 0 {
		counts = []string{"1", "100", "1000"}
	}
	fmt.Println("| orgs | plan | plan again | render | one more org | bosh int | ops-file of one org |")
	fmt.Println("|---|---|---|---|---|---|---|")
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
	render := []string{"render", "--all", "--platform", "platform.yml", "--manifest", manifest}
	first, last := requests[:2*n], requests[2*n:]
	steps := [][]string{
		append(append([]string{"privnet"}, plan...), first...),
		append(append([]string{"privnet"}, plan...), first...),
		append([]string{"privnet"}, render...),
		append(append([]string{"privnet"}, plan...), last...),
		append([]string{"bosh", "int", manifest}, ops[:2*n]...),
	}
	fmt.Printf("| %d ", n)
	for _, step := range steps {
		took, memory, err := run(dir, step)
		if err != nil {
			return err
		}
		fmt.Printf("| %.2f s, %d MB ", took.Seconds(), memory>>20)
	}
	info, err := os.Stat(filepath.Join(dir, "rendered", "agency-0", "ops.yml"))
	if err != nil {
		return err
	}
	fmt.Printf("| %d bytes |\n", info.Size())
	return nil
}

// run takes a command of bin/ and returns how long it ran and its largest resident size in bytes.
func run(dir string, args []string) (time.Duration, int64, error) {
	binary, err := filepath.Abs(filepath.Join("bin", args[0]))
	if err != nil {
		return 0, 0, err
	}
	command := exec.Command(binary, args[1:]...)
	command.Dir, command.Stderr = dir, os.Stderr
	start := time.Now()
	if err := command.Run(); err != nil {
		return 0, 0, fmt.Errorf("running %s %s: %w", args[0], args[1], err)
	}
	usage := command.ProcessState.SysUsage().(*syscall.Rusage)
	return time.Since(start), usage.Maxrss << 10, nil
}
