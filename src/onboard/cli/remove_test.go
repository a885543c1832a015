package cli_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/onboard/cli"
)

var _ = Describe("privnet remove", func() {
	var dir string
	var stdout, stderr bytes.Buffer

	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) { Expect(os.WriteFile(path(name), []byte(text), 0o644)).To(Succeed()) }
	run := func(args ...string) int {
		stdout.Reset()
		stderr.Reset()
		return cli.Run(args, strings.NewReader(""), &stdout, &stderr)
	}
	plan := func() int {
		return run("plan", "--request", path("request.yml"), "--platform", path("platform.yml"), "--orgs", path("orgs"))
	}
	with := func(args ...string) []string {
		return append(args, "--platform", path("platform.yml"), "--manifest", path("cf.yml"), "--orgs", path("orgs"), "--out", path("rendered"))
	}
	remove := func(extra ...string) int {
		return run(append(with("remove", "--org", "agency-a"), extra...)...)
	}
	ops := func() string {
		data, err := os.ReadFile(path("rendered/agency-a/ops.yml"))
		Expect(err).NotTo(HaveOccurred())
		return string(data)
	}
	state := func() map[string]string {
		out := map[string]string{}
		for _, root := range []string{"orgs", "rendered"} {
			Expect(filepath.WalkDir(path(root), func(p string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					data, err := os.ReadFile(p)
					out[p] = string(data)
					return err
				}
				return err
			})).To(Succeed())
		}
		return out
	}

	const cells, gateway = "isolated-diego-cell-agency-a", "vpn-gateway-agency-a"
	// deployed is what the manifest has after the deploy of each step.
	deployed := func(groups ...string) string {
		text := manifestFile
		for _, g := range groups {
			text = strings.Replace(text, "releases:", "- {name: "+g+", jobs: [{name: egress-enforcer, release: private-network, consumes: {private-network: {from: private-network-agency-a}}}]}\nreleases:", 1)
		}
		write("deployed.yml", text)
		return path("deployed.yml")
	}
	// steps are the arguments by which each step is said to be done.
	steps := []struct {
		name     string
		deployed func() string
	}{
		{"apps", nil},
		{"cells", func() string { return deployed(gateway) }},
		{"gateway", func() string { return deployed() }},
		{"cloud-config", nil},
		{"key", nil},
	}
	done := func(i int) int {
		args := []string{"--done", steps[i].name}
		if steps[i].deployed != nil {
			args = append(args, "--deployed", steps[i].deployed())
		}
		return remove(args...)
	}

	BeforeEach(func() {
		dir = GinkgoT().TempDir()
		write("request.yml", requestFile)
		write("platform.yml", strings.Replace(platformFile, "10.20.0.0/24", "10.20.0.0/25", 1)+
			"org_isolation: {api_url: https://api.example.com}\nquarantine_days: 10\n")
		write("cf.yml", manifestFile)
		Expect(plan()).To(Equal(0), stderr.String())
		Expect(run(with("render", "--all")...)).To(Equal(0), stderr.String())
	})

	It("takes apps, cells, gateway, network, key and addresses away in that order, each after the one before", func() {
		Expect(ops()).To(And(ContainSubstring(cells), ContainSubstring(gateway), Not(ContainSubstring("remove: true"))))
		Expect(run(with("render", "--decommission-guard")...)).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring("the guard keeps your shared cells' apps away from agency-a"))
		Expect(remove()).To(Equal(0), stderr.String())
		Expect(ops()).To(And(ContainSubstring(cells), ContainSubstring(gateway), ContainSubstring("remove: true"), ContainSubstring("restart_apps: true")))
		Expect(stdout.String()).To(And(ContainSubstring("Step 1 of 6: apps."), ContainSubstring("run-errand org-isolation --instance=org-isolation-agency-a")))

		Expect(remove("--done", "cells", "--deployed", deployed())).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring("cells comes after apps, which is not done"))

		Expect(done(0)).To(Equal(0), stderr.String())
		Expect(ops()).To(And(Not(ContainSubstring("name: "+cells)), ContainSubstring("name: "+gateway), Not(ContainSubstring("org-isolation"))))
		Expect(remove("--done", "cells")).To(Equal(2))
		Expect(stderr.String()).To(ContainSubstring("--deployed FILE is missing"))
		Expect(remove("--done", "cells", "--deployed", deployed(gateway, cells))).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring(cells + " is still deployed"))
		Expect(remove("--done", "cells", "--deployed", deployed(gateway, "renamed"))).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring("renamed is still deployed"))
		write("other.yml", strings.Replace(manifestFile, "name: cf", "name: concourse", 1))
		Expect(remove("--done", "cells", "--deployed", path("other.yml"))).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring("other.yml: name: is concourse, a deployment that never had " + cells + "; give the manifest of cf"))

		Expect(done(1)).To(Equal(0), stderr.String())
		Expect(ops()).To(HaveSuffix("\n[]\n"))
		Expect(stdout.String()).To(ContainSubstring(`Take the tunnel to 203.0.113.10 out of your device`))
		Expect(remove("--done", "gateway", "--deployed", deployed(gateway))).To(Equal(1))

		Expect(done(2)).To(Equal(0), stderr.String())
		Expect(stdout.String()).To(ContainSubstring("bosh delete-config --type=cloud --name=private-network-agency-a"))
		Expect(done(3)).To(Equal(0), stderr.String())
		Expect(stdout.String()).To(ContainSubstring("credhub delete -n /DIRECTOR/cf/private-network-agency-a-psk"))
		Expect(done(4)).To(Equal(0), stderr.String())
		until := time.Now().UTC().AddDate(0, 0, 10).Format("2006-01-02")
		Expect(stdout.String()).To(ContainSubstring("Its addresses are nobody's until " + until))
		Expect(path("orgs/agency-a")).NotTo(BeADirectory())
		Expect(state()[path("orgs/.removed/agency-a/1/request.yml")]).To(Equal(requestFile))
		Expect(ops()).To(HaveSuffix("\n[]\n"))

		Expect(stdout.String()).To(ContainSubstring("It was the last org."))
		Expect(run(with("render", "--decommission-guard", "--all")...)).To(Equal(2))
		Expect(run(with("render", "--decommission-guard")...)).To(Equal(0), stderr.String())
		Expect(state()[path("rendered/decommission-guard.yml")]).To(ContainSubstring("confirm: shared-cell"))

		Expect(remove()).To(Equal(0))
		Expect(stdout.String()).To(ContainSubstring("agency-a has left already"))
		Expect(run("list", "--orgs", path("orgs"))).To(Equal(0))
		Expect(stdout.String()).To(ContainSubstring("nobody's until " + until + ": 10.20.0.0/26 203.0.113.10, which agency-a had"))
	})

	It("does not give the addresses out before the quarantine is over, and then does", func() {
		Expect(remove()).To(Equal(0))
		for i := range steps {
			Expect(done(i)).To(Equal(0), stderr.String())
		}
		write("request.yml", strings.Replace(requestFile, "Agency A", "Agency B", 1))
		Expect(plan()).To(Equal(0), stderr.String())
		Expect(stdout.String()).To(And(ContainSubstring("cidr: 10.20.0.64/26"), ContainSubstring("public_address: 203.0.113.11")))
		write("request.yml", requestFile)
		Expect(plan()).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring("what 1 orgs had that have left is in quarantine, the first until "))

		file := path("orgs/.removed/agency-a/1/removal.yml")
		history := state()[file]
		over := time.Now().UTC().Format("2006-01-02")
		i := strings.Index(history, "quarantined_until:")
		Expect(os.WriteFile(file, []byte(history[:i]+"quarantined_until: \""+over+"\"\n"), 0o644)).To(Succeed())
		Expect(plan()).To(Equal(0), stderr.String())
		Expect(stdout.String()).To(ContainSubstring("cidr: 10.20.0.0/26"))
	})

	It("is brought back as it was at every step before the key is gone, and not after", func() {
		before := state()
		Expect(remove()).To(Equal(0))
		for i := range steps {
			Expect(remove("--undo")).To(Equal(0), stderr.String())
			Expect(stdout.String()).To(ContainSubstring("agency-a stays, with the addresses and the key that it had."))
			Expect(state()).To(Equal(before))
			Expect(remove()).To(Equal(0))
			for j := range i + 1 {
				if j < len(steps)-1 {
					Expect(done(j)).To(Equal(0), stderr.String())
				}
			}
		}
		Expect(done(len(steps) - 1)).To(Equal(0))
		Expect(remove("--undo")).To(Equal(0))
		Expect(stdout.String()).To(ContainSubstring("has left already"))
	})

	It("is neither planned nor rendered otherwise while it leaves", func() {
		Expect(remove()).To(Equal(0))
		write("request.yml", strings.Replace(requestFile, "apps: 10", "apps: 20", 1))
		Expect(plan()).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring("is leaving; finish it with privnet remove --org agency-a, or bring it back with --undo"))
		for i := range steps[:4] {
			Expect(done(i)).To(Equal(0), stderr.String())
			leaving := state()
			Expect(run(with("render", "--all")...)).To(Equal(0), stderr.String())
			Expect(stdout.String()).NotTo(ContainSubstring(" written"))
			Expect(state()).To(Equal(leaving))
		}
	})

	It("deletes the deployment of a gateway that has its own, and takes the operator's word for it", func() {
		Expect(os.RemoveAll(path("orgs"))).To(Succeed())
		Expect(os.RemoveAll(path("rendered"))).To(Succeed())
		write("platform.yml", platformFile+"gateway_deployment: own\n")
		write("cf.yml", manifestFile+"stemcells: [{alias: default, os: ubuntu-jammy, version: latest}]\n")
		Expect(plan()).To(Equal(0), stderr.String())
		Expect(remove()).To(Equal(0), stderr.String())
		Expect(done(0)).To(Equal(0), stderr.String())
		Expect(remove("--done", "cells", "--deployed", deployed())).To(Equal(0), stderr.String())
		Expect(stdout.String()).To(ContainSubstring("bosh -d vpn-gateway-agency-a delete-deployment\n"))
		Expect(remove("--done", "gateway")).To(Equal(0), stderr.String())
		Expect(done(3)).To(Equal(0), stderr.String())
		Expect(stdout.String()).To(ContainSubstring("credhub delete -n /DIRECTOR/vpn-gateway-agency-a/private-network-agency-a-psk\n"))
	})

	It("goes on where it was killed between its last two writes, and does not bring back an org without its key", func() {
		Expect(remove()).To(Equal(0))
		for i := range steps {
			Expect(done(i)).To(Equal(0), stderr.String())
		}
		Expect(os.Rename(path("orgs/.removed/agency-a/1"), path("orgs/agency-a"))).To(Succeed())
		Expect(remove("--undo")).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring("the key of agency-a is gone"))
		Expect(remove()).To(Equal(0), stderr.String())
		Expect(path("orgs/.removed/agency-a/1/removal.yml")).To(BeARegularFile())
	})

	It("says what is wrong in a removal.yml that was edited", func() {
		Expect(remove()).To(Equal(0))
		write("orgs/agency-a/removal.yml", "started: soon\ndone: [{step: cells, on: \"2027-03-31\"}]\n")
		Expect(remove()).To(Equal(1))
		Expect(stderr.String()).To(And(
			ContainSubstring(`removal.yml:1: started: "soon" is no date; write one such as 2027-03-31`),
			ContainSubstring(`removal.yml:2: done[0].step: "cells" is out of order; the steps are [apps cells`)))
	})

	DescribeTable("exits 2 when it is used wrongly",
		func(sentence string, args ...string) {
			Expect(run(args...)).To(Equal(2))
			Expect(stderr.String()).To(ContainSubstring(sentence))
		},
		Entry("no org", "--org NAME is missing", "remove", "--platform", "x", "--manifest", "y"),
		Entry("a step that is none", "the steps are apps, cells, gateway, cloud-config, key, addresses",
			"remove", "--org", "a", "--platform", "x", "--manifest", "y", "--done", "cell"),
		Entry("done and undo", "either --done or --undo", "remove", "--org", "a", "--platform", "x", "--manifest", "y", "--done", "apps", "--undo"),
	)
})
