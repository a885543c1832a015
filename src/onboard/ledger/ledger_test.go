package ledger_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/document"
	"privnet/onboard/ledger"
	"privnet/onboard/plan"
	"privnet/onboard/platform"
	"privnet/onboard/removal"
)

const requestFile = `org: %s
endpoint: {address: 198.51.100.10, device: other}
private_networks: [10.150.0.0/16]
apps: 3
`

func unchecked(document.Value) {}

var _ = Describe("The ledger", func() {
	var dir string
	var l ledger.Ledger
	var p platform.Platform

	BeforeEach(func() {
		dir = filepath.Join(GinkgoT().TempDir(), "orgs")
		l = ledger.New(dir)
		var err error
		p, err = platform.Parse("platform.yml", []byte(`iaas: bosh-lite
networks: [10.0.0.0/16]
segments: [{az: z1, cidr: 10.20.0.0/20}]
public_addresses: [203.0.113.0/24]
public_network: public
`))
		Expect(err).NotTo(HaveOccurred())
	})

	write := func(org string) error {
		unlock, err := l.Lock()
		if err != nil {
			return err
		}
		defer unlock()
		entries, err := l.Entries(unchecked)
		if err != nil {
			return err
		}
		own := ledger.Find(entries, org)
		var earlier *plan.Plan
		if own != nil {
			earlier = &own.Plan
		}
		made, err := plan.NewAllocator(p, ledger.Plans(entries)).Allocate(connection.Request{Org: org, Name: org, Apps: 3}, earlier)
		if err != nil {
			return err
		}
		changes, err := l.Changes(org, fmt.Appendf(nil, requestFile, org), made.YAML())
		if err != nil {
			return err
		}
		return l.Write(org, changes)
	}

	It("is empty where there is no directory, and does not make one by being read", func() {
		Expect(l.Entries(unchecked)).To(BeEmpty())
		Expect(dir).NotTo(BeADirectory())
	})

	It("loses nothing and gives nothing twice when many write at once", func() {
		var wg sync.WaitGroup
		errs := make([]error, 20)
		for i := range errs {
			wg.Go(func() { errs[i] = write(fmt.Sprintf("org-%d", i/2)) })
		}
		wg.Wait()
		Expect(errs).To(HaveEach(BeNil()))
		entries, err := l.Entries(unchecked)
		Expect(err).NotTo(HaveOccurred())
		Expect(entries).To(HaveLen(10))
	})

	It("writes only what differs, and leaves nothing else behind", func() {
		Expect(write("a")).To(Succeed())
		before, err := os.Stat(filepath.Join(dir, "a", "plan.yml"))
		Expect(err).NotTo(HaveOccurred())
		entries, err := l.Entries(unchecked)
		Expect(err).NotTo(HaveOccurred())
		changes, err := l.Changes("a", fmt.Appendf(nil, requestFile+"ike: 1\n", "a"), entries[0].Plan.YAML())
		Expect(err).NotTo(HaveOccurred())
		Expect(changes).To(HaveLen(1))
		Expect(l.Write("a", changes)).To(Succeed())
		after, err := os.Stat(filepath.Join(dir, "a", "plan.yml"))
		Expect(err).NotTo(HaveOccurred())
		Expect(os.SameFile(before, after)).To(BeTrue())
		left, err := os.ReadDir(dir)
		Expect(err).NotTo(HaveOccurred())
		Expect(left).To(HaveLen(1))
	})

	It("keeps an org that leaves and comes back as often as it does, in that order", func() {
		for year := range 11 {
			Expect(write("agency-a")).To(Succeed())
			Expect(l.WriteRemoval("agency-a", removal.Start(time.Date(2030+year, 1, 1, 0, 0, 0, 0, time.UTC)))).To(Succeed())
			Expect(l.Retire("agency-a")).To(Equal(filepath.Join(dir, ".removed", "agency-a", fmt.Sprint(year+1))))
		}
		former, err := l.Former()
		Expect(err).NotTo(HaveOccurred())
		Expect(former).To(HaveLen(11))
		for year, e := range former {
			Expect(e.Removal.Started).To(Equal(fmt.Sprintf("%d-01-01", 2030+year)))
		}
	})

	It("has nothing left of a process that was killed while it wrote", func() {
		Expect(write("agency-a")).To(Succeed())
		left := filepath.Join(dir, "agency-a", ".removal.yml-1")
		Expect(os.WriteFile(left, nil, 0o600)).To(Succeed())
		Expect(write("agency-b")).To(Succeed())
		Expect(left).NotTo(BeAnExistingFile())
	})

	It("names every file that an org lacks", func() {
		Expect(write("a")).To(Succeed())
		Expect(os.Remove(filepath.Join(dir, "a", "plan.yml"))).To(Succeed())
		Expect(os.Mkdir(filepath.Join(dir, "b"), 0o755)).To(Succeed())
		_, err := l.Entries(unchecked)
		const want = ": is missing; bring it back, or take the directory away if it is no org's"
		Expect(err).To(MatchError(dir + "/a/plan.yml" + want + "\n" + dir + "/b/plan.yml" + want + "\n" + dir + "/b/request.yml" + want))
	})

	It("has an org whose directory is elsewhere, and is not read if a link leads nowhere", func() {
		Expect(write("a")).To(Succeed())
		elsewhere := filepath.Join(GinkgoT().TempDir(), "a")
		Expect(os.Rename(filepath.Join(dir, "a"), elsewhere)).To(Succeed())
		Expect(os.Symlink(elsewhere, filepath.Join(dir, "a"))).To(Succeed())
		Expect(l.Orgs()).To(Equal([]string{"a"}))
		Expect(os.RemoveAll(elsewhere)).To(Succeed())
		_, err := l.Orgs()
		Expect(err).To(MatchError(fs.ErrNotExist))
	})

	It("says everything that is wrong in all of its files", func() {
		Expect(write("a")).To(Succeed())
		Expect(write("b")).To(Succeed())
		edited, err := os.ReadFile(filepath.Join(dir, "a", "plan.yml"))
		Expect(err).NotTo(HaveOccurred())
		Expect(os.Mkdir(filepath.Join(dir, "c"), 0o755)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "c", "plan.yml"), edited, 0o644)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "c", "request.yml"), fmt.Appendf(nil, requestFile, "c c"), 0o644)).To(Succeed())
		Expect(os.WriteFile(filepath.Join(dir, "b", "request.yml"), []byte("org: b\napps: 0\n"), 0o644)).To(Succeed())
		_, err = l.Entries(unchecked)
		Expect(err).To(MatchError(And(
			ContainSubstring("b/request.yml:2: apps: \"0\" must be a whole number"),
			ContainSubstring("c/plan.yml:3: name: \"a\" is in the directory of c; move it to a"),
			ContainSubstring("c/request.yml:1: org: \"c c\" is not the plan's org \"a\""),
		)))
	})
})
