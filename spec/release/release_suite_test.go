// Package release_test builds the release as an operator does and looks at what is in it.
package release_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"gopkg.in/yaml.v3"
)

func TestRelease(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "release")
}

var (
	root    string // the work tree
	tarball string // the release that scripts/create-release made of it
)

var _ = SynchronizedBeforeSuite(func() []byte {
	dir, err := os.MkdirTemp("", "release-spec-")
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, dir)
	path := filepath.Join(dir, "release.tgz")
	out, err := exec.Command("../../scripts/create-release", "--tarball="+path).CombinedOutput()
	Expect(err).NotTo(HaveOccurred(), string(out))
	return []byte(path)
}, func(path []byte) {
	tarball = string(path)
	var err error
	root, err = filepath.Abs("../..")
	Expect(err).NotTo(HaveOccurred())
})

// in runs a command in a directory and returns all that it printed.
func in(dir string, command ...string) (string, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// copyTree copies what bosh makes the release of, so that a spec can spoil it.
func copyTree() string {
	GinkgoHelper()
	dir := GinkgoT().TempDir()
	out, err := in(root, "cp", "-r", "LICENSE", "blobs", "config", "jobs", "packages", "scripts", "src", dir)
	Expect(err).NotTo(HaveOccurred(), out)
	return dir
}

// createRelease runs bosh itself in a copy of the tree.
func createRelease(dir string) (tarball, out string, err error) {
	GinkgoHelper()
	tarball = filepath.Join(GinkgoT().TempDir(), "release.tgz")
	out, err = in(dir, filepath.Join(root, "bin/bosh"), "--non-interactive", "create-release", "--force", "--tarball="+tarball)
	return tarball, out, err
}

// fingerprints makes a release of a copy and returns the fingerprint of each job and package.
func fingerprints(dir string) map[string]string {
	GinkgoHelper()
	tarball, out, err := createRelease(dir)
	Expect(err).NotTo(HaveOccurred(), out)
	data, err := in(dir, "tar", "xzOf", tarball, "release.MF")
	Expect(err).NotTo(HaveOccurred(), data)
	type part struct{ Name, Fingerprint string }
	var manifest struct{ Jobs, Packages []part }
	Expect(yaml.Unmarshal([]byte(data), &manifest)).To(Succeed())
	prints := map[string]string{}
	for _, job := range manifest.Jobs {
		prints["job "+job.Name] = job.Fingerprint
	}
	for _, p := range manifest.Packages {
		prints["package "+p.Name] = p.Fingerprint
	}
	return prints
}
