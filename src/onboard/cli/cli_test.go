package cli_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/onboard/cli"
	"privnet/onboard/impact"
)

const requestFile = `org: Agency A
endpoint: {address: 198.51.100.10, device: paloalto}
private_networks: [10.150.0.0/16]
apps: 10
`

const platformFile = `iaas: vsphere
networks: [10.0.0.0/16]
segments: [{az: z1, cidr: 10.20.0.0/24}]
public_addresses: [203.0.113.10-203.0.113.12]
public_network: public
`

const manifestFile = `name: cf
instance_groups:
- name: diego-cell
  azs: [z1]
  instances: 1
  stemcell: default
  networks: [{name: default}]
  jobs: []
releases: []
`

var _ = Describe("privnet", func() {
	var dir string
	var stdout, stderr bytes.Buffer

	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, text string) string {
		Expect(os.WriteFile(path(name), []byte(text), 0o644)).To(Succeed())
		return path(name)
	}
	run := func(args ...string) int {
		stdout.Reset()
		stderr.Reset()
		return cli.Run(args, strings.NewReader(""), &stdout, &stderr)
	}
	plan := func(extra ...string) int {
		return run(append([]string{"plan", "--request", path("request.yml"), "--platform", path("platform.yml"), "--orgs", path("orgs")}, extra...)...)
	}
	render := func(extra ...string) int {
		return run(append([]string{"render", "--platform", path("platform.yml"), "--manifest", path("cf.yml"),
			"--orgs", path("orgs"), "--out", path("rendered")}, extra...)...)
	}
	files := func(root string) map[string]string {
		out := map[string]string{}
		Expect(filepath.WalkDir(path(root), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(p)
			name, _ := filepath.Rel(path(root), p)
			out[name] = string(data)
			return err
		})).To(Succeed())
		return out
	}

	BeforeEach(func() {
		dir = GinkgoT().TempDir()
		write("request.yml", requestFile)
		write("platform.yml", platformFile)
		write("cf.yml", manifestFile)
	})

	It("plans and renders; doing so again changes no byte", func() {
		Expect(plan()).To(Equal(0), stderr.String())
		Expect(stdout.String()).To(ContainSubstring("+     cidr: 10.20.0.0/26\n"))
		Expect(render("--all", "--shared-cell-guard")).To(Equal(0), stderr.String())
		ledger, rendered := files("orgs"), files("rendered")
		Expect(ledger).To(HaveKeyWithValue("agency-a/request.yml", requestFile))
		Expect(rendered).To(And(HaveKey("agency-a/ops.yml"), HaveKey("agency-a/cloud-config.yml"),
			HaveKey("agency-a/firewall.yml"), HaveKey("agency-a/handoff.md"), HaveKey("shared-cell-guard.yml")))

		Expect(plan()).To(Equal(0))
		Expect(stdout.String()).To(Equal("agency-a: unchanged\n"))
		Expect(render("--org", "agency-a")).To(Equal(0))
		Expect(stdout.String()).NotTo(ContainSubstring("written"))
		Expect(files("orgs")).To(Equal(ledger))
		Expect(files("rendered")).To(Equal(rendered))
	})

	It("takes a request out of a pipe, and names every file that it cannot read", func() {
		pipe := path("pipe")
		Expect(syscall.Mkfifo(pipe, 0o600)).To(Succeed())
		go os.WriteFile(pipe, []byte(requestFile), 0) // read once, or the second reader waits for ever
		Expect(run("plan", "--request", pipe, "--platform", path("platform.yml"), "--orgs", path("orgs"))).To(Equal(0), stderr.String())
		Expect(files("orgs")).To(HaveKeyWithValue("agency-a/request.yml", requestFile))
		Expect(run("plan", "--request", path("one.yml"), "--request", path("two.yml"), "--platform", path("three.yml"))).To(Equal(1))
		Expect(stderr.String()).To(And(ContainSubstring("one.yml: no such file"), ContainSubstring("two.yml: no such file"), ContainSubstring("three.yml: no such file")))
	})

	It("shows a long request that changes in many places, in little memory", func() {
		Expect(plan()).To(Equal(0))
		write("request.yml", requestFile+strings.Repeat("#\n", 400_000))
		Expect(plan()).To(Equal(0), stderr.String())
		write("request.yml", "# first\n"+requestFile+strings.Repeat("#1\n", 300_000)+"# last\n")
		Expect(plan()).To(Equal(0), stderr.String())
		Expect(stdout.String()).To(And(HavePrefix(path("orgs/agency-a/request.yml")+"\n- org: Agency A\n"), ContainSubstring("\n+ # last\n")))
	})

	It("shows what a changed request changes, and writes nothing with --dry-run", func() {
		Expect(plan()).To(Equal(0))
		before := files("orgs")
		write("request.yml", strings.Replace(requestFile, "apps: 10", "apps: 100", 1))
		Expect(plan("--dry-run")).To(Equal(0))
		Expect(stdout.String()).To(And(
			HavePrefix(path("orgs/agency-a/request.yml")+"\n- apps: 10\n+ apps: 100\n"+path("orgs/agency-a/plan.yml")+"\n-   instances: 2\n+   instances: 8\n"),
			ContainSubstring("isolated-diego-cell-agency-a: 6 to come\n  tunnel\n    Stays up.\n"),
			HaveSuffix("agency-a: nothing written (--dry-run)\n")))
		Expect(files("orgs")).To(Equal(before))

		Expect(plan("--dry-run", "--json")).To(Equal(0))
		var impacts []impact.Impact
		Expect(json.Unmarshal(stdout.Bytes(), &impacts)).To(Succeed())
		Expect(impacts).To(HaveLen(1))
		Expect(impacts[0].VMs).To(Equal([]impact.VMs{{Group: "isolated-diego-cell-agency-a", Count: 6, What: impact.Create}}))
		Expect(files("orgs")).To(Equal(before))
	})

	It("never goes back to a key that was used", func() {
		write("request.yml", requestFile+"psk: {generation: 2}\n")
		Expect(plan()).To(Equal(0), stderr.String())
		write("request.yml", requestFile)
		Expect(plan()).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring("psk.generation: is before 2, which the endpoint has already"))
	})

	It("says all that is wrong in all files at once, exits 1 and leaves the ledger alone", func() {
		write("request.yml", `org: "!"
endpoint: {address: 10.1.2.3, device: toaster}
private_networks: [10.150.0.1/16, 10.20.0.0/28, 10.255.4.0/24, 127.0.0.0/8, 224.0.0.0/8, 169.254.0.0/20, 172.16.0.0/12, 172.16.0.0/12]
apps: 0
`)
		write("platform.yml", strings.Replace(platformFile, "vsphere", "pdp-11", 1))
		Expect(plan()).To(Equal(1))
		for _, problem := range []string{
			`request.yml:1: org: "!" makes the name "!", which is no DNS label`,
			`request.yml:2: endpoint.address: "10.1.2.3" is a private address`,
			`request.yml:2: endpoint.device: "toaster" is not a known device`,
			`request.yml:3: private_networks[0]: "10.150.0.1/16" has host bits set; the network is 10.150.0.0/16`,
			`request.yml:3: private_networks[2]: "10.255.4.0/24" overlaps 10.255.0.0/16, the overlay`,
			`request.yml:3: private_networks[3]: "127.0.0.0/8" overlaps 127.0.0.0/8, loopback`,
			`request.yml:3: private_networks[4]: "224.0.0.0/8" overlaps 224.0.0.0/4, multicast`,
			`request.yml:3: private_networks[5]: "169.254.0.0/20" overlaps 169.254.0.0/16, link-local`,
			`request.yml:3: private_networks[7]: "172.16.0.0/12" is listed twice`,
			`request.yml:4: apps: "0" must be a whole number from 1`,
			`platform.yml:1: iaas: "pdp-11" must be one of`,
		} {
			Expect(stderr.String()).To(ContainSubstring(problem))
		}
		Expect(path("orgs")).NotTo(BeADirectory())
		write("platform.yml", platformFile)
		Expect(plan()).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring(`private_networks[1]: "10.20.0.0/28" overlaps 10.20.0.0/24, from which the platform takes segments`))
	})

	It("refuses two orgs whose names are the same after normalising", func() {
		Expect(plan()).To(Equal(0))
		write("request.yml", strings.Replace(requestFile, "Agency A", "agency.a", 1))
		Expect(plan()).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring(`request.yml:1: org: "agency.a" has the same name agency-a as org "Agency A"`))
		write("request.yml", strings.Replace(requestFile, "Agency A", "Agency A Public", 1))
		Expect(plan()).To(Equal(1))
		Expect(stderr.String()).To(Equal(path("request.yml") + `:1: org: "Agency A Public" and the org agency-a make the same name for a segment and for a public network; rename one` + "\n"))
	})

	It("plans many requests at once, of which none may be wrong", func() {
		other := write("other.yml", strings.Replace(requestFile, "Agency A", "Agency B", 1))
		Expect(plan("--request", other)).To(Equal(0), stderr.String())
		Expect(files("orgs")).To(And(HaveKey("agency-a/plan.yml"), HaveKey("agency-b/plan.yml")))
		Expect(files("orgs")["agency-b/plan.yml"]).To(And(ContainSubstring("10.20.0.64/26"), ContainSubstring("203.0.113.11")))

		same := write("same.yml", strings.Replace(requestFile, "Agency A", "agency_c", 1))
		again := write("again.yml", strings.Replace(requestFile, "Agency A", "Agency C", 1))
		wrong := write("wrong.yml", strings.Replace(requestFile, "apps: 10", "apps: 0", 1))
		before := files("orgs")
		Expect(plan("--request", same, "--request", again, "--request", wrong)).To(Equal(1))
		Expect(stderr.String()).To(And(
			ContainSubstring(`again.yml:1: org: "Agency C" has the same name agency-c as the org of `+same),
			ContainSubstring(`wrong.yml:4: apps: "0" must be`),
		))
		Expect(files("orgs")).To(Equal(before))
	})

	It("gives nothing out when the pool has no room for all requests, and says how much is left where", func() {
		var requests []string
		for _, name := range []string{"b", "c", "d"} {
			requests = append(requests, "--request", write(name+".yml", strings.Replace(requestFile, "Agency A", name, 1)))
		}
		Expect(plan(requests...)).To(Equal(1))
		Expect(stderr.String()).To(Equal(path("platform.yml") + `:4: public_addresses: has no address left for another gateway (left: 0 of 3); add some` + "\n"))
		write("platform.yml", strings.Replace(platformFile, "10.20.0.0/24", "10.20.0.0/25", 1))
		Expect(plan(requests...)).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring(`platform.yml:3: segments[0].cidr: "10.20.0.0/25" has no /26 left for another segment (left: z1 has 0 of 2); give a larger pool for z1`))
		Expect(path("orgs")).NotTo(BeADirectory())
	})

	It("refuses a plan that was edited by hand into a conflict, with every command", func() {
		other := write("other.yml", strings.Replace(requestFile, "Agency A", "Agency B", 1))
		Expect(plan("--request", other)).To(Equal(0), stderr.String())
		edit := func(org string, replacements ...string) {
			file := "orgs/" + org + "/plan.yml"
			write(file, strings.NewReplacer(replacements...).Replace(files("orgs")[org+"/plan.yml"]))
		}
		edit("agency-b", "10.20.0.64/26", "10.20.0.0/26", "10.20.0.65", "10.20.0.1", "10.20.0.67", "10.20.0.3", "10.20.0.126", "10.20.0.62",
			"10.20.0.68", "10.20.0.4", "10.20.0.71", "10.20.0.7")
		const conflict = `agency-b/plan.yml:6: segment: 10.20.0.0/26 overlaps 10.20.0.0/26, which agency-a holds`
		Expect(plan()).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring(conflict))
		Expect(render("--org", "agency-a")).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring(conflict))
		Expect(run("list", "--orgs", path("orgs"))).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring(conflict))

		edit("agency-b", "10.20.0.", "10.0.3.")
		Expect(render("--all")).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring(`agency-b/plan.yml:6: segment: 10.0.3.0/26 overlaps 10.0.0.0/16, which the platform itself uses; undo the edit`))
		edit("agency-b", "10.0.3.", "10.99.0.")
		Expect(plan()).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring(`10.99.0.0/26 is in no pool of the platform file's segments`))
		Expect(path("rendered")).NotTo(BeADirectory())
	})

	It("refuses a group that is there and is not ours, and a network of the platform, and writes nothing", func() {
		Expect(plan()).To(Equal(0))
		write("cf.yml", strings.Replace(manifestFile, "releases:", "- name: isolated-diego-cell-agency-a\n  jobs: []\nreleases:", 1))
		Expect(render("--all")).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring("cf.yml:9: instance_groups: has a group isolated-diego-cell-agency-a already that is not this org's; rename it"))
		Expect(path("rendered")).NotTo(BeADirectory())

		before := files("orgs")
		write("request.yml", strings.Replace(requestFile, "10.150.0.0/16", "10.0.4.0/24", 1))
		Expect(plan()).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring(`request.yml:3: private_networks[0]: "10.0.4.0/24" overlaps 10.0.0.0/16, which the platform itself uses`))
		Expect(files("orgs")).To(Equal(before))
	})

	It("renders nothing at all when something is wrong", func() {
		Expect(plan()).To(Equal(0))
		write("cf.yml", strings.Replace(manifestFile, "diego-cell", "cells", 1))
		Expect(render("--all", "--shared-cell-guard")).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring("has no group diego-cell"))
		Expect(path("rendered")).NotTo(BeADirectory())
		Expect(render("--org", "nobody")).To(Equal(1))
		Expect(stderr.String()).To(ContainSubstring(`has no org "nobody"; it has agency-a`))
	})

	It("shows what render would change, and writes nothing", func() {
		Expect(plan()).To(Equal(0))
		Expect(render("--all")).To(Equal(0))
		before := files("rendered")
		Expect(run("diff", "--all", "--platform", path("platform.yml"), "--manifest", path("cf.yml"),
			"--orgs", path("orgs"), "--out", path("rendered"))).To(Equal(0), stderr.String())
		Expect(stdout.String()).To(Equal(path("rendered") + " is as render would write it\n"))
		write("platform.yml", platformFile+"gateway_vm_type: large\n")
		diff := []string{"diff", "--org", "agency-a", "--platform", path("platform.yml"), "--manifest", path("cf.yml"),
			"--orgs", path("orgs"), "--out", path("rendered")}
		Expect(run(diff...)).To(Equal(0), stderr.String())
		Expect(stdout.String()).To(Equal(path("rendered/agency-a/ops.yml") + "\n-     vm_type: minimal\n+     vm_type: large\n"))
		Expect(files("rendered")).To(Equal(before))
	})

	It("lists what each org holds", func() {
		Expect(run("list", "--orgs", path("orgs"))).To(Equal(0))
		Expect(stdout.String()).To(HavePrefix("no org yet: privnet new"))
		Expect(plan()).To(Equal(0))
		Expect(run("list", "--orgs", path("orgs"))).To(Equal(0))
		Expect(stdout.String()).To(MatchRegexp(`agency-a +10\.20\.0\.0/26 +203\.0\.113\.10 +2 +198\.51\.100\.10 paloalto +10\.150\.0\.0/16`))
	})

	It("completes commands, and orgs from the ledger", func() {
		Expect(plan()).To(Equal(0))
		Expect(run("__complete", "render", "--orgs", path("orgs"), "--org", "")).To(Equal(0))
		Expect(stdout.String()).To(Equal("agency-a\n:4\n"))
		Expect(run("__complete", "re")).To(Equal(0))
		Expect(stdout.String()).To(ContainSubstring("\nrender\t"))
		for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
			Expect(run("completion", shell)).To(Equal(0))
			Expect(stdout.Len()).To(BeNumerically(">", 1000))
		}
	})

	It("asks for a request, and writes it only if it is right", func() {
		answers := "Agency B\n198.51.100.20\nlibreswan\n10.160.0.0/16, 172.31.0.0/20\n12\n1\n"
		file := path("new.yml")
		Expect(cli.Run([]string{"new", "--request", file}, strings.NewReader(answers), &stdout, &stderr)).To(Equal(0), stderr.String())
		data, err := os.ReadFile(file)
		Expect(err).NotTo(HaveOccurred())
		Expect(string(data)).To(Equal("org: Agency B\nendpoint:\n  address: 198.51.100.20\n  device: libreswan\n" +
			"private_networks:\n  - 10.160.0.0/16\n  - 172.31.0.0/20\napps: 12\nike: 1\n"))
		Expect(cli.Run([]string{"new", "--request", file}, strings.NewReader(answers), &stdout, &stderr)).To(Equal(1))
		Expect(cli.Run([]string{"new", "--request", path("bad.yml")}, strings.NewReader("\n"), &stdout, &stderr)).To(Equal(1))
		Expect(stderr.String()).To(And(ContainSubstring("org: is missing; give the name"), HaveSuffix("bad.yml is not written; answer once more\n")))
		Expect(path("bad.yml")).NotTo(BeAnExistingFile())
	})

	DescribeTable("exits 2 when it is used wrongly, with a sentence",
		func(sentence string, args ...string) {
			Expect(run(args...)).To(Equal(2))
			Expect(stderr.String()).To(ContainSubstring(sentence))
		},
		Entry("no command", "say what to do"),
		Entry("no such command", "unknown command", "plam"),
		Entry("no such flag", "unknown flag: --orgz", "plan", "--orgz", "x"),
		Entry("a flag is missing", "--request FILE is missing: FILE with a customer's request", "plan", "--platform", "x"),
		Entry("flags are missing", "--request FILE is missing: FILE with a customer's request; repeat it for more\n--platform FILE is missing", "plan", "--platform", ""),
		Entry("a name that is nearly one", "did you mean render?", "rendr"),
		Entry("org and all", "give either --org NAME or --all", "render", "--all", "--org", "x"),
		Entry("a stray word", "unknown command", "list", "x"),
	)
})
