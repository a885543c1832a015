package leaks

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ends of the tunnel.
var ends = []string{gateway, customer}

// charonScript runs a program with a /var of its own where charon finds the directory for its pid file, which
// is compiled in.
const charonScript = `if [ -d /var/vcap/sys ]; then mount -t tmpfs tmpfs /var/vcap/sys; else mount -t tmpfs tmpfs /var; fi
mkdir -p /var/vcap/sys/run/ipsec-gateway; exec "$@"`

// startCharons starts both ends and brings the tunnel up. The customer initiates, as customers do.
func (w *World) startCharons() error {
	for host, address := range map[string]string{gateway: publicAddress, customer: endpointAddress} {
		remote, localTS, remoteTS := endpointAddress, "10.20.0.0/24", strings.Join(privateNetworks, ", ")
		if host == customer {
			remote, localTS, remoteTS = publicAddress, remoteTS, localTS
		}
		if err := w.configureCharon(host, address, remote, localTS, remoteTS); err != nil {
			return err
		}
		if err := w.startCharon(host); err != nil {
			return err
		}
	}
	return w.connect()
}

func (w *World) configureCharon(host, local, remote, localTS, remoteTS string) error {
	plugins := "random nonce openssl ml hmac kdf socket-default "
	if w.DataPath == "userland" {
		plugins += "kernel-libipsec "
	}
	socket := "unix://" + filepath.Join(w.dir, host, "vici")
	files := map[string]string{
		"strongswan.conf": "charon {\n  load = " + plugins + "kernel-netlink vici\n  retransmit_timeout = 0.5\n  retransmit_tries = 3\n" +
			"  plugins {\n    vici {\n      socket = " + socket + "\n    }\n    kernel-netlink {\n      roam_events = no\n    }\n  }\n" +
			"  filelog {\n    stderr {\n      default = 1\n    }\n  }\n}\n" +
			"swanctl {\n  load = random nonce openssl\n  socket = " + socket + "\n}\n",
		"swanctl/swanctl.conf": fmt.Sprintf(`connections {
  tunnel {
    version = 2
    local_addrs = %[1]s
    remote_addrs = %[2]s
    proposals = aes256gcm16-prfsha384-ecp384
    unique = replace
    mobike = no
    local {
      auth = psk
      id = %[1]s
    }
    remote {
      auth = psk
      id = %[2]s
    }
    children {
      pairs {
        local_ts = %[3]s
        remote_ts = %[4]s
        esp_proposals = aes256gcm16-ecp384
        policies_fwd_out = yes
      }
    }
  }
}
secrets {
  ike {
    secret = only-for-this-world
  }
}
`, local, remote, localTS, remoteTS),
	}
	for name, text := range files {
		path := filepath.Join(w.dir, host, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return fmt.Errorf("configuring charon: %w", err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return fmt.Errorf("configuring charon: %w", err)
		}
	}
	return nil
}

func (w *World) startCharon(host string) error {
	if err := w.start("charon-"+host, w.strongSwan(host, filepath.Join(w.StrongSwan, "libexec/ipsec/charon"))); err != nil {
		return err
	}
	if err := within(patience, func() error { return w.swanctl(host, "--load-all") }); err != nil {
		return fmt.Errorf("loading the tunnel: %w", err)
	}
	if host == gateway && w.DataPath == "kernel" {
		// SAs of a charon that was killed swallow the traffic; the release's gateway begins in the same way.
		return w.run(gateway, "ip", "xfrm", "state", "flush")
	}
	return nil
}

// connect brings the tunnel up, whatever is left of a former one.
func (w *World) connect() error {
	return within(patience, func() error {
		_ = w.swanctl(customer, "--terminate", "--ike", "tunnel", "--force")
		return w.swanctl(customer, "--initiate", "--child", "pairs", "--timeout", "4")
	})
}

// swanctl asks charon, which may be stopped or killed meanwhile and then never answers.
func (w *World) swanctl(host string, args ...string) error {
	limited := append([]string{"20", filepath.Join(w.StrongSwan, "sbin/swanctl")}, args...)
	return finish(w.strongSwan(host, "timeout", limited...))
}

func (w *World) strongSwan(host, program string, args ...string) *exec.Cmd {
	command := w.command(host, "bash", append([]string{"-euc", charonScript, "bash", program}, args...)...)
	command.Env = append(os.Environ(),
		"STRONGSWAN_CONF="+filepath.Join(w.dir, host, "strongswan.conf"),
		"SWANCTL_DIR="+filepath.Join(w.dir, host, "swanctl"))
	return command
}

// restartCharon leaves a charon that runs as it is, and wakes one that was stopped.
func (w *World) restartCharon(host string) error {
	w.kill("charon-"+host, syscall.SIGCONT)
	if w.processes["charon-"+host] != nil {
		return nil
	}
	return w.startCharon(host)
}

// patience is how long a repair or a tunnel may take on a machine that does much else.
const patience = time.Minute

// within tries until it works or the time is over, and returns the last error.
func within(limit time.Duration, try func() error) error {
	began := time.Now()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if time.Since(began) > limit {
			return errors.Join(fmt.Errorf("not within %s", limit), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
