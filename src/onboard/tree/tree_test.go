package tree_test

import (
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"gopkg.in/yaml.v3"

	"privnet/onboard/tree"
)

var _ = Describe("A YAML tree", func() {
	It("has the content of anchors and merge keys in place of their names", func() {
		n, err := tree.Parse([]byte(`
base: &base {a: 1, b: "yes"}
copy: *base
merged:
  <<: *base
  b: own
`))
		Expect(err).NotTo(HaveOccurred())
		Expect(string(tree.Write("", n))).To(Equal("base: {a: 1, b: \"yes\"}\ncopy: {a: 1, b: \"yes\"}\nmerged:\n  b: own\n  a: 1\n"))
	})

	It("refuses aliases that stand for more than fits", func() {
		var b strings.Builder
		b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
		for i := 1; i < 9; i++ {
			b.WriteString(strings.NewReplacer("N", string(rune('0'+i)), "P", string(rune('0'+i-1))).Replace(
				"aN: &aN [*aP, *aP, *aP, *aP, *aP, *aP, *aP, *aP, *aP, *aP]\n"))
		}
		_, err := tree.Parse([]byte(b.String()))
		Expect(err).To(MatchError(ContainSubstring("when its aliases are expanded")))
	})

	It("takes two merge keys, of which the first wins, and no key twice", func() {
		n, err := tree.Parse([]byte("m:\n  <<: {a: 1}\n  <<: {a: 2, b: 3}\n"))
		Expect(err).NotTo(HaveOccurred())
		Expect(string(tree.Write("", n))).To(Equal("m:\n  a: 1\n  b: 3\n"))
		_, err = tree.Parse([]byte("m: {a: 1,\n  a: 2}\n"))
		Expect(err).To(MatchError(`line 2: the key "a" is there twice`))
	})

	It("refuses an alias within its own anchor", func() {
		_, err := tree.Parse([]byte("a: &a\n  b: *a\n"))
		Expect(err).To(MatchError(ContainSubstring("an alias is within its own anchor")))
	})

	It("writes scalars as they were written, so that a YAML 1.1 reader takes them for the same", func() {
		n, err := tree.Parse([]byte("a: on\nb: 'on'\nc: ((var))\nd: |\n  two\n  lines\ne: 010\n"))
		Expect(err).NotTo(HaveOccurred())
		Expect(string(tree.Write("", n))).To(Equal("a: on\nb: 'on'\nc: ((var))\nd: |\n  two\n  lines\ne: 010\n"))
	})

	It("changes a copy and not the original", func() {
		n, err := tree.Parse([]byte("a: {b: [1, 2]}\n"))
		Expect(err).NotTo(HaveOccurred())
		c := tree.Copy(n)
		tree.Set(c, "x", "a", "c", "d")
		tree.Remove(tree.Get(c, "a"), "b")
		Expect(string(tree.Write("", n))).To(Equal("a: {b: [1, 2]}\n"))
		Expect(string(tree.Write("", c))).To(Equal("a:\n  c:\n    d: x\n"))
	})
})

// FuzzParse: no document makes the operations panic or run without end.
func FuzzParse(f *testing.F) {
	f.Add([]byte("a: &x [1, *y]\nb: *x\n"))
	f.Add([]byte("a: &x {b: 1}\nc: {<<: *x, d: !!str 2}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := tree.Parse(data); err == nil {
			tree.Write("", tree.Copy(n))
			tree.Walk(n, func([]string, *yaml.Node) {})
		}
	})
}
