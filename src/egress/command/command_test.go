package command_test

import (
	"fmt"
	"os"
	"os/exec"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

var _ = Describe("The command line", func() {
	DescribeTable("answers a wrong usage with 2", func(args ...string) {
		command := exec.Command(os.Args[0])
		command.Args = append([]string{programName}, args...)
		var exit *exec.ExitError
		out, err := command.CombinedOutput()
		Expect(err).To(BeAssignableToTypeOf(exit), string(out))
		Expect(err.(*exec.ExitError).ExitCode()).To(Equal(2), fmt.Sprint(string(out)))
	},
		Entry("an unknown command", "enforce"),
		Entry("an unknown flag", "run", "--now"),
		Entry("an argument too many", "apply", "this"),
	)
})
