package cli_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("privnet as processes", func() {
	var dir string

	command := func(args ...string) *exec.Cmd {
		c := exec.Command(os.Args[0], args...)
		// The race detector would make each process wait a second at its end.
		c.Dir, c.Env = dir, append(os.Environ(), asPrivnet+"=1", "GORACE=atexit_sleep_ms=0")
		return c
	}
	plan := func(request string) *exec.Cmd {
		return command("plan", "--request", request, "--platform", "platform.yml")
	}
	request := func(name string, apps int) string {
		GinkgoHelper()
		text := strings.Replace(requestFile, "Agency A", name, 1)
		text = strings.Replace(text, "apps: 10", fmt.Sprintf("apps: %d", apps), 1)
		file := strings.ReplaceAll(name, " ", "-") + ".yml"
		Expect(os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644)).To(Succeed())
		return file
	}

	BeforeEach(func() {
		dir = GinkgoT().TempDir()
		Expect(os.WriteFile(filepath.Join(dir, "platform.yml"), []byte(`iaas: vsphere
networks: [10.0.0.0/16]
segments: [{az: z1, cidr: 10.20.0.0/16}]
public_addresses: [203.0.113.0/24]
public_network: public
`), 0o644)).To(Succeed())
	})

	It("lose nothing and give nothing twice when operators plan at the same moment", func() {
		const operators = 8
		var running []*exec.Cmd
		outputs := make([]bytes.Buffer, operators)
		for i := range operators {
			c := plan(request(fmt.Sprintf("org %d", i), 10))
			c.Stdout, c.Stderr = &outputs[i], &outputs[i]
			Expect(c.Start()).To(Succeed())
			running = append(running, c)
		}
		for i, c := range running {
			Expect(c.Wait()).To(Succeed(), outputs[i].String())
		}
		// list refuses a ledger in which two orgs hold the same thing.
		out, err := command("list").CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		for i := range operators {
			Expect(string(out)).To(ContainSubstring("org-%d ", i))
		}
	})

	It("leave a whole ledger when they are killed at any moment, and the same command again does the rest", func() {
		for i := range 40 {
			file := request(fmt.Sprintf("org %d", i%4), 10+i)
			c := plan(file)
			Expect(c.Start()).To(Succeed())
			time.Sleep(time.Duration(i) * time.Millisecond)
			Expect(c.Process.Kill()).To(Or(Succeed(), MatchError(os.ErrProcessDone)))
			_ = c.Wait() // It may have been done already.

			out, err := command("list").CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), string(out))
			out, err = plan(file).CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), string(out))
			Expect(os.ReadFile(filepath.Join(dir, "orgs", fmt.Sprintf("org-%d", i%4), "request.yml"))).To(ContainSubstring("apps: %d\n", 10+i))
		}
		left, err := filepath.Glob(filepath.Join(dir, "orgs", ".*"))
		Expect(err).NotTo(HaveOccurred())
		Expect(left).To(BeEmpty())
	})

	It("show differences in colour on a terminal only, and not with NO_COLOR", func() {
		script, err := exec.LookPath("script")
		if err != nil {
			Skip("NO SCRIPT: without script (Debian's bsdutils) there is no terminal to write to")
		}
		request("org", 10)
		dryRun := []string{"plan", "--request", "org.yml", "--platform", "platform.yml", "--dry-run"}
		onTerminal := func(environment ...string) string {
			c := command()
			c.Path, c.Args = script, []string{"script", "-qec", strings.Join(append([]string{os.Args[0]}, dryRun...), " "), "/dev/null"}
			c.Env = append(append(c.Env, "TERM=xterm", "NO_COLOR="), environment...)
			out, err := c.CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), string(out))
			return string(out)
		}
		const coloured = "\x1b[32m+ org: org\x1b[0m"
		Expect(onTerminal()).To(ContainSubstring(coloured))
		Expect(onTerminal("NO_COLOR=1")).NotTo(ContainSubstring("\x1b"))
		Expect(onTerminal("TERM=dumb")).NotTo(ContainSubstring("\x1b"))
		out, err := command(dryRun...).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
		Expect(string(out)).To(And(ContainSubstring("+ org: org\n"), Not(ContainSubstring("\x1b"))))
	})

	It("take an org away whole when they are killed at any moment of any step, and the same command again does the rest", func() {
		write := func(name, text string) {
			Expect(os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644)).To(Succeed())
		}
		write("cf.yml", manifestFile)
		write("deployed.yml", manifestFile)
		steps := [][]string{
			nil, {"--done", "apps"}, {"--done", "cells", "--deployed", "deployed.yml"}, {"--done", "gateway", "--deployed", "deployed.yml"},
			{"--done", "cloud-config"}, {"--done", "key"},
		}
		for delay := range 4 {
			org := fmt.Sprintf("org-%d", delay)
			out, err := plan(request(org, 10)).CombinedOutput()
			Expect(err).NotTo(HaveOccurred(), string(out))
			for _, step := range steps {
				remove := func() *exec.Cmd {
					return command(append([]string{"remove", "--org", org, "--platform", "platform.yml", "--manifest", "cf.yml"}, step...)...)
				}
				c := remove()
				Expect(c.Start()).To(Succeed())
				time.Sleep(time.Duration(10+8*delay) * time.Millisecond)
				Expect(c.Process.Kill()).To(Or(Succeed(), MatchError(os.ErrProcessDone)))
				_ = c.Wait() // It may have been done already.
				out, err := remove().CombinedOutput()
				Expect(err).NotTo(HaveOccurred(), string(out))
			}
			left, err := filepath.Glob(filepath.Join(dir, "orgs", ".removed", org, "1", "*"))
			Expect(err).NotTo(HaveOccurred())
			Expect(left).To(HaveLen(3))
			Expect(filepath.Join(dir, "orgs", org)).NotTo(BeADirectory())
		}
	})
})
