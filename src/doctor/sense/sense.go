// Package sense observes one VM for the doctor: the jobs' configuration and processes, the enforcer's
// word, the kernel's addresses and routes, charon and its log, the wire, the declared targets. It changes
// nothing and opens no tunnel; the only packets that it sends are those to the declared targets, on a cell
// some with a small time to live towards the private networks and questions to the DNS servers of the private
// domains, and one for the gateway's link address.
package sense

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"

	boshlog "github.com/cloudfoundry/bosh-utils/logger"
	boshsys "github.com/cloudfoundry/bosh-utils/system"

	"privnet/connection"
	"privnet/doctor"
	"privnet/doctor/signature"
	"privnet/ipsec"
	"privnet/ipsec/fips"
	"privnet/ipsec/gateway"
	"privnet/ipsec/vici"
	"privnet/probe"
	"privnet/probe/check"
	"privnet/probe/coverage"
	"privnet/probe/health"
)

// Load reads the job's doctor.json.
func Load(path string) (doctor.Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return doctor.Config{}, fmt.Errorf("reading the doctor's configuration: %w", err)
	}
	return doctor.ParseConfig(path, data)
}

// Senses are where the doctor looks.
type Senses struct {
	// Gateway are the paths of the job ipsec-gateway.
	Gateway gateway.Paths
	// Log is charon's log, as ipsec-gateway writes it.
	Log string
	// Enforcer is the egress enforcer's status file.
	Enforcer string
	// Jobs and PIDs are BOSH's directory of jobs and bpm's of pid files.
	Jobs, PIDs string
	// Resolver is the apps' and the VM's: bosh-dns.
	Resolver netip.AddrPort
}

// DefaultSenses are those on a VM.
func DefaultSenses() Senses {
	return Senses{
		Gateway:  gateway.DefaultPaths(),
		Log:      "/var/vcap/sys/log/ipsec-gateway/ipsec-gateway.stdout.log",
		Enforcer: "/var/vcap/sys/run/egress-enforcer/status.json",
		Jobs:     "/var/vcap/jobs",
		PIDs:     "/var/vcap/sys/run/bpm",
		Resolver: netip.MustParseAddrPort("169.254.0.2:53"),
	}
}

// Job is the gateway's own job, whose commands look at its configuration; its log is nobody's here.
func (s Senses) Job() gateway.Gateway {
	return gateway.Gateway{
		Paths: s.Gateway, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		CheckFIPS: func() error { return fips.Check(boshsys.NewExecCmdRunner(boshlog.NewLogger(boshlog.LevelNone))) },
	}
}

const (
	// patience is how long charon may take.
	patience = 5 * time.Second
	// answer is how long a target may take, and tries how often it is asked.
	answer = 2 * time.Second
	tries  = 2
	// settling is how long charon may take to hold its configuration.
	settling = 2 * time.Second
)

// Observe gathers all evidence once.
func (s Senses) Observe(ctx context.Context, c doctor.Config) doctor.Evidence {
	e := doctor.Evidence{
		Role: c.Role, Connection: c.Connection, Source: c.Source,
		Services: s.services(), Network: s.network(c), Enforcement: s.enforcement(),
	}
	if c.Role == doctor.Cell {
		e.Cell = &doctor.CellEvidence{}
		e.Cell.Names, e.Cell.NamesProblem = s.names(ctx, c.Source)
		e.Cell.Tags, e.Cell.TagsProblem = s.tags()
		e.Cell.Apps, e.Cell.AppsProblem = apps(ctx)
	}
	carries := true
	if c.Role == doctor.Gateway {
		e.IKE, e.Configuration = s.ike(ctx, c)
		carries = slices.ContainsFunc(c.Connection.Pairs(), func(p connection.Pair) bool {
			return coverage.Of(p, c.Connection.Endpoints, e.IKE.SAs).Extent != health.Nothing
		})
	}
	if carries {
		damaged := damagedESP()
		spis := overhear(ctx, func() { e.Probes = probes(ctx, c) })
		if e.IKE != nil {
			e.IKE.SPIs, e.IKE.Damaged = spis, damagedESP()-damaged
		}
		e.PathMTU = pathMTU(c, e.Probes)
	}
	if e.IKE != nil && e.IKE.Problem == "" {
		e.IKE.Before = e.IKE.SAs
		if sas, err := listSAs(ctx, s.Gateway.Socket()); err == nil {
			e.IKE.SAs = sas
		}
	}
	e.Now = time.Now()
	return e
}

// Agreed is what charon's log is compared with: the connection, and the gateway's configuration where that
// can be read.
func Agreed(c doctor.Config, job ipsec.Config) signature.Expect {
	out := signature.Expect{
		Endpoints: c.Connection.Endpoints, Segment: c.Connection.Segment,
		PrivateNetworks: c.Connection.PrivateNetworks, IKE: connection.IKEAuto,
		Userland: job.DataPath == connection.DataPathUserland,
	}
	if len(job.Connections) > 0 {
		out.IKE, out.Certificates = job.Connections[0].IKE, job.Connections[0].Certificates != nil
	}
	for _, g := range c.Connection.Gateways {
		if g.Address == c.Source {
			out.Gateway = g.PublicAddress
		}
	}
	return out
}

// ike asks charon and reads its log, and listens if neither tells what is wrong. problem is what is wrong
// with the gateway's configuration.
func (s Senses) ike(ctx context.Context, c doctor.Config) (out *doctor.IKE, problem string) {
	job, err := s.Job().Check()
	if err != nil {
		problem, job = err.Error(), ipsec.Config{}
	} else {
		problem = tooEarly(job, time.Now())
	}
	reader := signature.NewReader(Agreed(c, job))
	out = &doctor.IKE{Certificates: reader.Expect.Certificates}
	if err := readLog(s.Log, reader.Read); err != nil {
		out.LogProblem = err.Error()
	}
	s.askCharon(ctx, problem == "", out)
	up := slices.ContainsFunc(out.SAs, vici.SA.IsEstablished)
	if out.Problem == "" && !up && !told(reader) {
		out.Listened = c.Listen
		out.Wire, out.Stale = s.listen(ctx, c, reader)
		// What came between the reading and the listening is in the log only.
		again := signature.NewReader(reader.Expect)
		if readLog(s.Log, again.Read) == nil {
			reader = again
		}
		s.askCharon(ctx, problem == "", out)
	}
	out.Findings, out.Unknown = reader.Findings(time.Now()), reader.Unknown()
	out.Contacts = map[netip.Addr]signature.Contact{}
	for _, e := range c.Connection.Endpoints {
		out.Contacts[e.Address] = reader.Contact(e.Address)
	}
	return out, problem
}

// tooEarly names a certificate of ours that no endpoint can accept yet. It is empty if there is none.
func tooEarly(job ipsec.Config, now time.Time) string {
	for _, c := range job.Connections {
		if c.Certificates == nil {
			continue
		}
		for _, own := range c.Certificates.Own {
			if own.NotBefore.After(now) {
				return fmt.Sprintf("certificate: %s is valid from %s only; this VM's clock, which says %s, is behind, or that of its CA is ahead",
					own.Subject, own.NotBefore.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
			}
		}
	}
	return ""
}

func (s Senses) askCharon(ctx context.Context, valid bool, out *doctor.IKE) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	charon, err := vici.Connect(ctx, s.Gateway.Socket())
	if err != nil {
		out.Problem = "charon does not answer: " + err.Error()
		return
	}
	defer charon.Close()
	if valid {
		soon, cancel := context.WithTimeout(ctx, settling)
		if err := s.Job().Ready(soon); err != nil {
			out.Missing = err.Error()
		} else if s.waits(soon) {
			out.Missing = "the job's files have changed since charon was told what they hold: they wait for a reload"
		}
		cancel()
	}
	sas, err := listSAs(ctx, s.Gateway.Socket())
	if err != nil {
		out.Problem = "charon does not answer: " + err.Error()
		return
	}
	out.SAs = sas
}

// waits says whether the gateway's files wait for a reload, and not only for the end of one.
func (s Senses) waits(ctx context.Context) bool {
	for {
		waits, err := s.Job().Waits()
		if err != nil || !waits || ctx.Err() != nil {
			return err == nil && waits
		}
		select {
		case <-ctx.Done():
		case <-time.After(glance):
		}
	}
}

// told says whether the log tells what is wrong.
func told(reader *signature.Reader) bool {
	return slices.ContainsFunc(reader.Findings(time.Now()), func(f signature.Finding) bool { return !f.Warning })
}

func (s Senses) enforcement() health.Enforcement {
	files := boshsys.NewOsFileSystem(boshlog.NewLogger(boshlog.LevelNone))
	return probe.ReadEnforcement(files, s.Enforcer, time.Now()).Enforcement
}

// probes asks every target of this VM's own subnet, all at once.
func probes(ctx context.Context, c doctor.Config) []doctor.Probe {
	var out []doctor.Probe
	for _, pair := range c.Connection.Pairs() {
		for _, t := range c.Connection.Probes {
			if pair.Segment.Contains(c.Source) && pair.PrivateNetwork.Contains(t.Address) {
				out = append(out, doctor.Probe{Pair: pair, Name: check.Name(t)})
			}
		}
	}
	var asked sync.WaitGroup
	i := 0
	for _, pair := range c.Connection.Pairs() {
		for _, t := range c.Connection.Probes {
			if !pair.Segment.Contains(c.Source) || !pair.PrivateNetwork.Contains(t.Address) {
				continue
			}
			result := &out[i].Result
			i++
			asked.Go(func() {
				for range tries {
					limited, cancel := context.WithTimeout(ctx, answer)
					*result = check.Ask(limited, t, c.Source)
					cancel()
					if result.Reached {
						return
					}
				}
			})
		}
	}
	asked.Wait()
	return out
}

// pathMTU measures by the first target that answers echo requests.
func pathMTU(c doctor.Config, probes []doctor.Probe) *doctor.PathMTU {
	for _, t := range c.Connection.Probes {
		if t.Check != connection.CheckICMP {
			continue
		}
		reached := slices.ContainsFunc(probes, func(p doctor.Probe) bool { return p.Name == check.Name(t) && p.Result.Served })
		if !reached {
			continue
		}
		// What NAT-T and AES-CBC leave of the path.
		if m, err := measure(c.Source, t.Address, c.Connection.PathMTU-78); err == nil && m.Passes > 0 {
			return &m
		}
	}
	return nil
}

func listSAs(ctx context.Context, socket string) ([]vici.SA, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	charon, err := vici.Connect(ctx, socket)
	if err != nil {
		return nil, err
	}
	defer charon.Close()
	return charon.SAs(ctx)
}
