package backend_test

import (
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/egress"
	"privnet/egress/backend"
)

// filter is a packet filter that holds one policy, or none.
type filter struct {
	name        string
	unsupported bool
	failing     error
	holds       egress.Role
	journal     *[]string
}

func (f *filter) Name() string                 { return f.name }
func (f *filter) Backend(egress.Policy) string { return f.name }
func (f *filter) Dropped() uint64              { return 3 }
func (f *filter) Supported() bool              { return !f.unsupported }

func (f *filter) Check(p egress.Policy) ([]string, error) {
	if f.failing != nil || f.holds == p.Role {
		return nil, f.failing
	}
	return []string{f.name + " differs"}, nil
}

func (f *filter) Apply(p egress.Policy) error {
	*f.journal = append(*f.journal, "apply "+f.name)
	f.holds = p.Role
	return f.failing
}

func (f *filter) Remove(egress.Policy) error {
	*f.journal = append(*f.journal, "remove "+f.name)
	f.holds = ""
	return f.failing
}

var _ = Describe("The backend", func() {
	var (
		journal          []string
		iptables, native *filter
		rules            *backend.Rules
		policy           egress.Policy
	)

	BeforeEach(func() {
		journal = nil
		iptables, native = &filter{name: "iptables (nf_tables)", journal: &journal}, &filter{name: "nftables", journal: &journal}
		rules = &backend.Rules{IPTables: iptables, NFTables: native}
		policy = egress.Policy{Role: egress.RoleCell, Backend: egress.BackendAuto}
	})

	DescribeTable("is chosen", func(want egress.Backend, iptablesSays string, unsupported bool, expected string) {
		policy.Backend, iptables.name, native.unsupported = want, iptablesSays, unsupported
		Expect(rules.Backend(policy)).To(Equal(expected))
	},
		Entry("by what the VM's iptables writes", egress.BackendAuto, "iptables (nf_tables)", false, "nftables"),
		Entry("by what it writes, also if it is legacy", egress.BackendAuto, "iptables (legacy)", false, "iptables (legacy)"),
		Entry("by what the kernel has", egress.BackendAuto, "iptables (nf_tables)", true, "iptables (nf_tables)"),
		Entry("by the kernel alone, where iptables does not answer", egress.BackendAuto, "iptables", false, "nftables"),
		Entry("by the operator", egress.BackendIPTables, "iptables (nf_tables)", false, "iptables (nf_tables)"),
		Entry("by the operator, against a legacy iptables", egress.BackendNFTables, "iptables (legacy)", false, "nftables"),
	)

	It("stays, whatever iptables says later", func() {
		Expect(rules.Check(policy)).NotTo(BeEmpty())
		iptables.name = "iptables (legacy)"
		Expect(rules.Backend(policy)).To(Equal("nftables"))
	})

	It("holds the policy before the other one is emptied", func() {
		iptables.holds = egress.RoleCell
		Expect(rules.Check(policy)).To(ConsistOf("nftables differs", "iptables (nf_tables) differs"))
		Expect(rules.Apply(policy)).To(Succeed())
		Expect(journal).To(Equal([]string{"apply nftables", "remove iptables (nf_tables)"}))
		Expect(rules.Check(policy)).To(BeEmpty())
	})

	It("does not need the other one to work", func() {
		iptables.failing = errors.New("no such program")
		Expect(rules.Check(policy)).To(ConsistOf("nftables differs"))
		Expect(rules.Apply(policy)).To(Succeed())
		Expect(rules.Check(policy)).To(BeEmpty())
	})

	It("counts what either dropped, and is removed from both", func() {
		Expect(rules.Dropped()).To(BeEquivalentTo(6))
		Expect(rules.Remove(policy)).To(Succeed())
		Expect(journal).To(Equal([]string{"remove nftables", "remove iptables (nf_tables)"}))
	})
})
