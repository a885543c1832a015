package command_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/doctor/command"
)

func TestCommand(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "doctor/command")
}

func run(arguments ...string) (code int, stdout, stderr string) {
	var out, err strings.Builder
	code = command.Execute(context.Background(), arguments, &out, &err)
	return code, out.String(), err.String()
}

var _ = Describe("tunnel-doctor", func() {
	It("teaches how it is used, and what its exit status means", func() {
		code, out, _ := run("--help")
		Expect(code).To(BeZero())
		Expect(out).To(And(ContainSubstring("0 healthy, 1 broken, 2 wrong usage, 3 it cannot tell"), ContainSubstring("--bundle"), ContainSubstring("--watch")))
	})

	It("ends with 2 on wrong usage, and with 1 on a configuration that is not there or wrong", func() {
		code, _, stderr := run("--nonsense")
		Expect(code).To(Equal(2))
		Expect(stderr).To(ContainSubstring("--nonsense"))
		for _, ignored := range []string{"--json", "--fix", "--bundle=bundle.tgz"} {
			code, _, _ = run("--watch", ignored)
			Expect(code).To(Equal(2), ignored)
		}

		code, _, stderr = run("--config", "/nowhere/doctor.json")
		Expect(code).To(Equal(1))
		Expect(stderr).To(ContainSubstring("/nowhere/doctor.json"))

		path := filepath.Join(GinkgoT().TempDir(), "doctor.json")
		Expect(os.WriteFile(path, []byte(`{"role": "cell", "conection": {}}`), 0o600)).To(Succeed())
		code, _, stderr = run("--config", path)
		Expect(code).To(Equal(1))
		Expect(stderr).To(ContainSubstring("conection"))
	})
})
