package release_test

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// Sources here are files of this machine: curl reads file:// as it reads https://.
var _ = Describe("scripts/fetch-blobs", func() {
	const content = "the right bytes"
	digest := func(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }
	var dir string

	BeforeEach(func() {
		dir = GinkgoT().TempDir()
		out, err := in(root, "cp", "-r", "--parents", "scripts/fetch-blobs", dir)
		Expect(err).NotTo(HaveOccurred(), out)
		write(filepath.Join(dir, "config/blobs.yml"), fmt.Sprintf("thing/it.zip:\n  size: %d\n  sha: sha256:%s\n", len(content), digest(content)))
		write(filepath.Join(dir, "right"), content)
		write(filepath.Join(dir, "wrong"), "other bytes")
	})

	fetch := func(sources ...string) (string, error) {
		GinkgoHelper()
		var lines strings.Builder
		for _, source := range sources {
			fmt.Fprintf(&lines, "thing/it.zip  file://%s\n", filepath.Join(dir, source))
		}
		write(filepath.Join(dir, "config/blob-sources"), lines.String())
		return in(dir, "scripts/fetch-blobs")
	}

	// blobs lists all that is in blobs/, half-fetched files too.
	blobs := func() []string {
		GinkgoHelper()
		var files []string
		Expect(filepath.WalkDir(filepath.Join(dir, "blobs"), func(path string, entry os.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				files = append(files, strings.TrimPrefix(path, dir+"/"))
			}
			return err
		})).To(Succeed())
		return files
	}

	It("tries each source until one serves the right bytes", func() {
		out, err := fetch("missing", "wrong", "right")
		Expect(err).NotTo(HaveOccurred(), out)
		Expect(blobs()).To(Equal([]string{"blobs/thing/it.zip"}))
		Expect(os.ReadFile(filepath.Join(dir, "blobs/thing/it.zip"))).To(BeEquivalentTo(content))
	})

	It("names the expected and the actual checksum when no source is right, and leaves nothing behind", func() {
		out, err := fetch("wrong")
		Expect(err).To(HaveOccurred())
		Expect(out).To(ContainSubstring("serves a file with SHA-256 %s, expected %s", digest("other bytes"), digest(content)))
		Expect(blobs()).To(BeEmpty())
	})

	It("fetches nothing that is there", func() {
		write(filepath.Join(dir, "blobs/thing/it.zip"), content)
		out, err := fetch("missing")
		Expect(err).NotTo(HaveOccurred(), out)
		Expect(out).To(ContainSubstring("is there"))
	})

	It("replaces a blob that is there and wrong", func() {
		write(filepath.Join(dir, "blobs/thing/it.zip"), "half of it")
		out, err := fetch("right")
		Expect(err).NotTo(HaveOccurred(), out)
		Expect(os.ReadFile(filepath.Join(dir, "blobs/thing/it.zip"))).To(BeEquivalentTo(content))
	})

	It("leaves no wrong blob behind when it cannot be replaced", func() {
		write(filepath.Join(dir, "blobs/thing/it.zip"), "half of it")
		_, err := fetch("wrong")
		Expect(err).To(HaveOccurred())
		Expect(blobs()).To(BeEmpty())
	})

	It("knows a source for each blob of the release, and a second one", func() {
		blobs, err := os.ReadFile(filepath.Join(root, "config/blobs.yml"))
		Expect(err).NotTo(HaveOccurred())
		sources, err := os.ReadFile(filepath.Join(root, "config/blob-sources"))
		Expect(err).NotTo(HaveOccurred())
		for line := range strings.Lines(string(blobs)) {
			if name, isName := strings.CutSuffix(strings.TrimSpace(line), ":"); isName {
				Expect(strings.Count(string(sources), "\n"+name+" ")).To(BeNumerically(">", 1), name)
			}
		}
	})

	DescribeTable("and the other scripts say in one sentence which tool is missing",
		func(script string, hidden string) {
			// A PATH with all of the machine's tools but one.
			bin := GinkgoT().TempDir()
			for _, place := range filepath.SplitList(os.Getenv("PATH")) {
				entries, _ := os.ReadDir(place)
				for _, entry := range entries {
					if entry.Name() != hidden {
						_ = os.Symlink(filepath.Join(place, entry.Name()), filepath.Join(bin, entry.Name()))
					}
				}
			}
			out, err := in(root, "env", "PATH="+bin, "scripts/"+script)
			Expect(err).To(HaveOccurred())
			Expect(strings.Split(strings.TrimSpace(out), "\n")).To(HaveLen(1))
			Expect(out).To(ContainSubstring("needs " + hidden))
		},
		Entry("curl", "fetch-blobs", "curl"),
		Entry("curl", "create-release", "curl"),
		Entry("go", "create-release", "go"),
		Entry("go", "build", "go"),
	)
})
