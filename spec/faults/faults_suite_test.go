// Package faults_test is the catalogue of what goes wrong between a gateway and a customer's endpoint. Real
// charons on both sides, the release's and Debian's, with one fault at a time; then the doctor must name
// exactly the parameter and the side. The score is printed at the end.
package faults_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	. "github.com/onsi/gomega"
)

func TestFaults(t *testing.T) {
	RegisterFailHandler(Fail)
	// A machine that runs five cases at once is slow.
	SetDefaultEventuallyTimeout(10 * time.Second)
	RunSpecs(t, "faults")
}

var programs string

// built is a directory that holds the programs already; spec/kernel sets it, for a guest is slow.
var built = os.Getenv("PROGRAMS")

var _ = SynchronizedBeforeSuite(func() []byte {
	if built != "" {
		return []byte(built)
	}
	dir, err := os.MkdirTemp("", "faults")
	Expect(err).NotTo(HaveOccurred())
	build := exec.Command("go", "build", "-mod=readonly", "-o", dir+"/", "./cmd/ipsec-gateway", "./cmd/tunnel-doctor")
	build.Dir = "../../src"
	build.Env = append(os.Environ(), "GOWORK=off")
	output, err := build.CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), "%s", output)
	return []byte(dir)
}, func(dir []byte) { programs = string(dir) })

var _ = SynchronizedAfterSuite(func() {}, func() {
	if built == "" {
		os.RemoveAll(programs)
	}
})

func program(name string) string { return filepath.Join(programs, name) }

// catalogue is the label of the specs that count for the score.
const catalogue = "catalogue"

var _ = ReportAfterSuite("the score", func(report Report) {
	right, all := map[string]int{}, map[string]int{}
	for _, spec := range report.SpecReports {
		for _, label := range spec.Labels() {
			group, counted := strings.CutPrefix(label, catalogue+" ")
			if !counted || !spec.State.Is(types.SpecStatePassed|types.SpecStateFailureStates) {
				continue
			}
			all[group]++
			if spec.Failed() {
				fmt.Printf("not named: %s\n", spec.FullText())
			} else {
				right[group]++
			}
		}
	}
	for group := range all {
		fmt.Printf("fault catalogue, %s: %d of %d named exactly\n", group, right[group], all[group])
	}
})
