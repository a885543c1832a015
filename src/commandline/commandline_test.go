package commandline_test

import (
	"bytes"
	"context"
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/spf13/cobra"

	"privnet/commandline"
)

var _ = Describe("A command line", func() {
	run := func(work func() error, arguments ...string) (int, string) {
		root := &cobra.Command{Use: "tool"}
		doing := &cobra.Command{Use: "apply", RunE: func(*cobra.Command, []string) error { return work() }}
		doing.Flags().Bool("now", false, "")
		doing.Flags().Bool("never", false, "")
		doing.MarkFlagsMutuallyExclusive("now", "never")
		root.AddCommand(doing)
		var stderr bytes.Buffer
		code := commandline.Run(context.Background(), root, arguments, GinkgoWriter, &stderr)
		return code, stderr.String()
	}
	fine := func() error { return nil }

	It("ends with 0 and silence when the command did its work", func() {
		code, stderr := run(fine, "apply", "--now")
		Expect(code).To(BeZero())
		Expect(stderr).To(BeEmpty())
	})

	It("ends with 1 and the error alone when the command failed", func() {
		code, stderr := run(func() error { return errors.New("no such segment") }, "apply")
		Expect(code).To(Equal(commandline.Failed))
		Expect(stderr).To(Equal("no such segment\n"))
	})

	It("ends with the code that the command asks for, and adds nothing to what it said", func() {
		code, stderr := run(func() error { return commandline.Exit(3) }, "apply")
		Expect(code).To(Equal(3))
		Expect(stderr).To(BeEmpty())
	})

	DescribeTable("ends with 2 and names the help when it was used wrongly", func(work func() error, stderr string, arguments ...string) {
		code, said := run(work, arguments...)
		Expect(code).To(Equal(commandline.Misuse))
		Expect(said).To(Equal(stderr))
	},
		Entry("by a flag that is not there", fine, "unknown flag: --later\nSee tool apply --help.\n", "apply", "--later"),
		Entry("by an argument where none belongs", fine, "unknown command \"x\" for \"tool apply\"\nSee tool apply --help.\n", "apply", "x"),
		Entry("by flags that exclude each other", fine,
			"if any flags in the group [now never] are set none of the others can be; [never now] were all set\nSee tool apply --help.\n", "apply", "--now", "--never"),
		Entry("by a mistyped command", fine, "unknown command \"aply\" for \"tool\"; did you mean apply?\nSee tool --help.\n", "aply"),
		Entry("by no command at all", fine, "say what to do: apply\nSee tool --help.\n"),
		Entry("as the command itself found", func() error { return commandline.Usage(errors.New("--now needs --what")) },
			"--now needs --what\nSee tool apply --help.\n", "apply"),
	)
})
