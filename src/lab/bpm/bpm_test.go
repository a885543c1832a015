package bpm_test

import (
	"fmt"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"privnet/lab/bpm"
)

var _ = Describe("reading a bpm.yml", func() {
	DescribeTable("refuses what bpm refuses, and what the stand-in would not obey",
		func(text, want string) {
			_, err := bpm.Parse([]byte(text))
			Expect(err).To(MatchError(ContainSubstring(want)))
		},
		Entry("an unknown field", "processes:\n- {name: a, executable: /bin/true, hooks: {pre_start: /x}}", "field hooks not found"),
		Entry("a nameless process", "processes:\n- {executable: /bin/true}", "no name"),
		Entry("a relative executable", "processes:\n- {name: a, executable: true}", "no absolute path"),
		Entry("a volume elsewhere", "processes:\n- {name: a, executable: /a, additional_volumes: [{path: /var/vcap/data/../jobs}]}", `"/var/vcap/data/../jobs" is not below`),
		Entry("no YAML", "processes: [", "parsing bpm.yml"),
	)
})

var _ = Describe("running a job's process", func() {
	var b bpm.BPM

	BeforeEach(func() {
		if os.Geteuid() != 0 {
			Skip("changing the user of a process needs root")
		}
		b.Root = GinkgoT().TempDir()
		Expect(os.Chmod(filepath.Dir(b.Root), 0o755)).To(Succeed())
	})

	configure := func(text string) {
		config := filepath.Join(b.Root, "var/vcap/jobs/web/config")
		Expect(os.MkdirAll(config, 0o755)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(config, "bpm.yml"), []byte(text), 0o644)).To(Succeed())
		DeferCleanup(func() { Expect(b.Stop("web", "web")).To(Succeed()) })
	}
	// start reaps the process, as a host's first process does.
	start := func() {
		GinkgoHelper()
		Expect(b.Start("web", "web")).To(Succeed())
		process, err := os.FindProcess(b.PID("web", "web"))
		Expect(err).NotTo(HaveOccurred())
		go func() { _, _ = process.Wait() }()
	}
	output := func() string {
		data, _ := os.ReadFile(filepath.Join(b.Root, "var/vcap/sys/log/web/web.stdout.log"))
		return string(data)
	}

	It("gives it vcap's identity, only its capabilities, its environment and its log", func() {
		configure(`processes:
- name: web
  executable: /bin/sh
  args: [-c, "id -u; grep -E 'Cap(Eff|Bnd|Amb)|NoNewPrivs' /proc/self/status; echo $GREETING; ulimit -n; exec sleep 60"]
  env: {GREETING: hello}
  capabilities: [NET_RAW]
  limits: {open_files: 77}
`)
		start()
		Eventually(output).Should(And(
			HavePrefix("1000\n"), HaveSuffix("hello\n77\n"), MatchRegexp(`CapEff:\s+0000000000002000`),
			MatchRegexp(`CapBnd:\s+0000000000002000`), MatchRegexp(`CapAmb:\s+0000000000002000`), MatchRegexp(`NoNewPrivs:\s+1`),
		))
		pid := b.PID("web", "web")
		Expect(os.ReadFile(filepath.Join(b.Root, "var/vcap/sys/run/bpm/web/web.pid"))).To(BeEquivalentTo(fmt.Sprintf("%d\n", pid)))

		By("starting it again, which changes nothing")
		Expect(b.Start("web", "web")).To(Succeed())
		Expect(b.PID("web", "web")).To(Equal(pid))
	})

	It("runs a privileged one as root", func() {
		configure("processes:\n- {name: web, executable: /bin/sh, args: [-c, id -u; exec sleep 60], unsafe: {privileged: true}}")
		start()
		Eventually(output).Should(Equal("0\n"))
	})

	It("stops it with its children and removes the pid file", func() {
		configure("processes:\n- {name: web, executable: /bin/sh, args: [-c, sleep 60 & wait], unsafe: {privileged: true}}")
		start()
		pid := b.PID("web", "web")
		Expect(pid).NotTo(BeZero())
		Expect(b.Stop("web", "web")).To(Succeed())
		Expect(b.PID("web", "web")).To(BeZero())
		Expect(filepath.Join(b.Root, "var/vcap/sys/run/bpm/web/web.pid")).NotTo(BeAnExistingFile())
		Expect(b.Stop("web", "web")).To(Succeed())
	})

	It("refuses a device, which bpm gives to nobody", func() {
		configure("processes:\n- {name: web, executable: /bin/true, unsafe: {privileged: true, unrestricted_volumes: [{path: /dev/thing, mount_only: true}]}}")
		Expect(os.Mkdir(filepath.Join(b.Root, "dev"), 0o755)).To(Succeed())
		Expect(unix.Mknod(filepath.Join(b.Root, "dev/thing"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))).To(Succeed())
		Expect(b.Start("web", "web")).To(MatchError(ContainSubstring("/dev/thing is a device, which bpm mounts nodev")))
	})

	It("says what is missing", func() {
		configure("processes:\n- {name: web, executable: /not/there, unsafe: {privileged: true}}")
		Expect(b.Start("web", "web")).To(MatchError(ContainSubstring("/not/there")))
		Expect(b.Start("web", "other")).To(MatchError(ContainSubstring("no process other")))
		Expect(b.Start("nothing", "nothing")).To(MatchError(ContainSubstring("reading the job's configuration")))
	})
})
