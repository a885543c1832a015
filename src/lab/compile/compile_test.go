package compile_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/lab/compile"
)

const releaseMF = `
name: demo
version: 1
jobs:
- {name: greeter, fingerprint: j1}
packages:
- {name: greeting, fingerprint: f2, dependencies: [words]}
- {name: words, fingerprint: f1, dependencies: []}
`

const jobMF = `
name: greeter
templates: {greet.erb: bin/greet}
packages: [greeting]
provides: [{name: greeting, type: greeting, properties: [text.plain, loud]}]
consumes: [{name: place, type: place, optional: true}]
properties:
  text.plain: {description: What to say., example: hello}
  loud: {default: false}
`

var _ = Describe("Compiling a release", func() {
	var dir, cache string
	var files map[string]string
	var steps []string

	BeforeEach(func() {
		if os.Getuid() != 0 {
			Skip("compiling needs root: it makes namespaces and mounts")
		}
		dir, cache, steps = GinkgoT().TempDir(), GinkgoT().TempDir(), nil
		files = map[string]string{
			"release.MF":              releaseMF,
			"jobs/greeter/job.MF":     jobMF,
			"jobs/greeter/monit":      "",
			"packages/words/word.txt": "hello",
			"packages/words/packaging": `
cp word.txt "$BOSH_INSTALL_TARGET/"`,
			"packages/greeting/packaging": `
cat /var/vcap/packages/words/word.txt > "$BOSH_INSTALL_TARGET/greeting"
env | sort > "$BOSH_INSTALL_TARGET/env"
ls -d /var/* /var/vcap/* /var/vcap/packages/* > "$BOSH_INSTALL_TARGET/seen"
cat /proc/net/dev > "$BOSH_INSTALL_TARGET/links"
touch /var/vcap/packages/words/mine 2> "$BOSH_INSTALL_TARGET/refused" || true`,
		}
	})

	run := func(command ...string) {
		GinkgoHelper()
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))
	}

	tarball := func() string {
		GinkgoHelper()
		root := filepath.Join(GinkgoT().TempDir(), "release")
		for name, content := range files {
			path := filepath.Join(root, name)
			Expect(os.MkdirAll(filepath.Dir(path), 0o755)).To(Succeed())
			Expect(os.WriteFile(path, []byte(content), 0o644)).To(Succeed())
		}
		parts, err := filepath.Glob(root + "/*/*")
		Expect(err).NotTo(HaveOccurred())
		for _, part := range parts {
			run("tar", "czf", part+".tgz", "-C", part, ".")
			Expect(os.RemoveAll(part)).To(Succeed())
		}
		out := filepath.Join(dir, "release.tgz")
		run("tar", "czf", out, "-C", root, ".")
		return out
	}

	build := func() (compile.Release, error) {
		return compile.Compile(context.Background(), tarball(), cache, func(step string) { steps = append(steps, step) })
	}

	It("compiles each package after those that it depends on", func() {
		release, err := build()
		Expect(err).NotTo(HaveOccurred())
		Expect(release.Name).To(Equal("demo"))
		Expect(release.Version).To(Equal("1"))
		Expect(filepath.Join(release.Packages["greeting"], "greeting")).To(BeARegularFile())
		Expect(os.ReadFile(filepath.Join(release.Packages["greeting"], "greeting"))).To(BeEquivalentTo("hello"))
	})

	It("shows a packaging script what a compilation VM has, no network, and nothing of this machine's /var", func() {
		_, before := os.Stat("/var/vcap")
		release, err := build()
		Expect(err).NotTo(HaveOccurred())
		read := func(name string) string {
			data, err := os.ReadFile(filepath.Join(release.Packages["greeting"], name))
			Expect(err).NotTo(HaveOccurred())
			return string(data)
		}
		Expect(read("seen")).To(Equal("/var/tmp\n/var/vcap\n/var/vcap/data\n/var/vcap/packages\n" +
			"/var/vcap/packages/greeting\n/var/vcap/packages/words\n"))
		Expect(read("env")).To(ContainSubstring("BOSH_INSTALL_TARGET=/var/vcap/packages/greeting\n"))
		Expect(read("env")).NotTo(ContainSubstring("HOME="))
		Expect(read("links")).NotTo(ContainSubstring("eth"))
		Expect(read("refused")).To(ContainSubstring("Read-only file system"))
		_, after := os.Stat("/var/vcap")
		Expect(os.IsNotExist(after)).To(Equal(os.IsNotExist(before)), "/var/vcap on the machine itself")
	})

	It("compiles nothing again that has not changed, and what depends on a change", func() {
		first, err := build()
		Expect(err).NotTo(HaveOccurred())
		steps = nil
		second, err := build()
		Expect(err).NotTo(HaveOccurred())
		Expect(second).To(Equal(first))
		Expect(steps).To(ConsistOf("package words is compiled already", "package greeting is compiled already"))

		files["release.MF"] = `
name: demo
version: 2
packages:
- {name: greeting, fingerprint: f2, dependencies: [words]}
- {name: words, fingerprint: f1-changed, dependencies: []}
`
		delete(files, "jobs/greeter/job.MF")
		delete(files, "jobs/greeter/monit")
		third, err := build()
		Expect(err).NotTo(HaveOccurred())
		Expect(third.Packages["words"]).NotTo(Equal(first.Packages["words"]))
		Expect(third.Packages["greeting"]).NotTo(Equal(first.Packages["greeting"]))
	})

	It("says why a packaging script failed and keeps no half result", func() {
		files["packages/words/packaging"] = "echo about to fail\nexit 3\n"
		_, err := build()
		Expect(err).To(MatchError(ContainSubstring("compiling package words: its packaging script: exit status 3")))
		Expect(err).To(MatchError(ContainSubstring("about to fail")))
		Expect(filepath.Glob(filepath.Join(cache, "packages", "words", "*"))).To(HaveEach(HaveSuffix(".log")))
		Expect(filepath.Glob(filepath.Join(cache, "packages", "words", ".partial*"))).To(BeEmpty())
	})

	It("ends a packaging script and its children when it is cancelled", func() {
		files["packages/words/packaging"] = "sleep 1000 | sleep 1000\n"
		ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := compile.Compile(ctx, tarball(), cache, func(string) {})
		Expect(err).To(HaveOccurred())
		Expect(time.Since(start)).To(BeNumerically("<", 4*time.Second))
	})

	It("refuses packages that depend on one another or on what is not there", func() {
		files["release.MF"] = "name: demo\npackages: [{name: greeting, fingerprint: f, dependencies: [nothing]}]\n"
		_, err := build()
		Expect(err).To(MatchError("package greeting depends on itself or on a package that the release lacks"))
	})

	It("refuses a file that is no release", func() {
		_, err := compile.Compile(context.Background(), "/etc/hostname", cache, func(string) {})
		Expect(err).To(MatchError(ContainSubstring("unpacking hostname")))
	})

	It("reads a job's spec with the links and the defaults in it", func() {
		release, err := build()
		Expect(err).NotTo(HaveOccurred())
		job := release.Jobs["greeter"]
		Expect(job.Templates).To(HaveKeyWithValue("greet.erb", "bin/greet"))
		Expect(job.Packages).To(Equal([]string{"greeting"}))
		Expect(job.Consumes).To(ConsistOf(compile.Consume{Name: "place", Type: "place", Optional: true}))
		values := job.Values(map[string]any{"text": map[string]any{"plain": "hi", "unknown": 1}, "other": 2})
		Expect(values).To(Equal(map[string]any{"text": map[string]any{"plain": "hi"}, "loud": false}))
		Expect(job.Provides[0].Pick(values)).To(Equal(values))
		Expect(job.Values(nil)).To(Equal(map[string]any{"loud": false}))
	})
})
