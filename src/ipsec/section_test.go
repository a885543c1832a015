package ipsec_test

import (
	"reflect"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"privnet/ipsec"
)

// hostile are texts that mean something to strongSwan's parser, or to vici's.
var hostile = []string{
	"}", "{", "\"", "\\", "#", "a # b", "a } b", "\n", "\r", "\t", "\x00", "include /etc/passwd", "include", "0x41", "0s4141", "%any",
	"a\nsecret = x", "a\"\n}\nconnections {", "a,b", " a", "a ", "*", "$(id)", "a: b", "a.b", "ä", "\u2028", "\xff", "",
	strings.Repeat("x", 64<<10),
}

// anyText draws hostile texts, and texts made of them.
func anyText() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.SampledFrom(hostile),
		rapid.String(),
		rapid.StringMatching(`[a-z0-9-]{1,12}`),
		rapid.Map(rapid.SliceOfN(rapid.SampledFrom(hostile[:20]), 1, 4), func(parts []string) string { return strings.Join(parts, "") }),
	)
}

func anySection(depth int) *rapid.Generator[ipsec.Section] {
	return rapid.Custom(func(t *rapid.T) ipsec.Section {
		s := ipsec.Section{
			Name:     anyText().Draw(t, "name"),
			Comments: rapid.SliceOfN(anyText(), 0, 2).Draw(t, "comments"),
		}
		for range rapid.IntRange(0, 3).Draw(t, "settings") {
			isList := rapid.Bool().Draw(t, "is list")
			most := 1
			if isList {
				most = 3
			}
			s.Settings = append(s.Settings, ipsec.Setting{
				Key: anyText().Draw(t, "key"), Values: rapid.SliceOfN(anyText(), 1, most).Draw(t, "values"), IsList: isList,
			})
		}
		if depth > 0 {
			s.Sections = rapid.SliceOfN(anySection(depth-1), 0, 2).Draw(t, "sections")
		}
		return s
	})
}

// readsBack says what is wrong if a section that may be written is not read back as it is, between two
// others that must stay what they are.
func readsBack(middle ipsec.Section) string {
	before := ipsec.Section{Name: "before-all", Settings: []ipsec.Setting{{Key: "key", Values: []string{"one"}}}}
	after := ipsec.Section{Name: "after-all", Settings: []ipsec.Setting{{Key: "key", Values: []string{"two"}}}}
	root := ipsec.Section{Sections: []ipsec.Section{before, middle, after}}
	if root.Check() != nil {
		return ""
	}
	text := root.Text()
	read, includes, err := parse(text)
	switch {
	case err != nil:
		return "not read back: " + err.Error() + "\n" + text
	case len(includes) > 0:
		return "includes a file:\n" + text
	case !reflect.DeepEqual(read, plain(root)):
		return "read back as something else:\n" + text
	}
	return ""
}

var _ = Describe("A section", func() {
	It("is read back as it is, or refused, whatever it holds", func() {
		rapid.Check(GinkgoT(), func(t *rapid.T) {
			if problem := readsBack(anySection(2).Draw(t, "section")); problem != "" {
				t.Fatal(problem)
			}
		})
	})

	It("carries every printable text as a value", func() {
		rapid.Check(GinkgoT(), func(t *rapid.T) {
			text := rapid.StringOf(rapid.RuneFrom([]rune(`aZ09 .:/@%+=-_#{}"\',;<>()*&$!?~äß€漢`))).Filter(func(s string) bool { return s != "" }).Draw(t, "text")
			s := ipsec.Section{Name: "middle", Settings: []ipsec.Setting{{Key: "id", Values: []string{text}}}}
			if err := s.Check(); err != nil {
				t.Fatalf("%q is refused: %s", text, err)
			}
			if problem := readsBack(s); problem != "" {
				t.Fatal(problem)
			}
		})
	})

	DescribeTable("is refused with a sentence",
		func(s ipsec.Section, want string) { Expect(s.Check()).To(MatchError(ContainSubstring(want))) },
		Entry("a name that includes a file", ipsec.Section{Name: "include"}, `"include" is no name of a section`),
		Entry("a name that is a path", ipsec.Section{Name: "a.b"}, `"a.b" is no name of a section`),
		Entry("a value with a line break", ipsec.Section{Name: "a", Settings: []ipsec.Setting{{Key: "id", Values: []string{"x\ny"}}}}, "a.id: holds a control character"),
		Entry("a list element with a comma", ipsec.Section{Name: "a", Settings: []ipsec.Setting{{Key: "ts", Values: []string{"x,y"}, IsList: true}}}, "a.ts: holds a comma"),
		Entry("a value of 64 KiB", ipsec.Section{Name: "a", Settings: []ipsec.Setting{{Key: "id", Values: []string{strings.Repeat("x", 64<<10)}}}}, "a.id: is 65536 bytes long"),
		Entry("no value", ipsec.Section{Name: "a", Settings: []ipsec.Setting{{Key: "id", Values: []string{""}}}}, "a.id: is empty"),
		Entry("two sections of a name", ipsec.Section{Sections: []ipsec.Section{{Name: "a"}, {Name: "a"}}}, `two sections are named "a"`),
	)
})

func FuzzSection(f *testing.F) {
	for _, text := range hostile[:len(hostile)-1] {
		f.Add(text, text, text, text)
	}
	f.Fuzz(func(t *testing.T, name, comment, key, text string) {
		problem := readsBack(ipsec.Section{
			Name: name, Comments: []string{comment},
			Settings: []ipsec.Setting{{Key: key, Values: []string{text}}, {Key: "list", Values: []string{"a", text}, IsList: true}},
		})
		if problem != "" {
			t.Fatal(problem)
		}
	})
}
