// Package gateway runs charon on a gateway: it renders the job's configuration, supervises charon, loads
// what was rendered over vici, and closes the tunnels in an orderly way. It never waits for a security
// association: the customer may initiate weeks later.
//
// The promises: charon's end ends Run with an error, and Run's end is charon's end, whatever the cause.
// A configuration that is wrong touches nothing. No key is written but to a file of mode 0600 and to
// charon's socket.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"privnet/connection"
	"privnet/ipsec"
	"privnet/ipsec/charonlog"
	"privnet/ipsec/vici"
)

// Paths are where a gateway's files are.
type Paths struct {
	// Config and Key are the job's gateway.json and psk.json.
	Config, Key string
	// Data is the directory for what is rendered.
	Data string
	// Run is the directory of charon's vici socket and pid file, which is compiled into charon.
	Run string
	// StrongSwan is the directory that strongSwan is installed in.
	StrongSwan string
	// TUN is the device that the userland data path needs.
	TUN string
	// Status is the file in which the gateway says how it is.
	Status string
}

// DefaultPaths are those of the job on a VM.
func DefaultPaths() Paths {
	return Paths{
		Config:     "/var/vcap/jobs/ipsec-gateway/config/gateway.json",
		Key:        "/var/vcap/jobs/ipsec-gateway/config/psk.json",
		Data:       "/var/vcap/data/ipsec-gateway",
		Run:        "/var/vcap/sys/run/ipsec-gateway",
		StrongSwan: "/var/vcap/packages/strongswan",
		TUN:        "/dev/net/tun",
		Status:     "/var/vcap/sys/run/ipsec-gateway-view/status.json",
	}
}

// Socket is the path of charon's vici socket.
func (p Paths) Socket() string { return filepath.Join(p.Run, "charon.vici") }

func (p Paths) strongSwanConf() string { return filepath.Join(p.Data, "strongswan.conf") }
func (p Paths) swanctl() string        { return filepath.Join(p.Data, "swanctl") }
func (p Paths) certificates() string   { return filepath.Join(p.Data, "x509") }
func (p Paths) loaded() string         { return filepath.Join(p.Run, "loaded.json") }
func (p Paths) keyChoices() string     { return filepath.Join(p.Data, "keys.json") }
func (p Paths) lastGood() string       { return filepath.Join(p.Data, "last-good") }
func (p Paths) lock() string           { return filepath.Join(p.Run, "lock") }

// The times that things may take.
const (
	startPatience = 30 * time.Second
	// stopPatience is less than the 15 s after which bpm kills what it stops.
	stopPatience  = 10 * time.Second
	drainPatience = 5 * time.Second
	pollInterval  = 100 * time.Millisecond
)

// Gateway is one gateway instance.
type Gateway struct {
	Paths Paths
	Log   *slog.Logger
	// FlushSAs removes the SAs that an earlier charon left in the kernel.
	FlushSAs func() error
	// ServeView shows the tunnels to processes that must not change them, until the context ends.
	ServeView func(context.Context) error
	Now       func() time.Time
	// CheckFIPS says whether OpenSSL can load its FIPS provider.
	CheckFIPS func() error
	// HungAfter is how long charon may not answer before it is killed.
	HungAfter time.Duration
}

// Run starts charon, loads the configuration and supervises charon until the context ends; then charon
// tells its peers and ends. If charon ends by itself, Run returns an error.
func (g Gateway) Run(ctx context.Context) error {
	err := g.run(ctx)
	if err == nil {
		g.fail(errors.New("the gateway was stopped"))
		return nil
	}
	g.fail(err)
	return err
}

func (g Gateway) run(ctx context.Context) error {
	job, err := g.read(g.Paths.Config, g.Paths.Key)
	if err != nil {
		return err
	}
	if job.config.DataPath == connection.DataPathUserland {
		if err := provideTUN(g.Paths.TUN); err != nil {
			return err
		}
	}
	if err := g.needs(job.config); err != nil {
		return err
	}
	if err := g.write(job.rendered); err != nil {
		return err
	}
	// A pid file that outlived its charon names, in a fresh container, some other process.
	for _, stale := range []string{filepath.Join(g.Paths.Run, "charon.pid"), g.Paths.Socket(), g.Paths.loaded()} {
		if err := os.Remove(stale); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing what an earlier charon left: %w", err)
		}
	}
	if job.config.DataPath == connection.DataPathKernel {
		if err := g.FlushSAs(); err != nil {
			return err
		}
	}
	charon, err := startCharon(g.Paths, charonlog.Relay{Log: g.Log, Tunnels: job.rendered.Tunnels, Now: g.Now})
	if err != nil {
		return err
	}
	err = g.supervise(ctx, charon, job)
	return errors.Join(err, charon.stop(stopPatience))
}

func (g Gateway) supervise(ctx context.Context, charon *process, job configuration) error {
	loading, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	loaded := make(chan error, 1)
	go func() { loaded <- g.loadFirst(loading, job) }()
	viewing, stopViewing := context.WithCancel(ctx)
	defer stopViewing()
	go func() {
		// Whoever looks on sees nothing then, and says so. That is no reason to close a tunnel.
		if err := g.ServeView(viewing); err != nil {
			g.Log.Error("the tunnels cannot be watched", "reason", err.Error())
		}
	}()
	hung := make(chan error, 1)
	for {
		select {
		case err := <-loaded:
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
			g.Log.Info("the gateway is ready: charon holds all connections", "connections", len(job.rendered.Connections))
			go g.rotate(viewing)
			go g.remind(viewing)
			go func() { hung <- g.watch(viewing) }()
		case err := <-hung:
			if ctx.Err() == nil {
				return errors.Join(err, charon.kill())
			}
		case <-charon.ended:
			return fmt.Errorf("charon ended by itself: %w", charon.err)
		case <-ctx.Done():
			g.Log.Info("stopping: closing all tunnels")
			return nil
		}
	}
}

func (g Gateway) loadFirst(ctx context.Context, job configuration) error {
	charon, err := g.connect(ctx)
	if err != nil {
		return err
	}
	defer charon.Close()
	return g.locked(func() error {
		_, err := g.load(ctx, charon, job, vici.Loaded{})
		return err
	})
}

// connect waits until charon answers.
func (g Gateway) connect(ctx context.Context) (*vici.Charon, error) {
	for {
		charon, err := vici.Connect(ctx, g.Paths.Socket())
		if err == nil {
			if _, err = charon.Version(ctx); err == nil {
				return charon, nil
			}
			charon.Close()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for charon to answer: %w", err)
		case <-time.After(pollInterval):
		}
	}
}

// load gives charon what the job configures and remembers it, for the next reload and until then.
func (g Gateway) load(ctx context.Context, charon *vici.Charon, job configuration, have vici.Loaded) (vici.Changes, error) {
	now, changes, err := charon.Load(ctx, job.rendered, have)
	if saveErr := saveLoaded(g.Paths.loaded(), now); saveErr != nil {
		err = errors.Join(err, saveErr)
	}
	if err != nil {
		return changes, err
	}
	if err := charon.Verify(ctx, job.rendered); err != nil {
		return changes, err
	}
	if err := errors.Join(g.keep(job), job.choices.save(g.Paths.keyChoices())); err != nil {
		return changes, err
	}
	return changes, g.updateStatus(func(s *Status) {
		s.Healthy, s.Problem, s.PSKs = true, "", pskStatuses(job.rendered, job.choices, g.Now())
	})
}

// Reload brings the running charon to the job's configuration. What did not change keeps its tunnels. If
// charon refuses something, it gets back all that it had, and the error names what it refused.
func (g Gateway) Reload(ctx context.Context) (changes vici.Changes, err error) {
	err = g.locked(func() error {
		changes, err = g.reload(ctx)
		return err
	})
	if err != nil {
		g.fail(fmt.Errorf("the last reload failed: %w", err))
	}
	return changes, err
}

func (g Gateway) reload(ctx context.Context) (vici.Changes, error) {
	job, err := g.readJob()
	if err != nil {
		return vici.Changes{}, err
	}
	if err := refuseExpired(job.config, g.Now()); err != nil {
		return vici.Changes{}, err
	}
	if err := g.writeCertificates(job.rendered); err != nil {
		return vici.Changes{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	charon, err := vici.Connect(ctx, g.Paths.Socket())
	if err != nil {
		return vici.Changes{}, err
	}
	defer charon.Close()
	plugins, err := charon.Plugins(ctx)
	if err != nil {
		return vici.Changes{}, err
	}
	if !slices.Equal(slices.Sorted(slices.Values(plugins)), slices.Sorted(slices.Values(job.rendered.Plugins))) {
		return vici.Changes{}, errors.New("data_path, fips, and certificates instead of pre-shared keys cannot change under a running charon, which loads its plugins at the start: restart the job")
	}
	have, err := readLoaded(g.Paths.loaded())
	if err != nil {
		return vici.Changes{}, err
	}
	changes, err := g.load(ctx, charon, job, have)
	if err != nil {
		return changes, err
	}
	before, err := os.ReadFile(g.Paths.strongSwanConf())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return changes, fmt.Errorf("reading strongswan.conf: %w", err)
	}
	if err := errors.Join(g.write(job.rendered), g.tellConfigured(job.config)); err != nil {
		return changes, err
	}
	if string(before) != job.rendered.StrongSwanConf() {
		return changes, charon.ReloadSettings(ctx)
	}
	return changes, nil
}

// Ready waits until charon answers and holds everything that the job configures.
func (g Gateway) Ready(ctx context.Context) error {
	job, err := g.readJob()
	if err != nil {
		return err
	}
	for {
		err := g.verify(ctx, job.rendered)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(pollInterval):
		}
	}
}

func (g Gateway) verify(ctx context.Context, rendered ipsec.Rendered) error {
	charon, err := vici.Connect(ctx, g.Paths.Socket())
	if err != nil {
		return err
	}
	defer charon.Close()
	return charon.Verify(ctx, rendered)
}

// Drain closes all tunnels, so that the endpoints know at once, and returns how many there were. A charon
// that does not run has none.
func (g Gateway) Drain(ctx context.Context) (int, error) {
	charon, err := vici.Connect(ctx, g.Paths.Socket())
	if err != nil {
		g.Log.Info("nothing to drain: charon does not answer", "reason", err.Error())
		return 0, nil
	}
	defer charon.Close()
	return charon.TerminateAll(ctx, drainPatience)
}

// Rekey negotiates new keys with the endpoints now, and returns the tunnels and selectors that have them.
func (g Gateway) Rekey(ctx context.Context) ([]string, error) {
	charon, err := vici.Connect(ctx, g.Paths.Socket())
	if err != nil {
		return nil, err
	}
	defer charon.Close()
	return charon.Rekey(ctx)
}
