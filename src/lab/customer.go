package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"privnet/handoff"
	"privnet/lab/host"
	"privnet/lab/vm"
	"privnet/onboard/ledger"
	"privnet/onboard/render"
)

// endpointSettings is the strongswan.conf of the customer's endpoint: Debian's own charon. That one has
// no other way to log without a journal.
const endpointSettings = `charon-systemd {
  load_modular = no
  load = random nonce openssl pem pkcs1 x509 pubkey hmac kdf gcm aes sha2 %s kernel-netlink socket-default vici updown
  filelog {
    stderr {
      default = 1
    }
  }
}
swanctl {
  load = random nonce openssl pem pkcs1 x509 pubkey
}
`

// endpointConfig is the swanctl.conf that a customer with a strongSwan endpoint copies from the hand-off
// page, with the key in its place.
func endpointConfig(o ledger.Entry, key string) (string, error) {
	facts := render.Handoff(render.Input{Request: o.Request, Plan: o.Plan}, "")
	facts.Endpoint.Device = "strongswan"
	config, err := handoff.Form(facts)
	if err != nil {
		return "", err
	}
	if key == "" || !strings.Contains(config, handoff.Key) {
		return "", fmt.Errorf("the hand-off page of %s has no configuration for strongSwan with a place for the key, or there is no key", o.Plan.Name)
	}
	return strings.ReplaceAll(config, handoff.Key, key), nil
}

// configureEndpoint gives a customer's endpoint what the hand-off page says, with the newest key.
func (r *run) configureEndpoint(o ledger.Entry) error {
	names := render.PSKVariables(render.Input{Request: o.Request, Plan: o.Plan})
	key, _ := r.variables[names[len(names)-1]].(string)
	config, err := endpointConfig(o, key)
	if err != nil {
		return err
	}
	libipsec := ""
	if r.state.Userland {
		libipsec = "kernel-libipsec"
	}
	disk := host.Disk(r.dir(), r.state.org(o.Plan.Name).EndpointHost())
	for name, content := range map[string]string{
		"etc/strongswan.conf": fmt.Sprintf(endpointSettings, libipsec), "etc/swanctl/swanctl.conf": config,
	} {
		if err := os.WriteFile(filepath.Join(disk, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("configuring the endpoint: %w", err)
		}
	}
	return nil
}

// startEndpoint runs the customer's charon, which then opens the tunnel by itself.
func startEndpoint(ctx context.Context, h host.Host) error {
	if err := h.Spawn(ctx, "/var/log/lab/charon.log", "charon-systemd"); err != nil {
		return err
	}
	var out string
	var err error
	for end := time.Now().Add(vm.Patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if out, err = h.Run(ctx, "swanctl", "--load-all"); err == nil {
			return nil
		}
	}
	return fmt.Errorf("loading the customer's configuration: %w: %s", err, out)
}
