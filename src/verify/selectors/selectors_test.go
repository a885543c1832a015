package selectors_test

import (
	"net/netip"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/verify/selectors"
)

func TestSelectors(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "verify/selectors")
}

const text = `# a comment { with a brace
connections {
  a-ikev1 {
    version = 1
    local {
      id = "a name = with signs }"
    }
    children {
      one { # on one line
        local_ts = 10.20.0.0/26, 10.20.1.0/26
        remote_ts = 10.150.0.0/16
        mode = tunnel
        start_action = none
      }
    }
  }
  a-drop {
    children { a-drop { local_ts = 10.20.0.0/26
      remote_ts = 10.150.0.0/16
      mode = drop
      start_action = trap } }
  }
}
include secrets.conf
`

var _ = Describe("swanctl.conf", func() {
	It("is read into the children and their selectors", func() {
		children, err := selectors.Parse(text)
		Expect(err).NotTo(HaveOccurred())
		segment, network := netip.MustParsePrefix("10.20.0.0/26"), netip.MustParsePrefix("10.150.0.0/16")
		Expect(children).To(Equal([]selectors.Child{
			{Connection: "a-ikev1", Name: "one", Local: []netip.Prefix{segment, netip.MustParsePrefix("10.20.1.0/26")}, Remote: []netip.Prefix{network}},
			{Connection: "a-drop", Name: "a-drop", Local: []netip.Prefix{segment}, Remote: []netip.Prefix{network}, Drops: true},
		}))
	})

	DescribeTable("is refused, because it cannot be judged, with",
		func(broken, reason string) {
			_, err := selectors.Parse(broken)
			Expect(err).To(MatchError(ContainSubstring(reason)))
		},
		Entry("a section that does not end", "connections { a {", "does not end"),
		Entry("a word alone", "connections\n", "neither a section nor a setting"),
		Entry("a setting twice", "a { x = 1\nx = 2\n}", "x is there twice"),
		Entry("a section twice", "a { }\na { }", "a is there twice"),
		Entry("dynamic selectors", "connections { a { children { b { local_ts = dynamic\nremote_ts = 10.0.0.0/8\nmode = tunnel\n} } } }", `"dynamic" is no IPv4 CIDR`),
		Entry("no selectors", "connections { a { children { b { mode = tunnel\n} } } }", `"" is no IPv4 CIDR`),
		Entry("another mode", "connections { a { children { b { local_ts = 10.0.0.0/8\nremote_ts = 10.0.0.0/8\nmode = pass\n} } } }", `"pass" is not known`),
	)
})

func FuzzParse(f *testing.F) {
	f.Add(text)
	f.Fuzz(func(t *testing.T, text string) {
		_, _ = selectors.Parse(text)
	})
}
