package leaks_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestLeaks(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "the leak oracle")
}

// patience is how long one run may take; a tenth of it is enough on a machine that does nothing else.
const patience = 10 * time.Minute

// strongSwan is the directory of the release's strongSwan.
func strongSwan() string {
	GinkgoHelper()
	if os.Geteuid() != 0 {
		Skip("needs root, for network namespaces")
	}
	directory := os.Getenv("STRONGSWAN_DIR")
	if directory == "" {
		directory = "/var/vcap/packages/strongswan"
	}
	if _, err := os.Stat(filepath.Join(directory, "libexec/ipsec/charon")); err != nil {
		Skip("needs the release's strongSwan: build package strongswan and set STRONGSWAN_DIR")
	}
	return directory
}

// programs is the directory of the oracle and the enforcer.
var programs string

var _ = BeforeSuite(func() {
	programs = GinkgoT().TempDir()
	for directory, source := range map[string]string{".": "./oracle", "../../src": "./cmd/egress-enforcer"} {
		command := exec.Command("go", "build", "-mod=readonly", "-o", programs+"/", source)
		command.Dir = directory
		command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
		out, err := command.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "building %s: %s", source, out)
	}
})

// oracle runs the oracle on this machine's kernel and returns its report.
func oracle(args ...string) (string, error) {
	GinkgoHelper()
	swan := strongSwan()
	return run(exec.Command(filepath.Join(programs, "oracle"),
		append([]string{"-strongswan", swan, "-enforcer", filepath.Join(programs, "egress-enforcer")}, args...)...))
}

// guestScript makes the release's strongSwan visible where it was built for, if that is below the guest's /tmp,
// and becomes the oracle.
const guestScript = `mkdir -p "$1"; [ -e "$1/libexec" ] || mount --bind "/mnt$1" "$1"; shift; exec "$@"`

// oracleIn runs the oracle on a kernel that has ESP: uml, User-Mode Linux, or qemu.
func oracleIn(kernel, backend string, args ...string) (string, error) {
	GinkgoHelper()
	swan := strongSwan()
	if _, err := exec.LookPath("linux.uml"); kernel == "uml" && err != nil {
		Skip("there is no linux.uml; install it with: sudo scripts/install-tools")
	}
	guest, err := filepath.Abs("../kernel/" + kernel)
	Expect(err).NotTo(HaveOccurred())
	return run(exec.Command(guest, append([]string{programs, "bash", "-euc", guestScript, "bash", swan, filepath.Join(programs, "oracle"),
		"-strongswan", swan, "-enforcer", filepath.Join(programs, "egress-enforcer"), "-data-path", "kernel", "-backend", backend}, args...)...))
}

func run(command *exec.Cmd) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	bounded := exec.CommandContext(ctx, command.Path, command.Args[1:]...)
	bounded.Cancel = func() error { return bounded.Process.Signal(syscall.SIGTERM) }
	out, err := bounded.CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	AddReportEntry("the oracle's last line", lines[len(lines)-1])
	return string(out), err
}

var _ = Describe("Nothing leaks while one layer stands", Serial, func() {
	for _, backend := range []string{"nft", "legacy", "nftables"} {
		It(fmt.Sprintf("with the userland's ESP and rules by %s", backend), func() {
			if backend == "legacy" && exec.Command("iptables-legacy", "-t", "mangle", "-S").Run() != nil {
				Skip("this machine's kernel has no legacy iptables")
			}
			report, err := oracle("-backend", backend, "-dwell", "100ms", "-sequences", "5", "-seed", fmt.Sprint(GinkgoRandomSeed()))
			Expect(err).NotTo(HaveOccurred(), report)
			Expect(report).To(MatchRegexp(`userland, %s: 0 leaks in \d{5,} packets`, backend))
		})
	}

	It("with the kernel's ESP and rules in nf_tables", func() {
		if os.Getenv("QEMU") == "" {
			Skip("takes minutes; run it with QEMU=1 after: sudo QEMU=1 scripts/install-tools")
		}
		report, err := oracleIn("qemu", "nftables", "-rate", "60", "-interval", "4s", "-sequences", "1", "-seed", fmt.Sprint(GinkgoRandomSeed()),
			"-only", "kill -9 of charon|SAs|policy flush|MASQUERADE|nft flush|replaced|reboot without pre-start on the gateway")
		Expect(err).NotTo(HaveOccurred(), report)
		Expect(report).To(MatchRegexp(`kernel, nftables: 0 leaks in \d{4,} packets`))
	})

	It("with the kernel's ESP", func() {
		// What is special about it; in User-Mode Linux a program takes a tenth of a second to start.
		report, err := oracleIn("uml", "legacy", "-rate", "60", "-interval", "4s", "-sequences", "0", "-seed", fmt.Sprint(GinkgoRandomSeed()),
			"-only", "kill -9 of charon|SAs are deleted|policy flush|MASQUERADE|mangle on the gateway|replaced|reboot without pre-start on the gateway")
		Expect(err).NotTo(HaveOccurred(), report)
		Expect(report).To(MatchRegexp(`kernel, legacy: 0 leaks in \d{4,} packets`))
	})
})

var _ = Describe("Without the enforcers everything leaks, or the specs above prove nothing", Serial, func() {
	It("with the userland's ESP", func() {
		report, err := oracle("-control")
		Expect(err).NotTo(HaveOccurred(), report)
	})

	It("with the kernel's ESP", func() {
		report, err := oracleIn("uml", "legacy", "-control", "-rate", "60")
		Expect(err).NotTo(HaveOccurred(), report)
	})
})
