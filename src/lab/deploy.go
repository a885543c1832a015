package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"privnet/lab/host"
	"privnet/lab/network"
	"privnet/lab/vm"
	"privnet/onboard/ledger"
)

// Deploy brings the running lab to what is rendered for the orgs of the ledger, as `bosh deploy` does: VMs
// that are no more go, VMs of which a rendered file has changed are drained, stopped and started, one after
// the other, and all others are left alone. It makes no VM.
func (l Lab) Deploy(ctx context.Context) error {
	r, unlock, err := l.resume()
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := r.makeManifest(ctx); err != nil {
		return err
	}
	if _, err := r.compile(ctx); err != nil {
		return err
	}
	if err := r.makeMachines(ctx); err != nil {
		return err
	}
	if err := r.deleteVMs(ctx); err != nil {
		return err
	}
	for _, m := range r.machines {
		h, ok := r.hosts[m.Host]
		if !ok {
			return fmt.Errorf("the lab does not do another VM (%s) while it runs; start anew with: sudo scripts/lab up", m.Host)
		}
		disk := host.Disk(r.dir(), m.Host)
		changed := changedJobs(disk, m.jobs)
		if len(changed) == 0 {
			fmt.Fprintf(r.Out, "unchanged  %s\n", m.Host)
			continue
		}
		if err := (vm.VM{Host: h, Jobs: r.state.Jobs[m.Host]}).Update(ctx, disk, m.jobs); err != nil {
			return err
		}
		fmt.Fprintf(r.Out, "restarted  %s: %s\n", m.Host, changed)
	}
	return r.state.save(r.file("state.json"))
}

// Follow lets a customer do on its endpoint what the hand-off page of today says, with the newest key.
func (l Lab) Follow(ctx context.Context, org string) error {
	r, unlock, err := l.resume()
	if err != nil {
		return err
	}
	defer unlock()
	entry := ledger.Find(r.orgs, org)
	if entry == nil || !slices.ContainsFunc(r.state.Map.Orgs, func(o network.Org) bool { return o.Name == org }) {
		return fmt.Errorf("the running lab has no org %q with a gateway; see: sudo scripts/lab status", org)
	}
	deployed, err := os.ReadFile(r.file(deployedFile))
	if err != nil {
		return fmt.Errorf("reading what is deployed: %w", err)
	}
	if err := r.generate(deployed); err != nil {
		return err
	}
	if err := r.configureEndpoint(*entry); err != nil {
		return err
	}
	endpoint := r.hosts[r.state.org(org).EndpointHost()]
	_, err = endpoint.Run(ctx, "sh", "-c", reopen)
	return err
}

// reopen is what a device does that is given another configuration: it closes what it has, and opens it anew.
// The gateway refuses a new key once, before it takes it.
const reopen = `swanctl --list-sas | sed -n 's/^\([^ ]*\): #.*/\1/p' | sort -u | while read -r ike; do swanctl --terminate --ike "$ike"; done
swanctl --load-all || exit 1
for try in 1 2 3 4 5 6; do
  missing=
  for child in $(swanctl --list-conns | sed -n 's/^  *\([^ ]*\): TUNNEL.*/\1/p'); do
    swanctl --list-sas | grep -q "^ *$child: .*INSTALLED" || swanctl --initiate --child "$child" --timeout 10 || missing=$child
  done
  [ -n "$missing" ] || exit 0
  sleep 1
done
exit 1`

// resume is a run on the running lab.
func (l Lab) resume() (*run, func(), error) {
	unlock, err := l.lock()
	if err != nil {
		return nil, nil, err
	}
	r := run{Lab: l}
	if r.state, r.hosts, err = l.running(); err == nil {
		r.options = r.state.Options
		err = r.readLedger()
	}
	if err != nil {
		unlock()
		return nil, nil, err
	}
	return &r, unlock, nil
}

// deleteVMs ends the VMs that the manifest has no more, and forgets an org whose gateway is among them. The
// customer's site stays as it is.
func (r *run) deleteVMs(ctx context.Context) error {
	gone := func(v network.VM) bool {
		return !slices.ContainsFunc(r.machines, func(m machine) bool { return m.Host == v.Host })
	}
	for _, v := range r.state.Map.VMs {
		if !gone(v) {
			continue
		}
		for _, name := range []string{v.App, v.Host} {
			if h, ok := r.hosts[name]; ok {
				if err := h.End(ctx, r.dir()); err != nil {
					return err
				}
			}
		}
		delete(r.state.Jobs, v.Host)
		r.state.Map.Orgs = slices.DeleteFunc(r.state.Map.Orgs, func(o network.Org) bool { return slices.Contains(v.Addresses, o.Gateway) })
		fmt.Fprintf(r.Out, "deleted    %s\n", v.Host)
	}
	r.state.Map.VMs = slices.DeleteFunc(r.state.Map.VMs, gone)
	return nil
}

// changedJobs are the jobs of which a file is not as it is on the disk.
func changedJobs(disk string, jobs map[string]map[string][]byte) []string {
	var out []string
	for job, files := range jobs {
		for path, content := range files {
			if have, err := os.ReadFile(filepath.Join(disk, "var/vcap/jobs", job, path)); err != nil || !bytes.Equal(have, content) {
				out = append(out, job)
				break
			}
		}
	}
	slices.Sort(out)
	return out
}
