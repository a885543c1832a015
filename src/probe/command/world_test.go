package command_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"privnet/egress/enforcer"
	. "privnet/ipsec/charontest"
	"privnet/netnstest"
	"privnet/probe"
	"privnet/probe/health"
)

// tunnel is a gateway with a real charon and the real prober, and a customer.
type tunnel struct {
	network  Network
	gateway  VM
	running  *gexec.Session
	customer Customer
	prober   *gexec.Session
	client   http.Client
	networks []string
}

const proposals = "aes256-sha256-modp2048"

// newTunnel starts all; the customer has a service on port 8443 of the first address of each network.
func newTunnel(networks []string, rekey string) *tunnel {
	GinkgoHelper()
	t := &tunnel{network: NewNetwork(NAT{}), networks: networks}
	t.gateway = NewVM(t.network, Settings{"ike": "2", "policy": "compatible", "private_networks": networks})
	t.running = t.gateway.Run()
	var services []string
	for _, n := range networks {
		services = append(services, firstOf(n))
	}
	t.network.Exec(t.network.Customer, "bash", "-c", "for a in "+strings.Join(services, " ")+"; do ip address replace $a/32 dev lo; done")
	t.customer = StartCustomer(t.network, t.configuration(PSK, rekey))
	netnstest.Serve(t.network.Customer, "0.0.0.0:8443")
	t.client = http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: func(_ context.Context, network, address string) (conn net.Conn, err error) {
		netnstest.In(t.network.Gateway, func() { conn, err = net.DialTimeout(network, address, 3*time.Second) })
		return conn, err
	}}}
	return t
}

// firstOf is the first address of a network that ends in .0.
func firstOf(network string) string {
	address, _, _ := strings.Cut(network, "/")
	return strings.TrimSuffix(address, "0") + "1"
}

func (t *tunnel) configuration(psk, rekey string) string {
	return fmt.Sprintf(`connections { platform {
  version = 2
  local_addrs = %s
  remote_addrs = %s
  proposals = %s
  rekey_time = %s
  local { auth = psk
    id = %s }
  remote { auth = psk
    id = %s }
  children { all {
    local_ts = %s
    remote_ts = 10.20.0.0/26
    esp_proposals = %s
    rekey_time = %s
  } }
} }
secrets { ike-platform { id = %s
  secret = "%s" } }
`, Endpoint, GatewayPublic, proposals, rekey, Endpoint, GatewayPublic, strings.Join(t.networks, ","), proposals, rekey, GatewayPublic, psk)
}

// probe starts the prober with a TCP target in each network, and an ICMP one in the first.
func (t *tunnel) probe(interval string) {
	GinkgoHelper()
	targets := []string{fmt.Sprintf(`{"address": %q, "check": "icmp"}`, firstOf(t.networks[0]))}
	for _, n := range t.networks {
		targets = append(targets, fmt.Sprintf(`{"address": %q, "check": "tcp", "port": 8443}`, firstOf(n)))
	}
	networks, err := json.Marshal(t.networks)
	Expect(err).NotTo(HaveOccurred())
	config := fmt.Sprintf(`{"role": "gateway", "interval": %q, "listen": "127.0.0.1:9427", "addresses": [%q], "connection": {
  "org": "agency-a", "segment": ["10.20.0.0/26"], "private_networks": %s, "gateways": [{"address": %q, "public_address": %q}],
  "endpoints": [{"address": %q, "device": "strongswan"}], "probes": [%s]}}`,
		interval, GatewaySegment, networks, GatewaySegment, GatewayPublic, Endpoint, strings.Join(targets, ", "))
	Expect(os.WriteFile(t.gateway.Path("prober.json"), []byte(config), 0o600)).To(Succeed())
	t.enforce()
	t.startProber()
}

func (t *tunnel) startProber() {
	GinkgoHelper()
	cmd := Command(t.network.Gateway, os.Args[0], "run", "--config", t.gateway.Path("prober.json"), "--state", t.gateway.Path("prober-state.json"),
		"--enforcer", t.gateway.Path("enforcer.json"), "--gateway", t.gateway.Path("view/status.json"), "--charon", t.gateway.Path("view/vici.sock"))
	cmd.Env = append(os.Environ(), asProber+"=1")
	t.prober = Start(cmd)
	Eventually(func() error { _, err := t.ask("/ready"); return err }, "10s", "50ms").Should(Succeed())
}

// enforce says for the enforcer, as often as is needed, that the rules are on.
func (t *tunnel) enforce() {
	path := t.gateway.Path("enforcer.json")
	say := func() { _ = enforcer.WriteStatus(path, enforcer.Status{Enforced: true, Checked: time.Now()}) }
	say()
	done := make(chan struct{})
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Second):
				say()
			}
		}
	}()
	DeferCleanup(func() { close(done); <-stopped })
}

func (t *tunnel) ask(path string) ([]byte, error) {
	response, err := t.client.Get("http://127.0.0.1:9427" + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return body, err
}

func (t *tunnel) status() (s probe.Status) {
	if body, err := t.ask("/v1/status"); err == nil {
		_ = json.Unmarshal(body, &s)
	}
	return s
}

func (t *tunnel) state() health.State { return t.status().State }

func (t *tunnel) initiate() error {
	return t.customer.Try("--initiate", "--child", "all", "--timeout", "15")
}

// cut drops what goes from the customer to the gateway, or lets it pass again with -D.
func (t *tunnel) cut(action string) {
	GinkgoHelper()
	t.network.Exec(t.network.Internet, "iptables", "-w", action, "FORWARD", "-s", Endpoint, "-j", "DROP")
}
