package fips_test

import (
	"errors"
	"os/exec"

	boshlog "github.com/cloudfoundry/bosh-utils/logger"
	"github.com/cloudfoundry/bosh-utils/system"
	"github.com/cloudfoundry/bosh-utils/system/fakes"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/ipsec/fips"
)

var _ = Describe("OpenSSL's FIPS provider", func() {
	DescribeTable("is judged by what openssl lists",
		func(result fakes.FakeCmdResult, want string) {
			runner := fakes.NewFakeCmdRunner()
			runner.AddCmdResult("openssl list -providers -provider fips", result)
			err := fips.Check(runner)
			if want == "" {
				Expect(err).NotTo(HaveOccurred())
			} else {
				Expect(err).To(MatchError(ContainSubstring(want)))
			}
		},
		Entry("active", fakes.FakeCmdResult{Stdout: "Providers:\n  fips\n    name: OpenSSL FIPS Provider\n    version: 3.0.9\n    status: active\n"}, ""),
		Entry("inactive", fakes.FakeCmdResult{Stdout: "Providers:\n  default\n    name: OpenSSL Default Provider\n    status: active\n"}, "which is not active"),
		Entry("missing", fakes.FakeCmdResult{Stderr: "list: unable to load provider fips\nHint: ...", Error: errors.New("exit 1"), ExitStatus: 1}, "cannot load (list: unable to load provider fips); use a FIPS stemcell"),
	)

	It("is asked for in words that the real openssl understands", func() {
		if _, err := exec.LookPath("openssl"); err != nil {
			Skip("needs openssl")
		}
		err := fips.Check(system.NewExecCmdRunner(boshlog.NewLogger(boshlog.LevelNone)))
		Expect(err).To(Or(BeNil(), MatchError(ContainSubstring("unable to load provider fips"))))
	})
})
