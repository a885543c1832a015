package template_test

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/lab/compile"
	"privnet/lab/manifest"
	"privnet/lab/template"
)

var _ = Describe("Rendering a job", func() {
	var job compile.Job

	instance := manifest.Instance{
		Deployment: "cf", Group: "cell-a", Index: 1, ID: "some-id", AZ: "z1",
		Networks: map[string]netip.Addr{"private-network-a": netip.MustParseAddr("10.1.0.17")},
		Address:  netip.MustParseAddr("10.1.0.17"),
	}
	placement := manifest.JobPlacement{
		Properties: map[string]any{"org": "a", "path": map[string]any{"mtu": 1500}, "off": false, "list": []any{1, "x"}},
		Links: map[string]manifest.Link{"net": {
			Properties: map[string]any{"org": "b"},
			Instances:  []manifest.LinkInstance{{Name: "gateway-a", ID: "gw", AZ: "z1", Address: "10.1.0.4", Bootstrap: true}},
		}},
	}

	write := func(name, text string) {
		GinkgoHelper()
		path := filepath.Join(job.Dir, name)
		Expect(os.MkdirAll(filepath.Dir(path), 0o755)).To(Succeed())
		Expect(os.WriteFile(path, []byte(text), 0o644)).To(Succeed())
	}

	BeforeEach(func() {
		job = compile.Job{Name: "demo", Dir: GinkgoT().TempDir(), Templates: map[string]string{"a.erb": "config/a"}}
		write("monit", "check process demo\n")
	})

	render := func(text string) (string, error) {
		GinkgoHelper()
		write("templates/a.erb", text)
		files, err := template.Render(context.Background(), job, instance, placement)
		return string(files["config/a"]), err
	}

	DescribeTable("gives a template what a director gives it",
		func(text, want string) {
			Expect(render(text)).To(Equal(want))
		},
		Entry("a property", `<%= p('org') %>`, "a"),
		Entry("a nested property", `<%= p('path.mtu') %>`, "1500"),
		Entry("a property that is false", `<%= p('off', true) %>`, "false"),
		Entry("a default in the template", `<%= p('missing', 'other') %>`, "other"),
		Entry("a default of nil", `<%= p('missing', nil).inspect %>`, "nil"),
		Entry("a list as JSON", `<%= require 'json'; JSON.generate(p('list')) %>`, `[1,"x"]`),
		Entry("if_p", `<% if_p('org', 'path.mtu') do |org, mtu| %><%= org %><%= mtu %><% end %>`, "a1500"),
		Entry("if_p with one missing", `<% if_p('org', 'missing') do |*| %>yes<% end.else do %>no<% end %>`, "no"),
		Entry("if_p without else", `<% if_p('missing') do |*| %>yes<% end %>.`, "."),
		Entry("if_p that holds, with else", `<% if_p('org') do |o| %><%= o %><% end.else do %>no<% end %>`, "a"),
		Entry("a link's property", `<%= link('net').p('org') %>`, "b"),
		Entry("a link's missing property with a default", `<%= link('net').p('missing', 3) %>`, "3"),
		Entry("if_p of a link", `<% link('net').if_p('org') do |org| %><%= org %><% end %>`, "b"),
		Entry("a link's instances", `<%= link('net').instances.map { |i| [i.name, i.index, i.id, i.az, i.address, i.bootstrap].join(' ') }.first %>`,
			"gateway-a 0 gw z1 10.1.0.4 true"),
		Entry("if_link", `<% if_link('net') do |l| %><%= l.p('org') %><% end.else do %>no<% end %>`, "b"),
		Entry("if_link without a link", `<% if_link('other') do |l| %>yes<% end.else do %>no<% end %>`, "no"),
		Entry("spec", `<%= [spec.name, spec.index, spec.id, spec.az, spec.ip, spec.address, spec.bootstrap, spec.deployment, spec.job.name].join(' ') %>`,
			"cell-a 1 some-id z1 10.1.0.17 10.1.0.17 false cf cell-a"),
		Entry("spec's networks", `<%= spec.networks.to_h.values.map(&:ip).inspect %>`, `["10.1.0.17"]`),
		Entry("the trim mode", "<%- if true -%>\n  x\n<%- end -%>\n", "  x\n"),
	)

	It("renders monit too", func() {
		write("templates/a.erb", "")
		files, err := template.Render(context.Background(), job, instance, placement)
		Expect(err).NotTo(HaveOccurred())
		Expect(files).To(HaveKeyWithValue("monit", []byte("check process demo\n")))
	})

	DescribeTable("fails as a director does, with the template and the line",
		func(text, want string) {
			_, err := render(text)
			Expect(err).To(MatchError(ContainSubstring("rendering job demo:\nError filling in template 'a.erb' " + want)))
		},
		Entry("a missing property", "\n<%= p('missing') %>", "(line 2: Can't find property 'missing')"),
		Entry("a missing link", "<%= link('other').p('x') %>", "(line 1: Can't find link 'other')"),
		Entry("a missing property of a link", "<%= link('net').p('x') %>", "(line 1: Can't find property 'x')"),
		Entry("broken ruby", "\n\n<% if %>", "(line 3: "),
		Entry("a raise of its own", "<% raise 'no good' %>", "(line 1: no good)"),
	)

	It("reports every template that fails", func() {
		job.Templates["b.erb"] = "config/b"
		write("templates/b.erb", "<%= p('second') %>")
		_, err := render("<%= p('first') %>")
		Expect(err).To(MatchError(And(ContainSubstring("'first'"), ContainSubstring("'second'"))))
	})
})
