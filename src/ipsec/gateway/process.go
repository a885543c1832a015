package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"privnet/ipsec/charonlog"
	"privnet/ipsec/vici"
)

// process is a running charon.
type process struct {
	cmd *exec.Cmd
	// ended is closed when charon is gone; err then says how.
	ended chan struct{}
	err   error
}

// startCharon starts charon with its output going to the relay. It dies with us, also when we are killed:
// the charon that is started next needs the ports and the socket. (bosh-utils' command runner cannot do
// that.)
func startCharon(paths Paths, output charonlog.Relay) (*process, error) {
	// No core dump: it would hold the key.
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return nil, fmt.Errorf("forbidding core dumps: %w", err)
	}
	p := &process{
		cmd:   exec.Command(filepath.Join(paths.StrongSwan, "libexec/ipsec/charon")),
		ended: make(chan struct{}),
	}
	p.cmd.Env = append(os.Environ(), "STRONGSWAN_CONF="+paths.strongSwanConf())
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting charon: %w", err)
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("starting charon: %w", err)
	}
	started := make(chan error)
	go func() {
		// The parent whose death counts is the thread: it must live as long as charon.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		if err := p.cmd.Start(); err != nil {
			started <- fmt.Errorf("starting charon: %w", err)
			return
		}
		started <- nil
		var readers sync.WaitGroup
		readers.Go(func() { output.Copy(stdout) })
		readers.Go(func() { output.Copy(stderr) })
		readers.Wait()
		p.err = p.cmd.Wait()
		if p.err == nil {
			p.err = errors.New("exit status 0")
		}
		close(p.ended)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// stop ends charon, which tells its peers first; after the patience it is killed.
func (p *process) stop(patience time.Duration) error {
	select {
	case <-p.ended:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stopping charon: %w", err)
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(patience):
	}
	if err := p.kill(); err != nil {
		return err
	}
	return fmt.Errorf("charon did not stop within %s and was killed", patience)
}

// kill ends a charon that does not listen; its peers learn nothing.
func (p *process) kill() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing charon: %w", err)
	}
	<-p.ended
	return nil
}

// watch asks charon whether it still lives, until the context ends or it has not answered for too long.
func (g Gateway) watch(ctx context.Context) error {
	answered := g.Now()
	for {
		pause(ctx, g.HungAfter/5)
		if ctx.Err() != nil {
			return nil
		}
		asking, cancel := context.WithTimeout(ctx, g.HungAfter/5)
		err := g.ping(asking)
		cancel()
		if err == nil {
			answered = g.Now()
		} else if g.Now().Sub(answered) > g.HungAfter {
			return fmt.Errorf("charon has not answered for %s and is killed: %w", g.HungAfter, err)
		}
	}
}

func (g Gateway) ping(ctx context.Context) error {
	charon, err := vici.Connect(ctx, g.Paths.Socket())
	if err != nil {
		return err
	}
	defer charon.Close()
	_, err = charon.Version(ctx)
	return err
}
