package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cppforlife/go-patch/patch"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"gopkg.in/yaml.v2"

	"privnet/onboard/cli"
)

var _ = Describe("privnet verify", func() {
	var dir string
	var stdout, stderr bytes.Buffer

	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) { Expect(os.WriteFile(path(name), []byte(text), 0o644)).To(Succeed()) }
	read := func(name string) []byte {
		GinkgoHelper()
		data, err := os.ReadFile(path(name))
		Expect(err).NotTo(HaveOccurred())
		return data
	}
	run := func(args ...string) int {
		stdout.Reset()
		stderr.Reset()
		return cli.Run(args, strings.NewReader(""), &stdout, &stderr)
	}
	verify := func(extra ...string) int {
		return run(append([]string{"verify", "--platform", path("platform.yml"), "--manifest", path("manifest.yml"), "--orgs", path("orgs")}, extra...)...)
	}

	BeforeEach(func() {
		dir = GinkgoT().TempDir()
		write("platform.yml", platformFile)
		write("cf.yml", manifestFile)
		for i, org := range []string{"Agency A", "Agency B"} {
			write("request.yml", strings.NewReplacer("Agency A", org, "198.51.100.10", fmt.Sprintf("198.51.100.%d", i+10)).Replace(requestFile))
			Expect(run("plan", "--request", path("request.yml"), "--platform", path("platform.yml"), "--orgs", path("orgs"))).To(Equal(0), stderr.String())
		}
		Expect(run("render", "--all", "--shared-cell-guard", "--platform", path("platform.yml"), "--manifest", path("cf.yml"),
			"--orgs", path("orgs"), "--out", path("rendered"))).To(Equal(0), stderr.String())
		var manifest any
		Expect(yaml.Unmarshal([]byte(manifestFile), &manifest)).To(Succeed())
		for _, file := range []string{"agency-a/ops.yml", "agency-b/ops.yml", "shared-cell-guard.yml"} {
			var definitions []patch.OpDefinition
			Expect(yaml.Unmarshal(read("rendered/"+file), &definitions)).To(Succeed())
			ops, err := patch.NewOpsFromDefinitions(definitions)
			Expect(err).NotTo(HaveOccurred())
			manifest, err = ops.Apply(manifest)
			Expect(err).NotTo(HaveOccurred())
		}
		data, err := yaml.Marshal(manifest)
		Expect(err).NotTo(HaveOccurred())
		write("manifest.yml", string(data))
	})

	It("exits 0 where everything holds, in one line, as JSON and as a page", func() {
		Expect(verify()).To(Equal(0), stdout.String()+stderr.String())
		Expect(stdout.String()).To(MatchRegexp(`^All obligations hold for 2 orgs: \d+ rules\.\n$`))
		Expect(verify("--json", "--report", path("proof.html"))).To(Equal(0))
		var result struct {
			Result struct {
				Holds bool
				Orgs  []struct{ Name string }
			}
			Inputs []struct{ Name, SHA256 string }
		}
		Expect(json.Unmarshal(stdout.Bytes(), &result)).To(Succeed())
		Expect(result.Result.Holds).To(BeTrue())
		Expect(result.Result.Orgs).To(HaveLen(2))
		Expect(result.Inputs).To(HaveLen(6))
		Expect(result.Inputs[0].SHA256).To(HaveLen(64))
		Expect(run("remove", "--org", "agency-a", "--platform", path("platform.yml"), "--manifest", path("manifest.yml"), "--orgs", path("orgs"),
			"--out", path("rendered"))).To(Equal(0), stderr.String())
		Expect(verify("--json")).To(Equal(0), stdout.String())
		Expect(json.Unmarshal(stdout.Bytes(), &result)).To(Succeed())
		Expect(result.Inputs).To(ContainElement(HaveField("Name", path("orgs/agency-a/removal.yml"))))
		Expect(string(read("proof.html"))).To(ContainSubstring("All obligations hold for 2 orgs"))
	})

	It("shows a packet and exits 1 where something does not hold", func() {
		write("manifest.yml", strings.Replace(string(read("manifest.yml")), "- 10.20.0.64/26", "- 10.20.0.0/25", 1))
		Expect(verify("--report", path("proof.html"))).To(Equal(1))
		Expect(stdout.String()).To(And(
			ContainSubstring("agency-b: tunnel: vpn-gateway-agency-b/0: the gateway lets a packet into the tunnel that is not from the org's segment"),
			ContainSubstring("  from      10.20.0.10:40000 (the segment of agency-a)\n  to        10.150.0.10:443 (the private network 10.150.0.0/16 of agency-b)\n"),
			ContainSubstring("    vpn-gateway-agency-b/0: FORWARD: privnet-forward rule 1: -s 10.20.0.0/25 -d 10.150.0.0/16 -g privnet-to\n"),
			HaveSuffix("An obligation does not hold for 1 of 2 orgs.\n"),
		))
		Expect(stderr.String()).To(ContainSubstring("the proof fails"))
		Expect(string(read("proof.html"))).To(ContainSubstring("does not hold"))
	})

	It("fails where its result cannot be printed", func() {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		Expect(err).NotTo(HaveOccurred())
		defer full.Close()
		args := []string{"verify", "--platform", path("platform.yml"), "--manifest", path("manifest.yml"), "--orgs", path("orgs")}
		Expect(cli.Run(args, strings.NewReader(""), full, &stderr)).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring("printing the result: write /dev/full: no space left on device"))
	})

	It("says what it cannot read, in all files at once", func() {
		write("platform.yml", strings.Replace(platformFile, "vsphere", "pdp-11", 1))
		write("manifest.yml", "name: cf\n")
		Expect(verify()).To(Equal(1))
		Expect(stderr.String()).To(And(ContainSubstring(`iaas: "pdp-11" must be one of`), ContainSubstring("instance_groups: is missing")))
		Expect(run("verify", "--platform", path("nothing.yml"))).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring("reading the platform file"))
		Expect(run("verify", "everything")).To(Equal(2))
		write("platform.yml", platformFile)
		write("manifest.yml", manifestFile)
		Expect(verify("--orgs", path("nowhere"))).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring("nowhere: no such file or directory; give its directory with --orgs"))
	})
})
