package release_test

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/lab/compile"
)

var _ = Describe("The release", func() {
	It("compiles every package offline, from the tarball alone, into binaries that run", func() {
		if os.Getuid() != 0 {
			Skip("compiling needs root: it makes namespaces and mounts")
		}
		release, err := compile.Compile(context.Background(), tarball, GinkgoT().TempDir(), func(step string) { GinkgoWriter.Println(step) })
		Expect(err).NotTo(HaveOccurred())
		Expect(release.Name).To(Equal("private-network"))
		for _, job := range release.Jobs {
			for _, name := range job.Packages {
				Expect(release.Packages).To(HaveKey(name), "a package of job "+job.Name)
			}
		}

		binaries, err := filepath.Glob(filepath.Join(release.Packages["privnet"], "bin", "*"))
		Expect(err).NotTo(HaveOccurred())
		var names []string
		for _, binary := range binaries {
			names = append(names, filepath.Base(binary))
			out, err := in("/", binary, "--help")
			Expect(err).NotTo(HaveOccurred(), out)
		}
		Expect(names).To(ConsistOf(jobCommands()))

		strongswan := release.Packages["strongswan"]
		// The package brings no strongswan.conf, without which nothing of it starts; the jobs write theirs.
		settings := filepath.Join(GinkgoT().TempDir(), "strongswan.conf")
		write(settings, "")
		environment := []string{"env", "LD_LIBRARY_PATH=" + filepath.Join(strongswan, "lib/ipsec"), "STRONGSWAN_CONF=" + settings}
		Expect(in("/", append(environment, filepath.Join(strongswan, "libexec/ipsec/charon"), "--version")...)).To(ContainSubstring("6.1.0"))
		Expect(in("/", append(environment, filepath.Join(strongswan, "sbin/swanctl"), "--help")...)).To(ContainSubstring("6.1.0"))
		for _, plugin := range []string{"vici", "kernel-netlink", "kernel-libipsec", "openssl", "ml", "updown", "counters"} {
			Expect(filepath.Join(strongswan, "lib/ipsec/plugins", "libstrongswan-"+plugin+".so")).To(BeARegularFile())
		}
		Expect(filepath.Glob(filepath.Join(strongswan, "lib/ipsec/plugins/*stroke*"))).To(BeEmpty())
	})

	It("has of our sources exactly what the jobs' binaries are built from", func() {
		needed := filesOfBinaries()
		archived := filesOfPackage("privnet")
		Expect(archived).To(ContainElements(needed))
		// A glob takes whole directories, so other systems' files come along; tests and other packages must not.
		places := map[string]bool{".": true, "vendor": true}
		for _, file := range needed {
			places[filepath.Dir(file)] = true
		}
		for _, file := range archived {
			Expect(places).To(HaveKey(filepath.Dir(file)), file)
			Expect(file).NotTo(HaveSuffix("_test.go"))
		}
	})

	It("keeps every fingerprint when a page, a spec or the lab changes, and only privnet's loses it when its source does", func() {
		dir := copyTree()
		before := fingerprints(dir)
		Expect(before).To(HaveKey("package privnet"))
		for _, path := range []string{
			"README.md", "docs/page.md", "src/connection/more_test.go", "src/lab/more.go", "src/onboard/more.go", "src/handoff/more.go",
		} {
			write(filepath.Join(dir, path), "package more\n")
		}
		Expect(fingerprints(dir)).To(Equal(before))

		write(filepath.Join(dir, "src/connection/more.go"), "package connection\n")
		after := fingerprints(dir)
		Expect(after["package privnet"]).NotTo(Equal(before["package privnet"]))
		delete(after, "package privnet")
		delete(before, "package privnet")
		Expect(after).To(Equal(before))
	})

	It("has shell scripts that stop at the first error and that shellcheck accepts", func() {
		scripts, err := in(root, "sh", "-c", "ls scripts/* packages/*/packaging")
		Expect(err).NotTo(HaveOccurred())
		for _, script := range strings.Fields(scripts) {
			Expect(os.ReadFile(filepath.Join(root, script))).To(ContainSubstring("\nset -euo pipefail\n"), script)
			out, err := in(root, "shellcheck", script)
			Expect(err).NotTo(HaveOccurred(), out)
		}
	})

	It("is final only if all that is in it is committed", func() {
		dir := copyTree()
		out, err := in(root, "cp", "go.mod", "go.sum", ".gitignore", dir)
		Expect(err).NotTo(HaveOccurred(), out)
		for _, arguments := range []string{"init", "add --all", "-c user.name=a -c user.email=a@example.com commit --message=all"} {
			out, err := in(dir, append([]string{"git"}, strings.Fields(arguments)...)...)
			Expect(err).NotTo(HaveOccurred(), out)
		}
		write(filepath.Join(dir, "jobs/private-dns/monit"), "# not committed\n")
		out, err = in(dir, "scripts/create-release", "--final", "--version=1.0.0")
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("local modifications"))
		Expect(filepath.Join(dir, "releases")).NotTo(BeADirectory())
	})

	It("is not made without the vendored modules", func() {
		dir := copyTree()
		Expect(os.RemoveAll(filepath.Join(dir, "src/vendor"))).To(Succeed())
		_, out, err := createRelease(dir)
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("Missing files for pattern 'vendor/"))
	})

	It("is not made without the blobs", func() {
		dir := copyTree()
		Expect(os.RemoveAll(filepath.Join(dir, "blobs"))).To(Succeed())
		_, out, err := createRelease(dir)
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("strongswan-6.1.0.tar.bz2"))
	})
})

func write(path, text string) {
	GinkgoHelper()
	Expect(os.MkdirAll(filepath.Dir(path), 0o755)).To(Succeed())
	Expect(os.WriteFile(path, []byte(text), 0o644)).To(Succeed())
}

// jobCommands are the commands in src/cmd that have the name of a job.
func jobCommands() []string {
	GinkgoHelper()
	jobs, err := os.ReadDir(filepath.Join(root, "jobs"))
	Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, job := range jobs {
		if _, err := os.Stat(filepath.Join(root, "src/cmd", job.Name())); err == nil {
			names = append(names, job.Name())
		}
	}
	Expect(names).NotTo(BeEmpty())
	return names
}

// filesOfBinaries asks the go command for all files, below src, that go into the jobs' binaries.
func filesOfBinaries() []string {
	GinkgoHelper()
	command := exec.Command("go", "list", "-deps", "-json")
	for _, name := range jobCommands() {
		command.Args = append(command.Args, "./cmd/"+name)
	}
	command.Dir = filepath.Join(root, "src")
	command.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=vendor", "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	out, err := command.Output()
	Expect(err).NotTo(HaveOccurred())
	files := []string{"go.mod", "vendor/modules.txt"}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			Dir                                 string
			Standard                            bool
			GoFiles, SFiles, HFiles, EmbedFiles []string
		}
		err := decoder.Decode(&p)
		if err == io.EOF {
			return files
		}
		Expect(err).NotTo(HaveOccurred())
		if p.Standard {
			continue
		}
		place, err := filepath.Rel(command.Dir, p.Dir)
		Expect(err).NotTo(HaveOccurred())
		for _, file := range slices.Concat(p.GoFiles, p.SFiles, p.HFiles, p.EmbedFiles) {
			files = append(files, filepath.Join(place, file))
		}
	}
}

// filesOfPackage lists a package's files in the release, without the packaging script.
func filesOfPackage(name string) []string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	out, err := in(dir, "tar", "xzf", tarball, "packages/"+name+".tgz")
	Expect(err).NotTo(HaveOccurred(), out)
	out, err = in(dir, "tar", "tzf", "packages/"+name+".tgz")
	Expect(err).NotTo(HaveOccurred(), out)
	var files []string
	for line := range strings.Lines(out) {
		file := strings.TrimPrefix(strings.TrimSpace(line), "./")
		if file != "" && file != "packaging" && !strings.HasSuffix(file, "/") {
			files = append(files, file)
		}
	}
	return files
}
