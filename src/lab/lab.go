// Package lab runs the whole product on one machine: the release as bosh builds it, the manifest as an
// operator renders it, every VM as a host with namespaces of its own, each org's customer behind an
// internet, and real packets between them.
//
// It is no director and must not become one: it does one manifest, in one AZ, with explicit links. What
// it does not do it says.
package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"privnet/atomicfile"
	"privnet/lab/host"
	"privnet/lab/network"
	"privnet/lab/promise"
	"privnet/lab/vm"
)

// Options are what a lab can be varied in.
type Options struct {
	// Requests are the customers' request files, one an org.
	Requests []string
	// Release is a release's tarball; if empty, the repository's own is made.
	Release string
	// IKE is 1 or 2, or empty for what each request says.
	IKE string
	// NAT puts each customer's endpoint behind a NAT.
	NAT bool
	// GatewayNAT gives each gateway one NIC and has the IaaS map its public address.
	GatewayNAT bool
}

// Lab is one lab, running or not. Root is the repository's directory.
type Lab struct {
	Root string
	Out  io.Writer
}

// state is what is known of a running lab. It is written when all hosts run; how to take a lab down is
// never learnt from it.
type state struct {
	Options Options
	// Texts are what the request files said.
	Texts    []string
	DataPath string
	// Userland says that ESP is not the kernel's.
	Userland bool
	Map      network.Map
	// Jobs are those of each host.
	Jobs map[string][]string
}

// ErrNotRunning says that there is no complete lab.
var ErrNotRunning = errors.New("no lab is running; start one with: sudo scripts/lab up")

func (l Lab) dir() string { return filepath.Join(l.Root, "tmp", "lab") }

func (l Lab) file(parts ...string) string {
	return filepath.Join(append([]string{l.dir()}, parts...)...)
}

// lock makes sure that one command at a time changes the lab.
func (l Lab) lock() (unlock func(), err error) {
	if err := os.MkdirAll(l.dir(), 0o755); err != nil {
		return nil, fmt.Errorf("making the lab's directory: %w", err)
	}
	file, err := os.OpenFile(l.file("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the lab: %w", err)
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.New("another scripts/lab is at work on this lab; wait for it, or end it first")
	}
	return func() { file.Close() }, nil
}

// What is kept beside the hosts: the manifest as a director shows it, and the variables' values.
const (
	deployedFile  = "deployed.yml"
	variablesFile = "variables.yml"
)

func (l Lab) load() (state, error) {
	data, err := os.ReadFile(l.file("state.json"))
	if os.IsNotExist(err) {
		return state{}, ErrNotRunning
	}
	if err != nil {
		return state{}, fmt.Errorf("reading the lab's state: %w", err)
	}
	var s state
	if err := json.Unmarshal(data, &s); err != nil {
		return state{}, fmt.Errorf("reading the lab's state: %w", err)
	}
	return s, nil
}

func (s state) save(file string) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err == nil {
		err = atomicfile.Write(file, data, 0o644)
	}
	if err != nil {
		return fmt.Errorf("keeping the lab's state: %w", err)
	}
	return nil
}

// org finds an org of the map.
func (s state) org(name string) network.Org {
	i := slices.IndexFunc(s.Map.Orgs, func(o network.Org) bool { return o.Name == name })
	return s.Map.Orgs[i]
}

// running returns the state and the hosts of a complete lab.
func (l Lab) running() (state, map[string]host.Host, error) {
	s, err := l.load()
	if err != nil {
		return state{}, nil, err
	}
	found, err := host.Find(l.dir())
	if err != nil {
		return state{}, nil, fmt.Errorf("finding the lab's hosts: %w", err)
	}
	hosts := map[string]host.Host{}
	for _, h := range found {
		hosts[h.Name] = h
	}
	for _, name := range s.Map.Hosts() {
		if _, ok := hosts[name]; !ok {
			return state{}, nil, fmt.Errorf("the host %s has ended; start again with: sudo scripts/lab down && sudo scripts/lab up", name)
		}
	}
	return s, hosts, nil
}

// Down ends the lab, however it came to be in the state that it is in, and removes what it left.
func (l Lab) Down(ctx context.Context) error {
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	return l.clear(ctx)
}

func (l Lab) clear(ctx context.Context) error {
	if err := host.EndAll(ctx, l.dir()); err != nil {
		return err
	}
	for _, name := range []string{"state.json", "orgs", "rendered", "bin", "requests", "platform.yml", deployedFile, variablesFile} {
		if err := os.RemoveAll(l.file(name)); err != nil {
			return fmt.Errorf("removing the lab's files: %w", err)
		}
	}
	return nil
}

// Check measures the promises on the running lab.
func (l Lab) Check(ctx context.Context) ([]promise.Promise, error) {
	s, hosts, err := l.running()
	if err != nil {
		return nil, err
	}
	return promise.Check(ctx, promise.World{Dir: l.dir(), Map: s.Map, Hosts: hosts}), nil
}

// Status prints the hosts, what monit says of their jobs, and what the gateway's prober says of the
// connection.
func (l Lab) Status(ctx context.Context) error {
	s, hosts, err := l.running()
	if err != nil {
		return err
	}
	fmt.Fprintf(l.Out, "The lab runs with %s.\n\n", s.DataPath)
	for _, name := range s.Map.Hosts() {
		addresses, err := hosts[name].Run(ctx, "sh", "-c", "ip -4 -o addr show scope global | awk '{print $4}' | xargs")
		if err != nil {
			return err
		}
		fmt.Fprintf(l.Out, "%-36s %s", name, addresses)
		if len(s.Jobs[name]) == 0 {
			continue
		}
		_, processes, err := vm.VM{Host: hosts[name], Jobs: s.Jobs[name]}.Summary(ctx)
		if err != nil {
			fmt.Fprintf(l.Out, "    %s\n", err)
		}
		for _, p := range processes {
			fmt.Fprintf(l.Out, "    %-24s %s\n", p.Name, p.Status)
		}
	}
	for name, jobs := range s.Jobs {
		if strings.Contains(strings.Join(jobs, " "), "ipsec-gateway") {
			out, _ := hosts[name].Run(ctx, proberStatus, "status")
			fmt.Fprintf(l.Out, "\n%s: %s\n%s", name, proberStatus, out)
		}
	}
	return nil
}

const proberStatus = "/var/vcap/packages/privnet/bin/tunnel-prober"

// Host finds a running host by its name or by a part of it that no other host has.
func (l Lab) Host(part string) (host.Host, error) {
	found, err := host.Find(l.dir())
	if err != nil {
		return host.Host{}, err
	}
	var fits, names []string
	byName := map[string]host.Host{}
	for _, h := range found {
		byName[h.Name] = h
		names = append(names, h.Name)
		if strings.Contains(h.Name, part) {
			fits = append(fits, h.Name)
		}
	}
	switch {
	case len(names) == 0:
		return host.Host{}, ErrNotRunning
	case byName[part].PID != 0:
		return byName[part], nil
	case len(fits) != 1:
		return host.Host{}, fmt.Errorf("%q is not one host's name; the hosts are %s", part, strings.Join(names, ", "))
	}
	return byName[fits[0]], nil
}

// Logs prints the logs of a host, each under its name.
func (l Lab) Logs(part string) error {
	h, err := l.Host(part)
	if err != nil {
		return err
	}
	for _, pattern := range []string{"var/vcap/sys/log/*/*", "var/vcap/monit/*.log", "var/log/lab/*"} {
		files, err := filepath.Glob(filepath.Join(host.Disk(l.dir(), h.Name), pattern))
		if err != nil {
			return err
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("reading the logs of %s: %w", h.Name, err)
			}
			name, _ := filepath.Rel(host.Disk(l.dir(), h.Name), file)
			fmt.Fprintf(l.Out, "==> %s /%s\n%s\n", h.Name, name, data)
		}
	}
	return nil
}
