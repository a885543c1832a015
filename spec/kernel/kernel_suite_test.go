// Package kernel_test runs the lab on a kernel that has ESP, whatever this machine's kernel has: in User-Mode
// Linux. So the data path that is the product's default is proved on every machine, and not only where the
// lab would choose it anyway.
package kernel_test

import (
	"context"
	"encoding/json"
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

	"privnet/lab/compile"
)

func TestKernel(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "the lab on a kernel with ESP")
}

const (
	// memory is a guest's; the hosts' files are in it.
	memory = "1G"
	// patience is how long one guest may take. It takes two minutes on a machine that does nothing else.
	patience = 10 * time.Minute
)

// root is the repository's directory, in the guest too.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

// missing says why the specs cannot run here, or is empty.
func missing() string {
	if os.Geteuid() != 0 {
		return "compiling the packages needs root: it makes namespaces and mounts"
	}
	if _, err := exec.LookPath("linux.uml"); err != nil {
		return "there is no linux.uml; install it with: sudo scripts/install-tools"
	}
	return ""
}

// prepare makes all that a guest cannot: the lab and the release with its packages compiled. A guest has no
// network, and this machine's files only to read.
func prepare() (release string) {
	GinkgoHelper()
	release = filepath.Join(root, "tmp", "kernel", "release.tgz")
	Expect(os.MkdirAll(filepath.Dir(release), 0o755)).To(Succeed())
	for _, command := range [][]string{{"scripts/create-release", "--tarball=" + release}, {"scripts/build"}, {"scripts/lab", "--help"}} {
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), "%s:\n%s", command[0], out)
	}
	_, err := compile.Compile(context.Background(), release, filepath.Join(root, "tmp", "lab", "cache"), func(step string) { GinkgoWriter.Println(step) })
	Expect(err).NotTo(HaveOccurred())
	return release
}

type promise struct {
	Name     string
	OK       bool
	Evidence string
}

// outcome is what a lab in a guest came to.
type outcome struct {
	// Output is all that was said: the steps of `lab up` with its table, and after a failure the logs.
	Output   string
	Promises []promise
	// Failed says what went wrong, if the lab did not come to its end.
	Failed string
}

// script is what a guest does. Its arguments are SHARE and those of `lab up`.
const script = `export PRIVNET_ROOT=$PWD share=$1; shift
bin/lab up --no-check "$@" && bin/lab check --json >"$share/promises.json" && bin/lab down && exit
for host in vpn-gateway endpoint isolated-diego-cell; do bin/lab logs "$host"; done
exit 1`

// lab runs one lab in a guest of its own.
func lab(ctx context.Context, release string, args ...string) outcome {
	share, err := os.MkdirTemp("", "kernel-spec-")
	if err != nil {
		return outcome{Failed: err.Error()}
	}
	defer os.RemoveAll(share)
	out := guest(ctx, share, append([]string{"bash", "-c", script, "lab", share, "--release", release}, args...)...)
	if data, err := os.ReadFile(filepath.Join(share, "promises.json")); err == nil {
		if err := json.Unmarshal(data, &out.Promises); err != nil {
			out.Failed = fmt.Sprintf("lab check --json: %s", err)
		}
	}
	return out
}

// guest runs a command in a guest that may write below share.
func guest(ctx context.Context, share string, command ...string) outcome {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "spec/kernel/uml", append([]string{share}, command...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "MEMORY="+memory)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	said, err := cmd.CombinedOutput()
	out := outcome{Output: string(said)}
	if ctx.Err() != nil {
		out.Failed = fmt.Sprintf("not within %s", patience)
	} else if err != nil {
		out.Failed = err.Error()
	}
	return out
}

// faults runs those specs of the fault catalogue that need the kernel's ESP.
func faults(ctx context.Context) outcome {
	share, err := os.MkdirTemp("", "kernel-spec-")
	if err != nil {
		return outcome{Failed: err.Error()}
	}
	defer os.RemoveAll(share)
	for directory, build := range map[string][]string{
		".":   {"go", "test", "-mod=readonly", "-c", "-o", share, "./spec/faults"},
		"src": {"go", "build", "-mod=readonly", "-o", share, "./cmd/ipsec-gateway", "./cmd/tunnel-doctor"},
	} {
		cmd := exec.CommandContext(ctx, build[0], build[1:]...)
		cmd.Dir, cmd.Env = filepath.Join(root, directory), append(os.Environ(), "GOWORK=off")
		if said, err := cmd.CombinedOutput(); err != nil {
			return outcome{Output: string(said), Failed: err.Error()}
		}
	}
	return guest(ctx, share, "bash", "-c", `cd spec/faults && PROGRAMS=$1 STRONGSWAN_DIR=$2 exec "$1/faults.test" -ginkgo.v -ginkgo.no-color -ginkgo.focus "IP protocol 50"`,
		"faults", share, os.Getenv("STRONGSWAN_DIR"))
}

// table is how a person reads the promises.
func table(promises []promise) string {
	var out strings.Builder
	for _, p := range promises {
		verdict := "kept  "
		if !p.OK {
			verdict = "BROKEN"
		}
		fmt.Fprintf(&out, "%s  %s: %s\n", verdict, p.Name, p.Evidence)
	}
	return out.String()
}
