package faults_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"privnet/doctor"
	"privnet/ipsec"
	. "privnet/ipsec/charontest"
	"privnet/ipsec/vici"
	"privnet/netnstest"
)

const key = "Zq3vT8mKx1LpR6wYb9NcJ4hGd7FsU2aEoI5tXkQyVrMnBzPu"

type object = map[string]any

// peer is what the customer has configured; a fault changes one field.
type peer struct {
	version                  int
	source                   string
	ike, esp                 string
	id, gatewayID            string
	key                      string
	aggressive, encapsulates bool
	// life is the lifetime of phase 2, as in 60s.
	life string
	// certificate is used instead of the key, if it is there.
	certificate *Pair
	// byKey says that it uses the key though it has a certificate.
	byKey bool
	// copies is how many connections it has for the same gateway.
	copies int
	// local and remote are the selectors of each child; with IKEv2 there is one.
	local, remote []string
	// edit are words of its configuration and what stands there instead, where no field is.
	edit []string
}

func healthyPeer(version int) peer {
	p := peer{
		version: version, source: Endpoint, ike: "aes256-sha256-modp2048", esp: "aes256-sha256-modp2048",
		id: Endpoint, gatewayID: GatewayPublic, key: key, life: "66m", copies: 1,
		local: []string{"10.150.0.0/16", "172.30.8.0/22"}, remote: []string{"10.20.0.0/26", "10.20.0.0/26"},
	}
	if version == 2 {
		p.local, p.remote = []string{"10.150.0.0/16,172.30.8.0/22"}, []string{"10.20.0.0/26"}
	}
	return p
}

func (p peer) configuration() string {
	var children, connections strings.Builder
	for i := range p.local {
		fmt.Fprintf(&children, "pair-%d {\n local_ts = %s\n remote_ts = %s\n esp_proposals = %s\n life_time = %s\n }\n", i, p.local[i], p.remote[i], p.esp, p.life)
	}
	yes := map[bool]string{true: "yes", false: "no"}
	auth := "auth = psk"
	if p.certificate != nil && !p.byKey {
		auth = "auth = pubkey"
	}
	for i := range p.copies {
		name := "platform"
		if i > 0 {
			name = fmt.Sprintf("platform-%d", i)
		}
		fmt.Fprintf(&connections, `%s {
  version = %d
  local_addrs = %s
  remote_addrs = %s
  proposals = %s
  aggressive = %s
  encap = %s
  rekey_time = %dm
  local { %s
    id = %s }
  remote { %s
    id = %s }
  children { %s }
}
`, name, p.version, p.source, GatewayPublic, p.ike, yes[p.aggressive], yes[p.encapsulates], 240+i,
			strings.Replace(auth, "pubkey", "pubkey\n certs = own.pem", 1), p.id, auth, p.gatewayID, children.String())
	}
	return strings.NewReplacer(p.edit...).Replace(fmt.Sprintf(`connections { %s }
secrets { ike-platform { id = %s
  secret = "%s" } }
`, connections.String(), p.gatewayID, p.key))
}

// bench is a gateway VM, the internet, and a customer.
type bench struct {
	network  Network
	dir      string
	process  *gexec.Session
	customer Customer
	peer     peer
	// gateway is what gateway.json holds.
	gateway object
	// stopService ends the first service.
	stopService func() error
}

// settings of a bench that a fault changes before anything starts.
type settings struct {
	nat NAT
	// ike is the gateway's version, unless it is that of the environment's IKE or the peer's.
	ike string
	// unenforced says that the enforcer's rules do not stand.
	unenforced bool
	// gateway are fields of gateway.json to change, psk is the gateway's key.
	gateway object
	// noProbes declares no targets.
	noProbes bool
	// early says that the gateway's certificate is not valid yet.
	early bool
	// byKey says that the gateway knows the key only.
	byKey bool
	// kernel says that both sides use the kernel's ESP.
	kernel bool
	// distrusted says that the customer does not know the CA of the gateway's certificate.
	distrusted bool
}

func newBench(p peer, s settings) *bench {
	GinkgoHelper()
	StrongSwan()
	b := &bench{network: NewNetwork(s.nat), dir: GinkgoT().TempDir(), peer: p}
	b.in(b.network.Gateway, "sysctl -qw net.ipv4.ip_forward=1")
	if s.nat.Customer {
		b.peer.source = EndpointPrivate
	}
	// More than one address to send from, and room in the path for what every tunnel carries.
	b.in(b.network.Customer, "ip address add 198.51.100.77/24 dev net0")
	connection := object{
		"org": "agency-a", "segment": []string{"10.20.0.0/26"}, "private_networks": []string{"10.150.0.0/16", "172.30.8.0/22"},
		"gateways":  []object{{"address": GatewaySegment, "public_address": GatewayPublic}},
		"endpoints": []object{{"address": Endpoint, "device": "strongswan"}}, "data_path": "userland",
	}
	if s.kernel {
		connection["data_path"] = "kernel"
	}
	secrets := object{"psk_a": key, "active_psk": "a"}
	var files []File
	if p.certificate != nil {
		secrets, files = s.certify(p, connection)
	}
	ike := cmp.Or(s.ike, os.Getenv("IKE"), strconv.Itoa(p.version))
	gateway := object{"connection": connection, "addresses": []string{GatewaySegment}, "ike": ike, "policy": "compatible", "log_level": 1}
	for name, value := range s.gateway {
		gateway[name] = value
	}
	b.gateway = gateway
	b.write("gateway.json", gateway)
	b.write("psk.json", secrets)
	full := object{}
	for name, value := range connection {
		full[name] = value
	}
	full["routing"] = "host"
	if !s.noProbes {
		full["probes"] = []object{
			{"address": Services[0], "check": "icmp"}, {"address": Services[0], "check": "tcp", "port": 8443}, {"address": Services[1], "check": "icmp"},
		}
	}
	b.write("doctor.json", object{"role": "gateway", "connection": full, "addresses": []string{GatewaySegment}})
	b.enforcer(!s.unenforced)
	for _, name := range []string{"jobs/ipsec-gateway", "pids/ipsec-gateway"} {
		Expect(os.MkdirAll(b.path(name), 0o755)).To(Succeed())
	}
	if s.kernel {
		b.customer = StartKernelCustomer(b.network, b.peer.configuration())
	} else {
		b.customer = StartCustomer(b.network, b.peer.configuration(), files...)
	}
	b.start()
	b.record()
	b.stopService = netnstest.Serve(b.network.Customer, Services[0]+":8443")
	return b
}

func (b *bench) path(name string) string { return filepath.Join(b.dir, name) }

func (b *bench) write(name string, content any) {
	GinkgoHelper()
	data, err := json.MarshalIndent(content, "", "  ")
	Expect(err).NotTo(HaveOccurred())
	Expect(os.WriteFile(b.path(name), data, 0o600)).To(Succeed())
}

// enforcer writes what the egress enforcer would say.
func (b *bench) enforcer(on bool) {
	GinkgoHelper()
	problems := []string{}
	if !on {
		problems = []string{"the jump to the chain is gone"}
	}
	b.write("enforcer.json", object{"enforced": on, "role": "gateway", "backend": "iptables", "configuration": "configured",
		"checked": time.Now(), "problems": problems})
}

func (b *bench) in(namespace, command string) {
	GinkgoHelper()
	b.network.Exec(namespace, strings.Fields(command)...)
}

// block drops packets between gateway and customer on the internet.
func (b *bench) block(rule string) {
	GinkgoHelper()
	b.in(b.network.Internet, "iptables -w -I FORWARD "+rule+" -j DROP")
}

func (b *bench) gatewayFlags() []string {
	return []string{"--config", b.path("gateway.json"), "--psk", b.path("psk.json"), "--data", b.path("data"),
		"--run", b.path("run"), "--strongswan", StrongSwan(), "--status", b.path("view/status.json"),
		"--view", b.path("view/vici.sock"), "--view-group", "0"}
}

func (b *bench) start() {
	GinkgoHelper()
	log, err := os.OpenFile(b.path("gateway.log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(log.Close)
	cmd := Command(b.network.Gateway, append([]string{program("ipsec-gateway"), "run"}, b.gatewayFlags()...)...)
	b.process, err = gexec.Start(cmd, log, GinkgoWriter)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { b.process.Kill().Wait(5 * time.Second) })
	Expect(os.WriteFile(b.path("pids/ipsec-gateway/ipsec-gateway.pid"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)).To(Succeed())
	ready := Command(b.network.Gateway, append([]string{program("ipsec-gateway"), "ready", "--timeout", "10s"}, b.gatewayFlags()...)...)
	output, err := ready.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s", output)
}

// unload takes charon everything that it was given.
func (b *bench) unload() {
	GinkgoHelper()
	ctx := context.Background()
	charon, err := vici.Connect(ctx, b.path("run/charon.vici"))
	Expect(err).NotTo(HaveOccurred())
	defer charon.Close()
	_, _, err = charon.Load(ctx, ipsec.Rendered{}, nil)
	Expect(err).NotTo(HaveOccurred())
}

// serve answers on the first service's TCP port. A socket belongs to the namespace that it was made in.
// initiate lets the customer open every child, however busy the machine is.
func (b *bench) initiate() error { return b.try("15") }

// fail lets the customer try every child for as long as charon needs to say why not.
func (b *bench) fail() error { return b.try("2") }

func (b *bench) try(seconds string) error {
	var failed error
	for i := range b.peer.local {
		if err := b.customer.Try("--initiate", "--child", fmt.Sprintf("pair-%d", i), "--timeout", seconds); err != nil {
			failed = err
		}
	}
	return failed
}

// arguments are those that let the doctor find everything on the bench.
func (b *bench) arguments(flags ...string) []string {
	return append([]string{"netns", "exec", b.network.Gateway, program("tunnel-doctor"), "--config", b.path("doctor.json"),
		"--log", b.path("gateway.log"), "--enforcer", b.path("enforcer.json"), "--jobs", b.path("jobs"), "--pids", b.path("pids"),
		"--gateway-config", b.path("gateway.json"), "--gateway-psk", b.path("psk.json"),
		"--gateway-data", b.path("data"), "--gateway-run", b.path("run"), "--gateway-status", b.path("view/status.json")}, flags...)
}

// doctor starts the doctor on the gateway.
func (b *bench) doctor(flags ...string) *gexec.Session {
	GinkgoHelper()
	return Start(exec.Command("ip", b.arguments(flags...)...))
}

// ask runs the doctor on the gateway.
func (b *bench) ask(flags ...string) (doctor.Report, int) {
	GinkgoHelper()
	cmd := exec.Command("ip", b.arguments(append([]string{"--json", "--listen", "3s"}, flags...)...)...)
	cmd.Stderr = GinkgoWriter
	output, err := cmd.Output()
	GinkgoWriter.Printf("%s\n", output)
	code := cmd.ProcessState.ExitCode()
	if code > 3 || code < 0 {
		Expect(err).NotTo(HaveOccurred())
	}
	var report doctor.Report
	Expect(json.Unmarshal(output, &report)).To(Succeed())
	Expect(string(output)).NotTo(ContainSubstring(key))
	return report, code
}
