package lab_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
)

// root is the repository's directory.
var root = func() string {
	dir, err := filepath.Abs("../..")
	if err != nil {
		panic(err)
	}
	return dir
}()

func TestLab(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "the lab")
}

var _ = BeforeEach(func() {
	if os.Geteuid() != 0 {
		Skip("the lab makes network namespaces and needs root")
	}
})

// result is how a command ended.
type result struct {
	code           int
	stdout, stderr string
}

func run(name string, args ...string) result {
	GinkgoHelper()
	cmd := exec.Command(name, args...)
	cmd.Dir = root
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		Fail(err.Error())
	}
	GinkgoWriter.Printf("%s %v:\n%s%s\n", name, args, &stdout, &stderr)
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func lab(args ...string) result {
	GinkgoHelper()
	return run("scripts/lab", args...)
}

type promise struct {
	Name     string
	OK       bool
	Evidence string
}

func outcome(name string, ok bool, evidence string) types.GomegaMatcher {
	return And(HaveField("Name", name), HaveField("OK", ok), HaveField("Evidence", ContainSubstring(evidence)))
}

func check() (promises []promise, code int) {
	GinkgoHelper()
	r := lab("check", "--json")
	Expect(json.Unmarshal([]byte(r.stdout), &promises)).To(Succeed(), r.stderr)
	return promises, r.code
}

// traces are what a lab could leave on the machine. Network namespaces and temporary mounts of others come
// and go meanwhile (other specs and labs make some), so of these only the lab's count.
func traces() map[string]string {
	GinkgoHelper()
	out := map[string]string{
		"links":     run("ip", "-br", "link").stdout,
		"addresses": run("ip", "-br", "addr").stdout,
		"routes":    run("ip", "route", "show", "table", "all").stdout,
		"mounts":    ours(run("mount").stdout, " on /run/netns", " on /tmp/"),
		"rules":     counters.ReplaceAllString(run("iptables-save").stdout, ""),
		"processes": "",
	}
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	Expect(err).NotTo(HaveOccurred())
	for _, file := range files {
		if environment, err := os.ReadFile(file); err == nil && strings.Contains(string(environment), "PRIVNET_LAB="+directory) {
			out["processes"] += file + "\n"
		}
	}
	return out
}

// directory is the lab's.
var directory = filepath.Join(root, "tmp/lab")

// ours leaves out the lines that hold one of the texts, unless they hold the lab's directory too.
func ours(lines string, texts ...string) string {
	var out []string
	for _, line := range strings.Split(lines, "\n") {
		foreign := slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(line, text) })
		if !foreign || strings.Contains(line, directory) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

var counters = regexp.MustCompile(`(?m)^#.*\n|\[\d+:\d+\]`)
