package document_test

import (
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/document"
)

func parse(text string) *document.Document {
	GinkgoHelper()
	doc, err := document.Parse("in.yml", []byte(text))
	Expect(err).NotTo(HaveOccurred())
	return doc
}

var _ = Describe("A document", func() {
	It("reports every problem with file, line, field, value and what would be right", func() {
		doc := parse("apps: many\nname:\n  first: x\nextra: 1\n")
		root := doc.Root()
		root.Fields("apps", "name")
		root.Get("apps").Int(1, 10)
		root.Get("name").Text()
		root.Get("size").Required("a size")
		Expect(doc.Err()).To(MatchError(strings.Join([]string{
			`in.yml:1: apps: "many" must be a whole number from 1 to 10`,
			`in.yml:1: size: is missing; give a size`,
			`in.yml:3: name: is a mapping; it must be a single value`,
			`in.yml:4: extra: is not a known field; known are apps, name`,
		}, "\n")))
	})

	It("is content with what is right", func() {
		doc := parse(`{"apps": 3, "on": true, "kind": "a", "list": ["x", "y"], "none": null}`)
		root := doc.Root()
		Expect(root.Fields("apps", "on", "kind", "list", "none")).To(BeTrue())
		Expect(root.Get("apps").Int(1, 10)).To(Equal(3))
		Expect(root.Get("on").Bool()).To(BeTrue())
		Expect(root.Get("kind").OneOf("b", "a", "b")).To(Equal("a"))
		Expect(root.Get("other").OneOf("b", "a", "b")).To(Equal("b"))
		Expect(root.Get("none").Present()).To(BeFalse())
		list := root.Get("list").List()
		Expect(list).To(HaveLen(2))
		Expect(list[1].Path()).To(Equal("list[1]"))
		Expect(doc.Err()).NotTo(HaveOccurred())
	})

	It("names a field that is given twice", func() {
		doc := parse("a: 1\nb: 2\na: 3\n")
		doc.Root().Fields("a", "b")
		Expect(doc.Err()).To(MatchError(`in.yml:3: a: is given twice; give it once`))
	})

	It("names the field that was probably meant", func() {
		doc := parse("Privat-Network: 1\ninbounds: 2\napp: 3\n<<: {x: 1}\ndo: 4\n")
		doc.Root().Fields("apps", "inbound", "private_networks", "dns")
		Expect(doc.Err()).To(MatchError(strings.Join([]string{
			`in.yml:1: Privat-Network: is not a known field; did you mean private_networks? Known are apps, inbound, private_networks, dns`,
			`in.yml:2: inbounds: is not a known field; did you mean inbound? Known are apps, inbound, private_networks, dns`,
			`in.yml:3: app: is not a known field; did you mean apps? Known are apps, inbound, private_networks, dns`,
			`in.yml:4: <<: merge keys are not followed; write the fields themselves`,
			`in.yml:5: do: is not a known field; known are apps, inbound, private_networks, dns`,
		}, "\n")))
	})

	It("says one thing of a list that is none, has nothing, or is not there", func() {
		doc := parse("a: x\nb: []\n")
		for _, name := range []string{"a", "b", "c"} {
			Expect(doc.Root().Get(name).RequiredList("two of them")).To(BeEmpty())
		}
		Expect(doc.Err()).To(MatchError("in.yml:1: a: \"x\" must be a list\nin.yml:1: c: is missing; give two of them\nin.yml:2: b: is empty; give two of them"))
	})

	It("does not repeat a secret, and not more than a line's worth of anything", func() {
		doc := parse("psk: tell-nobody\nname: " + strings.Repeat("x", 5000) + "\n")
		doc.Root().Get("psk").SecretProblem("is too short")
		doc.Root().Get("name").Problem("is too long")
		Expect(doc.Err().Error()).NotTo(ContainSubstring("tell-nobody"))
		Expect(len(doc.Err().Error())).To(BeNumerically("<", 300))
	})

	It("lets no control character of the input reach the terminal", func() {
		doc := parse("name: \"a\\e[31mb\"\n\"x\\e[2J\": 1\n")
		doc.Root().Fields("name")
		doc.Root().Get("name").Problem("is wrong")
		Expect(doc.Err().Error()).NotTo(ContainSubstring("\x1b"))
	})

	DescribeTable("refuses what is no single plain document",
		func(text, want string) {
			_, err := document.Parse("in.yml", []byte(text))
			Expect(err).To(MatchError(ContainSubstring(want)))
		},
		Entry("nothing", "", "is empty"),
		Entry("only a comment", "# nothing\n", "is empty"),
		Entry("broken YAML, with its line", "a: 1\nb: [1\n", "in.yml:"),
		Entry("two documents, with the second's line", "a: 1\n---\nb: 2\n", "in.yml:2: holds more than one"),
		Entry("another encoding, with its line", "a: 1\nb: caf\xe9\n", "in.yml:2: is not UTF-8: it has the byte 0xe9"),
		Entry("UTF-16", "\xff\xfea\x00:\x00", "in.yml:1: is not UTF-8"),
		Entry("what would be shown otherwise than it is read", "a: 1\n# x \u202e y\n", "in.yml:2: has the control character U+202E"),
		Entry("a control character, with its line", "a: 1\nb: x\x00y\n", "in.yml:2: has the control character U+0000"),
		Entry("too much", strings.Repeat("a", document.MaxSize+1), "at most 1048576"),
	)

	It("refuses an alias instead of following it", func() {
		doc := parse("a: &x [1]\nb: *x\n")
		doc.Root().Get("b").List()
		Expect(doc.Err()).To(MatchError("in.yml:2: b: is an alias, which is not followed; it must be a list"))
	})
})

func FuzzParse(f *testing.F) {
	f.Add("a: 1\n")
	f.Add("a: &x [*x]\n")
	f.Add("{\"a\": [1, {\"b\": null}]}")
	f.Fuzz(func(t *testing.T, text string) {
		doc, err := document.Parse("in.yml", []byte(text))
		if err != nil {
			return
		}
		root := doc.Root()
		root.Fields("a")
		root.Get("a").Int(0, 9)
		for _, v := range root.Get("a").List() {
			v.Text()
		}
		if err := doc.Err(); err != nil && strings.ContainsAny(err.Error(), "\x1b\x00\r") {
			t.Fatalf("a control character passed: %q", err)
		}
	})
}
