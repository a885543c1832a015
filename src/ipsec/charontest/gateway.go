package charontest

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gexec"

	"privnet/ipsec/command"
	"privnet/ipsec/vici"
)

// PSK is the pre-shared key of every VM that is given no other.
const PSK = "Zq3vT8mKx1LpR6wYb9NcJ4hGd7FsU2aEoI5tXkQyVrMnBzPu"

// asGateway makes the specs' own binary the gateway's, so that specs run the real commands in a namespace
// without building a second binary.
const asGateway = "RUN_AS_IPSEC_GATEWAY"

// Main is for a suite's TestMain: it runs the gateway's command, a ping or a flood if a spec asks for it in a
// namespace, and the specs otherwise.
func Main(specs func() int) {
	for variable, program := range map[string]func([]string) error{asPing: ping, asFlood: flood} {
		if os.Getenv(variable) == "" {
			continue
		}
		if err := program(os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if os.Getenv(asGateway) == "" {
		os.Exit(specs())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	code := command.Execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// Settings are properties as JSON has them.
type Settings map[string]any

// VM is what a gateway VM has: the job's files, its directories, and the commands. The suite's TestMain must
// call Main.
type VM struct {
	network   Network
	directory string
	// Overrides are what it was made with.
	Overrides Settings
	// HungAfter is for the flag of that name, if it is given: a busy machine must not take it for granted.
	HungAfter string
	// Env is for its processes, beside the specs' own.
	Env []string
	// Container is the command that runs its main process, if something else than the namespace is to be around that.
	Container []string
}

// NewVM makes a gateway for agency-a with two private networks and one endpoint, but for the overrides, which
// are of the connection or beside it.
func NewVM(network Network, overrides Settings) VM {
	GinkgoHelper()
	v := VM{network: network, directory: GinkgoT().TempDir(), Overrides: overrides}
	v.Configure(overrides, Settings{"psk_a": PSK, "active_psk": "a"})
	return v
}

// Configure writes the job's files anew.
func (v VM) Configure(overrides, keys Settings) {
	GinkgoHelper()
	config := Settings{
		"connection": Settings{
			"org": "agency-a", "segment": []string{"10.20.0.0/26"},
			"private_networks": []string{"10.150.0.0/16", "172.30.8.0/22"},
			"gateways":         []Settings{{"address": GatewaySegment, "public_address": GatewayPublic}},
			"endpoints":        []Settings{{"address": Endpoint, "device": "strongswan"}},
			"data_path":        "userland",
		},
		"addresses": []string{GatewaySegment},
		"log_level": 1,
	}
	for key, value := range overrides {
		if _, ofConnection := config["connection"].(Settings)[key]; ofConnection {
			config["connection"].(Settings)[key] = value
		} else {
			config[key] = value
		}
	}
	for name, content := range map[string]Settings{"gateway.json": config, "psk.json": keys} {
		data, err := json.MarshalIndent(content, "", "  ")
		Expect(err).NotTo(HaveOccurred())
		Expect(os.WriteFile(v.Path(name), data, 0o600)).To(Succeed())
	}
}

// Path is the path of one of its files.
func (v VM) Path(name string) string { return filepath.Join(v.directory, name) }

// Socket is the path of its charon's vici socket.
func (v VM) Socket() string { return v.Path("run/charon.vici") }

func (v VM) command(name string, flags ...string) *exec.Cmd {
	arguments := append([]string{os.Args[0], name,
		"--config", v.Path("gateway.json"), "--psk", v.Path("psk.json"),
		"--data", v.Path("data"), "--run", v.Path("run"), "--strongswan", StrongSwan(),
		"--status", v.Path("view/status.json"), "--view", v.Path("view/vici.sock"), "--view-group", "0"}, flags...)
	if v.HungAfter != "" {
		arguments = append(arguments, "--hung-after", v.HungAfter)
	}
	if name == "run" {
		arguments = append(slices.Clone(v.Container), arguments...)
	}
	cmd := Command(v.network.Gateway, arguments...)
	cmd.Env = append(append(os.Environ(), asGateway+"=1"), v.Env...)
	return cmd
}

// Do runs a command to its end and returns the session.
func (v VM) Do(name string, flags ...string) *gexec.Session {
	GinkgoHelper()
	session := Start(v.command(name, flags...))
	Eventually(session, "20s").Should(gexec.Exit())
	return session
}

// Run starts the gateway and waits until it is ready and its status says so.
func (v VM) Run() *gexec.Session {
	GinkgoHelper()
	session := Start(v.command("run"))
	Expect(v.Do("ready", "--timeout", "10s")).To(gexec.Exit(0))
	// charon holds everything a moment before the status says so. (Not gbytes.Say: a spec may look for what was logged before.)
	Eventually(func() string { return string(session.Out.Contents()) }, "5s").Should(ContainSubstring("the gateway is ready"))
	return session
}

// SAs are its charon's IKE_SAs.
func (v VM) SAs(ctx context.Context) []vici.SA {
	GinkgoHelper()
	charon, err := vici.Connect(ctx, v.Socket())
	Expect(err).NotTo(HaveOccurred())
	defer charon.Close()
	sas, err := charon.SAs(ctx)
	Expect(err).NotTo(HaveOccurred())
	return sas
}

// Swanctl runs the release's swanctl against its charon, and returns what it prints.
func (v VM) Swanctl(arguments ...string) string {
	GinkgoHelper()
	arguments = append([]string{"env", "STRONGSWAN_CONF=" + v.Path("data/strongswan.conf"), filepath.Join(StrongSwan(), "sbin/swanctl")}, arguments...)
	return v.network.Exec(v.network.Gateway, append(arguments, "--uri", "unix://"+v.Socket())...)
}
