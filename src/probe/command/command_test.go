package command_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gbytes"

	"privnet/egress/enforcer"
	"privnet/probe/command"
)

var _ = Describe("tunnel-prober", func() {
	var (
		directory, config string
		out, errs         *gbytes.Buffer
	)

	BeforeEach(func() {
		directory = GinkgoT().TempDir()
		config = filepath.Join(directory, "prober.json")
		out, errs = gbytes.NewBuffer(), gbytes.NewBuffer()
	})

	run := func(arguments ...string) int {
		return command.Execute(context.Background(), append(arguments, "--config", config), out, errs)
	}

	freePort := func() int {
		listener, err := net.Listen("tcp4", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		defer listener.Close()
		return listener.Addr().(*net.TCPAddr).Port
	}

	configure := func(source, probes string) {
		text := fmt.Sprintf(`{"role": "cell", "interval": "500ms", "listen": "127.0.0.1:%d", "addresses": [%q],
  "connection": {"org": "agency-a", "segment": ["10.20.0.0/26"], "private_networks": ["10.150.0.0/16"],
    "gateways": [{"address": "10.20.0.4", "public_address": "203.0.113.10"}], "probes": [%s]}}`, freePort(), source, probes)
		Expect(os.WriteFile(config, []byte(text), 0o600)).To(Succeed())
	}

	// prober runs the process until the spec ends.
	prober := func() {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan int, 1)
		go func() {
			done <- command.Execute(ctx, []string{"run", "--config", config, "--state", filepath.Join(directory, "state.json"),
				"--enforcer", filepath.Join(directory, "status.json"), "--charon", filepath.Join(directory, "none")}, out, errs)
		}()
		DeferCleanup(func() { cancel(); Eventually(done, "5s").Should(Receive(Equal(0))) })
	}

	It("waits until the process watches, shows what it knows, and exits with 1 while the connection is not up", func() {
		configure("10.20.0.7", "")
		prober()
		Expect(run("ready", "--timeout", "5s")).To(Equal(0))
		Expect(run("status")).To(Equal(1))
		Expect(out).To(gbytes.Say("Connection of agency-a, seen from a cell: unknown"))
		Expect(out).To(gbytes.Say(`10\.20\.0\.0/26 +10\.150\.0\.0/16 +unknown`))
		Expect(errs).To(gbytes.Say("did not say"))
	})

	It("takes the enforcer's word for the rules, and prints the status as JSON", func() {
		configure("10.20.0.7", "")
		Expect(enforcer.WriteStatus(filepath.Join(directory, "status.json"), enforcer.Status{Enforced: true, Checked: time.Now()})).To(Succeed())
		prober()
		Expect(run("ready", "--timeout", "5s")).To(Equal(0))
		Expect(run("status", "--json")).To(Equal(1))
		Expect(out).To(gbytes.Say(`"reason": "10.20.0.0/26=10.150.0.0/16: no probe target declared"`))
		Expect(out).To(gbytes.Say(`"enforcement": {\s+"state": "on"`))
	})

	It("serves the page, and prints it as a file without links to the prober", func() {
		configure("10.20.0.7", "")
		prober()
		Expect(run("ready", "--timeout", "5s")).To(Equal(0))
		Expect(run("status", "--html")).To(Equal(1))
		Expect(out).To(gbytes.Say("(?s)<!DOCTYPE html>.*Private network of <strong>agency-a</strong>, seen from a dedicated cell.*</html>"))
		Expect(string(out.Contents())).NotTo(ContainSubstring("href=\"/"))
		Expect(run("status", "--html", "--json")).To(Equal(2))
	})

	It("exits with 1 when no prober answers", func() {
		configure("10.20.0.7", "")
		Expect(run("status")).To(Equal(1))
		Expect(errs).To(gbytes.Say("asking the prober: .*connection refused"))
		Expect(run("ready", "--timeout", "300ms")).To(Equal(1))
		Expect(errs).To(gbytes.Say("waiting for the prober"))
	})

	It("exits with 1 and every problem when the configuration is wrong", func() {
		configure("10.99.0.7", `{"address": "10.99.0.1"}`)
		Expect(run("run")).To(Equal(1))
		Expect(string(errs.Contents())).To(And(
			ContainSubstring("prober.json:1: addresses:"), ContainSubstring("has no address in the segment"),
			ContainSubstring("prober.json:3: connection.probes[0].address:"), ContainSubstring("is in none of the private networks")))
	})

	It("exits with 1 when it cannot serve", func() {
		configure("10.20.0.7", "")
		prober()
		Expect(run("ready", "--timeout", "5s")).To(Equal(0))
		Expect(run("run")).To(Equal(1))
		Expect(errs).To(gbytes.Say("address already in use"))
	})

	DescribeTable("exits with 2 on a wrong use", func(arguments ...string) {
		Expect(run(arguments...)).To(Equal(2))
		Expect(errs).To(gbytes.Say("See tunnel-prober.* --help"))
	}, Entry("unknown command", "watch"), Entry("unknown flag", "status", "--xml"), Entry("an argument too many", "status", "agency-a"))

	It("teaches how it is used", func() {
		Expect(command.Execute(context.Background(), []string{"--help"}, out, errs)).To(Equal(0))
		Expect(out).To(gbytes.Say("status +Show the state of every pair"))
	})
})
