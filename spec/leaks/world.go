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

// The hosts of a world:
//
//	app ── cell ─────────────┐                ┌── customer (services)
//	sharedApp ── sharedCell ─┤ lan (segment)  │
//	neighbour ───────────────┤                │
//	        gateway ─────────┤                │
//	           └─────────────┴── internet ────┘
//
// The internet is the default router of the cells, too: what takes no route of ours arrives there.
const (
	app        = "app"
	cell       = "cell"
	sharedApp  = "shared-app"
	sharedCell = "shared-cell"
	neighbour  = "neighbour"
	gateway    = "gateway"
	internet   = "internet"
	customer   = "customer"
	lan        = "lan"
)

const (
	appAddress        = "10.255.1.2"
	cellAddress       = "10.20.0.10"
	sharedAppAddress  = "10.255.2.2"
	sharedCellAddress = "10.30.0.9"
	neighbourAddress  = "10.20.0.77"
	// strangersTarget is in the segment, too. The internet sends by the gateway to it and to the neighbour.
	strangersTarget = "10.20.0.78"
	gatewayAddress  = "10.20.0.4"
	publicAddress   = "198.41.0.4"
	endpointAddress = "199.9.14.201"
	serviceAddress  = "10.150.0.40"
	spoofedAddress  = "10.150.0.50"
)

var (
	// The endpoint stands inside the last one: its IKE and ESP must pass nevertheless.
	privateNetworks = []string{"10.150.0.0/16", "172.30.8.0/22", "199.9.14.192/26"}
	services        = []string{
		"10.150.0.10", "10.150.0.11", "10.150.0.12", "10.150.0.13", serviceAddress,
		"172.30.8.10", "172.30.8.11", "172.30.8.12", "172.30.8.13",
	}
	hosts = []string{lan, app, cell, sharedApp, sharedCell, neighbour, gateway, internet, customer}
)

// Settings say of what a world is made.
type Settings struct {
	// Enforcer is the program egress-enforcer, StrongSwan the directory of the release's strongSwan.
	Enforcer, StrongSwan string
	// Oracle is the program itself, which sends in the hosts.
	Oracle string
	// DataPath is kernel or userland.
	DataPath string
	// Backend is what holds the enforcers' rules: legacy or nft, the variants of iptables, or nftables.
	Backend string
	// Rate is packets a second of each flow.
	Rate int
	// Former is an egress-enforcer of another version, or empty.
	Former string
	// Swaps is how often a policy is swapped in one fault.
	Swaps int
	// Interval is how often the enforcers look by themselves.
	Interval time.Duration
}

// World is the hosts and what runs on them.
type World struct {
	Settings
	prefix, dir string
	processes   map[string]*exec.Cmd
	stop        []func()
}

// NewWorld makes the hosts and the tunnel between them. Close removes them, also after an error.
func NewWorld(settings Settings) (*World, error) {
	dir, err := os.MkdirTemp("", "leaks-")
	if err != nil {
		return nil, fmt.Errorf("making a directory: %w", err)
	}
	w := &World{Settings: settings, prefix: filepath.Base(dir) + "-", dir: dir, processes: map[string]*exec.Cmd{}}
	return w, errors.Join(w.build(), w.countAll(), w.startCharons())
}

// Close ends all that runs and removes the hosts.
func (w *World) Close() {
	for name := range w.processes {
		w.kill(name, syscall.SIGKILL)
	}
	for i := len(w.stop) - 1; i >= 0; i-- {
		w.stop[i]()
	}
	for _, host := range hosts {
		_ = exec.Command("ip", "netns", "delete", w.prefix+host).Run()
	}
	_ = os.RemoveAll(w.dir)
}

func (w *World) build() error {
	var batch strings.Builder
	for _, host := range hosts {
		fmt.Fprintf(&batch, "netns add %s%s\n", w.prefix, host)
	}
	link := func(host, device, peer, peerDevice string) {
		fmt.Fprintf(&batch, "link add %s netns %s%s type veth peer name %s netns %s%s\n", device, w.prefix, host, peerDevice, w.prefix, peer)
	}
	for i, host := range []string{cell, sharedCell, neighbour, gateway, internet} {
		link(host, "eth0", lan, fmt.Sprintf("port%d", i))
	}
	link(app, "eth0", cell, "app")
	link(sharedApp, "eth0", sharedCell, "app")
	link(gateway, "inet0", internet, "gateway")
	link(customer, "eth0", internet, "customer")
	if err := w.feed("ip", batch.String(), "-batch", "-"); err != nil {
		return err
	}
	for host, script := range w.addressing() {
		script = "link set lo up\n" + script
		if err := w.feed("ip", script, "-netns", w.prefix+host, "-batch", "-"); err != nil {
			return err
		}
	}
	for _, host := range []string{cell, sharedCell, gateway, internet} {
		// Flows must end soon, or the table of those that it sends would fill and packets be dropped there.
		if err := w.run(host, "sh", "-c", `cd /proc/sys/net && echo 1 >ipv4/ip_forward && cd netfilter &&
			for i in udp udp_stream icmp tcp_syn_sent tcp_close; do
				case $i in udp_stream) name=udp_timeout_stream;; tcp_*) name=tcp_timeout_${i#tcp_};; *) name=${i}_timeout;; esac
				[ ! -e nf_conntrack_$name ] || echo 3 >nf_conntrack_$name
			done`); err != nil {
			return err
		}
	}
	return errors.Join(w.masquerade(cell), w.masquerade(sharedCell))
}

// addressing are the commands of ip for each host, after its links were made.
func (w *World) addressing() map[string]string {
	up := func(address, device string) string {
		return "address add " + address + " dev " + device + "\nlink set " + device + " up\n"
	}
	onLoopback := ""
	for _, service := range services {
		onLoopback += "address add " + service + "/32 dev lo\n"
	}
	bridge := "link add br0 type bridge\nlink set br0 up\n"
	for i := range 5 {
		bridge += fmt.Sprintf("link set port%d master br0\nlink set port%d up\n", i, i)
	}
	return map[string]string{
		lan:        bridge,
		app:        up(appAddress+"/30", "eth0") + "route add default via 10.255.1.1\n",
		sharedApp:  up(sharedAppAddress+"/30", "eth0") + "route add default via 10.255.2.1\n",
		cell:       up("10.255.1.1/30", "app") + up(cellAddress+"/24", "eth0") + defaultRoute[cell],
		sharedCell: up("10.255.2.1/30", "app") + up(sharedCellAddress+"/24", "eth0") + defaultRoute[sharedCell],
		neighbour:  up(neighbourAddress+"/24", "eth0") + "address add " + strangersTarget + "/24 dev eth0\n",
		gateway:    up(gatewayAddress+"/24", "eth0") + up(publicAddress+"/24", "inet0") + defaultRoute[gateway],
		internet: up("10.20.0.1/24", "eth0") + "address add 10.30.0.1/24 dev eth0\n" + up("198.41.0.1/24", "gateway") +
			up("199.9.14.1/24", "customer") + "route add " + strangersTarget + " via " + publicAddress + "\n" +
			"route add " + neighbourAddress + " via " + publicAddress + "\n",
		customer: onLoopback + up(endpointAddress+"/24", "eth0") + "route add default via 199.9.14.1\n",
	}
}

// defaultRoute are the routes that a host loses with its interface. The shared cell's lead to the gateway: an
// operator's mistake, or a tenant's wish.
var defaultRoute = map[string]string{
	cell: "route replace default via 10.20.0.1\n",
	sharedCell: "route replace 10.20.0.0/24 dev eth0\nroute replace 10.150.0.0/16 via " + gatewayAddress + "\nroute replace 172.30.8.0/22 via " +
		gatewayAddress + "\nroute replace default via 10.30.0.1\n",
	gateway: "route replace 10.30.0.0/24 dev eth0\nroute replace default via 198.41.0.1\n",
}

// masquerade is what silk does on a cell.
func (w *World) masquerade(host string) error {
	source := map[string]string{cell: appAddress, sharedCell: sharedAppAddress}[host]
	return w.feedIn(host, "*nat\n-A POSTROUTING -s "+source+" ! -o silk-vtep -j MASQUERADE\nCOMMIT\n", w.tool("iptables-restore"), "--noflush")
}

// tool is the path of a program of iptables in the variant of the world. Where the backend is nftables, the
// others on the VM use the nft variant.
func (w *World) tool(name string) string {
	variant := "nft"
	if w.Backend == "legacy" {
		variant = "legacy"
	}
	return strings.Replace(strings.Replace(name, "ip6tables", "ip6tables-"+variant, 1), "iptables", "iptables-"+variant, 1)
}

// run runs a program on a host.
func (w *World) run(host, program string, args ...string) error {
	return finish(w.command(host, program, args...))
}

func (w *World) command(host, program string, args ...string) *exec.Cmd {
	return exec.Command("ip", append([]string{"netns", "exec", w.prefix + host, program}, args...)...)
}

func (w *World) feed(program, input string, args ...string) error {
	command := exec.Command(program, args...)
	command.Stdin = strings.NewReader(input)
	return finish(command)
}

func (w *World) feedIn(host, input, program string, args ...string) error {
	command := w.command(host, program, args...)
	command.Stdin = strings.NewReader(input)
	return finish(command)
}

func finish(command *exec.Cmd) error {
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, out)
	}
	return nil
}

// kill sends a signal to a process that was started under the name, and waits for its end if that ends it.
func (w *World) kill(name string, signal syscall.Signal) {
	process := w.processes[name]
	if process == nil {
		return
	}
	_ = process.Process.Signal(signal)
	if signal == syscall.SIGKILL || signal == syscall.SIGTERM {
		_ = process.Wait()
		delete(w.processes, name)
	}
}

// start starts a process under a name. Its output is kept in a file of the same name.
func (w *World) start(name string, command *exec.Cmd) error {
	log, err := os.OpenFile(filepath.Join(w.dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	defer log.Close()
	command.Stdout, command.Stderr = log, log
	if err := command.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", name, err)
	}
	w.processes[name] = command
	return nil
}
