package lab

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	boshtemplate "github.com/cloudfoundry/bosh-cli/v7/director/template"

	"privnet/connection"
	"privnet/document"
	"privnet/lab/compile"
	"privnet/lab/host"
	"privnet/lab/network"
	"privnet/lab/vm"
	"privnet/onboard/ledger"
)

// Up makes a running lab of the requests, from whatever there was. A lab that runs with the same requests
// and options is left alone.
func (l Lab) Up(ctx context.Context, o Options) error {
	unlock, err := l.lock()
	if err != nil {
		return err
	}
	defer unlock()
	texts, err := readRequests(o)
	if err != nil {
		return err
	}
	if s, _, err := l.running(); err == nil && reflect.DeepEqual(s.Options, o) && slices.Equal(s.Texts, texts) {
		fmt.Fprintf(l.Out, "The lab is running already, with %s.\n", s.DataPath)
		return nil
	}
	if err := l.clear(ctx); err != nil {
		return err
	}
	// So that whatever is started from here on is found by Down, also after a crash of this process.
	if err := os.Setenv(host.Mark, l.dir()); err != nil {
		return err
	}
	r := run{Lab: l, options: o, state: state{Options: o, Texts: texts}, start: time.Now()}
	for _, step := range []struct {
		name string
		do   func(context.Context) (string, error)
	}{
		{"the data path", r.chooseDataPath},
		{"the release: blobs, bosh create-release", r.makeRelease},
		{"the plans for the customers' requests", r.makePlans},
		{"the manifest: ops-files, variables", r.makeManifest},
		{"the packages, by their packaging scripts", r.compile},
		{"the jobs' templates", r.render},
		{"the hosts and their networks", r.startHosts},
		{"the jobs: pre-start, monit, post-start", r.startJobs},
		{"the customers' sites, from the hand-off", r.startCustomers},
	} {
		if err := r.step(ctx, step.name, step.do); err != nil {
			return err
		}
	}
	return nil
}

// readRequests reads the requests; the texts tell some from others. The error has everything that is wrong
// in all of them.
func readRequests(o Options) (texts []string, problems error) {
	endpoints := map[netip.Addr]string{}
	for _, file := range o.Requests {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading the request: %w", err)
		}
		request, err := connection.ParseRequest(file, data)
		if other, taken := endpoints[request.Endpoint.Address]; taken && err == nil {
			err = fmt.Errorf("the lab does not do two endpoints with one address (%s and %s)", other, file)
		}
		endpoints[request.Endpoint.Address] = file
		problems = document.Join(problems, err)
		texts = append(texts, string(data))
	}
	return texts, problems
}

// run is one Up, or Deploy, on its way.
type run struct {
	Lab
	options Options
	// orgs are those of the ledger.
	orgs      []ledger.Entry
	state     state
	start     time.Time
	steps     int
	manifest  []byte
	variables boshtemplate.StaticVariables
	built     compile.Release
	machines  []machine
	hosts     map[string]host.Host
}

func (r *run) step(ctx context.Context, name string, do func(context.Context) (string, error)) error {
	r.steps++
	fmt.Fprintf(r.Out, "%d  %-42s ", r.steps, name)
	start := time.Now()
	detail, err := do(ctx)
	if err == nil {
		fmt.Fprintf(r.Out, "%5.1f s  %s\n", time.Since(start).Seconds(), detail)
		return nil
	}
	fmt.Fprintln(r.Out, "failed")
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted; what was started is still there, remove it with: sudo scripts/lab down")
	}
	return fmt.Errorf("%s: %w", name, err)
}

// chooseDataPath asks the kernel itself, in a network of its own, whether it has ESP.
func (r *run) chooseDataPath(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "unshare", "--net", "ip", "xfrm", "state", "add", "src", "192.0.2.1", "dst", "192.0.2.2",
		"proto", "esp", "spi", "0x100", "mode", "tunnel", "enc", "cbc(aes)", "0x00112233445566778899aabbccddeeff").CombinedOutput()
	if err == nil {
		r.state.DataPath = "the kernel's ESP (this kernel has it)"
		return r.state.DataPath, nil
	}
	r.state.Userland = true
	r.state.DataPath = fmt.Sprintf("ESP in userland (this kernel has none; ip xfrm says: %s)", strings.TrimPrefix(lastLine(out), "Error: "))
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		return "", fmt.Errorf("this kernel has no ESP, and ESP in userland needs /dev/net/tun, which this machine lacks")
	}
	return r.state.DataPath, nil
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// tool runs one of the repository's own commands. What it says is kept in a log.
func (r *run) tool(ctx context.Context, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(r.Root, name), args...)
	cmd.Dir = r.Root
	out, err := cmd.CombinedOutput()
	log := r.file(filepath.Base(name) + ".log")
	if writeErr := os.WriteFile(log, out, 0o644); writeErr != nil {
		return fmt.Errorf("keeping the log: %w", writeErr)
	}
	if err != nil {
		lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
		return fmt.Errorf("%s: %w; the end of %s:\n%s", name, err, log, bytes.Join(lines[max(0, len(lines)-15):], []byte("\n")))
	}
	return nil
}

func (r *run) makeRelease(ctx context.Context) (string, error) {
	if r.options.Release != "" {
		return "made before: " + r.options.Release, nil
	}
	return "", r.tool(ctx, "scripts/create-release", "--tarball", r.file("release.tgz"))
}

// makePlans gives privnet the requests as the customers wrote them, unless an option changes them.
func (r *run) makePlans(ctx context.Context) (string, error) {
	platform, args := r.example("platform.yml"), []string{"plan", "--orgs", r.file("orgs")}
	if r.options.GatewayNAT {
		from := platform
		platform = r.file("platform.yml")
		if err := override(from, platform, map[string]any{"gateway_address": "nat", "public_network": nil}); err != nil {
			return "", err
		}
	}
	for i, request := range r.options.Requests {
		if r.options.IKE != "" {
			from := request
			request = r.file("requests", fmt.Sprintf("%d.yml", i+1))
			if err := override(from, request, map[string]any{"ike": r.options.IKE}); err != nil {
				return "", err
			}
		}
		args = append(args, "--request", request)
	}
	if err := r.tool(ctx, "bin/privnet", append(args, "--platform", platform)...); err != nil {
		return "", err
	}
	if err := r.readLedger(); err != nil {
		return "", err
	}
	var found []string
	for _, o := range r.orgs {
		found = append(found, fmt.Sprintf("%s: segment %s, gateway %s, dedicated cells: %d",
			o.Plan.Name, o.Plan.Segment[0].CIDR, o.Plan.Gateways[0].PublicAddress, o.Plan.Cells))
	}
	return strings.Join(found, "; "), r.tool(ctx, "bin/privnet", "render", "--all", "--platform", platform, "--manifest", r.example("manifest.yml"),
		"--orgs", r.file("orgs"), "--out", r.file("rendered"), "--shared-cell-guard")
}

func (r *run) readLedger() (err error) {
	r.orgs, err = ledger.New(r.file("orgs")).Entries(func(document.Value) {})
	return err
}

func (r *run) example(name string) string { return filepath.Join(r.Root, "manifests", "lab", name) }

func (r *run) compile(ctx context.Context) (detail string, err error) {
	tarball := cmp.Or(r.options.Release, r.file("release.tgz"))
	r.built, err = compile.Compile(ctx, tarball, r.file("cache"), func(string) {})
	return fmt.Sprintf("%s/%s", r.built.Name, r.built.Version), err
}

func (r *run) render(ctx context.Context) (detail string, err error) {
	if err := r.makeMachines(ctx); err != nil {
		return "", err
	}
	r.state.Map = network.Map{GatewayNAT: r.options.GatewayNAT, CustomerNAT: r.options.NAT}
	for i, o := range r.orgs {
		services, err := network.Services(o.Plan.Name, o.Request.PrivateNetworks, o.Request.Probes)
		if err != nil {
			return "", err
		}
		gateway := o.Plan.Gateways[0]
		r.state.Map.Orgs = append(r.state.Map.Orgs, network.Org{
			Name: o.Plan.Name, Number: i + 1, Segment: o.Plan.Segment[0].CIDR, SegmentHop: o.Plan.Segment[0].Router(),
			Gateway: gateway.Address, GatewayPublic: gateway.PublicAddress, Endpoint: o.Request.Endpoint.Address, Services: services,
		})
	}
	r.state.Jobs = map[string][]string{}
	for _, m := range r.machines {
		r.state.Map.VMs = append(r.state.Map.VMs, m.VM)
		if len(m.jobs) > 0 {
			r.state.Jobs[m.Host] = slices.Sorted(maps.Keys(m.jobs))
		}
	}
	return fmt.Sprintf("%d VMs", len(r.machines)), nil
}

func (r *run) startHosts(ctx context.Context) (string, error) {
	if err := r.installTool(); err != nil {
		return "", err
	}
	tools := host.Mount{Source: r.file("bin"), Target: vm.Tools}
	mounts := map[string][]host.Mount{}
	for _, m := range r.machines {
		for _, p := range m.packages {
			mounts[m.Host] = append(mounts[m.Host], host.Mount{Source: r.built.Packages[p], Target: "/var/vcap/packages/" + p})
		}
	}
	r.hosts = map[string]host.Host{}
	for _, name := range r.state.Map.Hosts() {
		h, err := host.Start(ctx, r.dir(), name, append(mounts[name], tools)...)
		if err != nil {
			return "", err
		}
		r.hosts[name] = h
	}
	wires, machines := network.Describe(r.state.Map)
	if err := network.Apply(ctx, r.hosts, wires, machines); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d hosts", len(r.hosts)), r.serve(ctx)
}

// installTool keeps a copy of this program for the hosts, which a new build does not change.
func (r *run) installTool() error {
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("reading the lab's own program: %w", err)
	}
	if err := os.MkdirAll(r.file("bin"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(r.file("bin", "lab"), program, 0o755)
}

// serve starts what answers requests: apps, services, and the router, which forwards to an app of each org.
func (r *run) serve(ctx context.Context) error {
	args := map[string][]string{network.SharedHost: {"--listen", ":80"}, network.RouterHost: {"--listen", ":80"}}
	for _, vm := range r.state.Map.VMs {
		if vm.App != "" {
			args[vm.App] = []string{"--listen", fmt.Sprintf(":%d", network.AppPort)}
		}
	}
	for i, o := range r.state.Map.Orgs {
		for _, s := range o.Services {
			args[s.Host] = []string{"--listen", ":80"}
			for _, probe := range r.orgs[i].Request.Probes {
				if s.Network.Contains(probe.Address) && probe.Port != 0 && probe.Port != 80 {
					args[s.Host] = append(args[s.Host], "--listen", fmt.Sprintf(":%d", probe.Port))
				}
			}
		}
		for _, cell := range r.state.Map.Cells(o.Segment)[:1] {
			app := netip.AddrPortFrom(cell.Addresses[0], network.CellPort)
			args[network.RouterHost] = append(args[network.RouterHost], "--forward", fmt.Sprintf("%s=http://%s", o.Name, app))
		}
	}
	for name, arguments := range args {
		if err := r.hosts[name].Spawn(ctx, "/var/log/lab/serve.log", vm.Tools+"/lab", append([]string{"serve"}, arguments...)...); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) startJobs(ctx context.Context) (string, error) {
	var vms []vm.VM
	count := 0
	for _, m := range r.machines {
		if err := vm.Install(host.Disk(r.dir(), m.Host), m.jobs); err != nil {
			return "", err
		}
		vms = append(vms, vm.VM{Host: r.hosts[m.Host], Jobs: r.state.Jobs[m.Host]})
		count += len(m.jobs)
	}
	return fmt.Sprintf("%d jobs", count), vm.Start(ctx, vms)
}

func (r *run) startCustomers(ctx context.Context) (string, error) {
	var versions []string
	for _, o := range r.orgs {
		if err := r.configureEndpoint(o); err != nil {
			return "", err
		}
		if err := startEndpoint(ctx, r.hosts[r.state.org(o.Plan.Name).EndpointHost()]); err != nil {
			return "", err
		}
		versions = append(versions, "IKEv"+string(o.Request.IKE))
	}
	return fmt.Sprintf("%s, up after %.0f s in all", strings.Join(versions, " and "), time.Since(r.start).Seconds()), r.state.save(r.file("state.json"))
}
