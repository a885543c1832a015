package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"privnet/connection"
	"privnet/handoff"
	"privnet/lab/host"
	"privnet/lab/vm"
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
func endpointConfig(o org) (string, error) {
	r, p := o.request, o.plan
	facts := handoff.Facts{
		Org: p.Name, Endpoint: r.Endpoint, PrivateNetworks: r.PrivateNetworks, IKE: r.IKE, Policy: r.Policy,
		Segment: p.CIDRs(), Gateways: []netip.Addr{p.Gateways[0].PublicAddress},
	}
	facts.Endpoint.Device = "strongswan"
	page, err := handoff.Page(facts)
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(string(page), "## Configuration for strongSwan")
	_, rest, _ = strings.Cut(rest, "```\n")
	config, _, ok := strings.Cut(rest, "```")
	if !ok || !strings.Contains(config, handoff.Key) {
		return "", fmt.Errorf("the hand-off page has no configuration for strongSwan with a place for the key")
	}
	return strings.ReplaceAll(config, handoff.Key, o.key), nil
}

// startEndpoint runs the customer's charon, which then opens the tunnel by itself.
func startEndpoint(ctx context.Context, dir string, h host.Host, path connection.DataPath, config string) error {
	libipsec := ""
	if path == connection.DataPathUserland {
		libipsec = "kernel-libipsec"
	}
	disk := host.Disk(dir, h.Name)
	for name, content := range map[string]string{
		"etc/strongswan.conf": fmt.Sprintf(endpointSettings, libipsec), "etc/swanctl/swanctl.conf": config,
	} {
		if err := os.WriteFile(filepath.Join(disk, name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("configuring the endpoint: %w", err)
		}
	}
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
