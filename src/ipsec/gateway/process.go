package gateway

import (
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
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("killing charon: %w", err)
	}
	<-p.ended
	return fmt.Errorf("charon did not stop within %s and was killed", patience)
}
