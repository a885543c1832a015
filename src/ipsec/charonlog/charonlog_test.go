package charonlog_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/ipsec"
	"privnet/ipsec/charonlog"
)

// relayed is what becomes of charon's output, a map a line.
func relayed(output string, orgs ...string) []map[string]any {
	var log strings.Builder
	r := charonlog.Relay{Log: slog.New(slog.NewJSONHandler(&log, nil))}
	for _, org := range orgs {
		r.Tunnels = append(r.Tunnels, ipsec.Tunnel{Name: org + "-198-51-100-10-ikev2", Org: org})
	}
	r.Copy(strings.NewReader(output))
	var out []map[string]any
	for line := range strings.Lines(log.String()) {
		entry := map[string]any{}
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			panic(err)
		}
		out = append(out, entry)
	}
	return out
}

var _ = Describe("charon's log", func() {
	It("keeps charon's words and adds org and tunnel", func() {
		lines := relayed(`{"thread":9,"group":"IKE","level":0,"ikesa-uniqueid":"3","ikesa-name":"agency-b-198-51-100-10-ikev2","msg":"deleting IKE_SA \"x\""}`+"\n", "agency-a", "agency-b")
		Expect(lines).To(HaveLen(1))
		Expect(lines[0]).To(And(HaveKeyWithValue("msg", `deleting IKE_SA "x"`), HaveKeyWithValue("org", "agency-b"),
			HaveKeyWithValue("tunnel", "agency-b-198-51-100-10-ikev2"), HaveKeyWithValue("ike_sa", "3"), HaveKeyWithValue("group", "IKE")))
	})

	It("says the org of a line about no tunnel only if there is one org", func() {
		line := `{"group":"NET","level":1,"msg":"received packet"}`
		Expect(relayed(line, "agency-a")[0]).To(HaveKeyWithValue("org", "agency-a"))
		Expect(relayed(line, "agency-a", "agency-b")[0]).NotTo(HaveKey("org"))
	})

	It("keeps lines that are no JSON, and only the start of endless ones", func() {
		lines := relayed("plain words\n{\"msg\": \"cut\n" + strings.Repeat("x", 5*charonlog.MaxLine) + "\nlast")
		Expect(lines).To(HaveLen(4))
		Expect(lines[0]).To(HaveKeyWithValue("msg", "plain words"))
		Expect(lines[1]).To(HaveKeyWithValue("msg", `{"msg": "cut`))
		Expect(len(lines[2]["msg"].(string))).To(Equal(charonlog.MaxLine))
		Expect(lines[3]).To(HaveKeyWithValue("msg", "last"))
	})

	It("reads what charon does not escape", func() {
		Expect(relayed("{\"group\":\"CFG\",\"level\":1,\"msg\":\"id 'a\tb\x1b[31m'\"}")[0]).To(HaveKeyWithValue("msg", "id 'a b [31m'"))
	})
})

func FuzzRelay(f *testing.F) {
	f.Add(`{"group":"CFG","level":1,"msg":"x"}`)
	f.Add("\x00\xff{")
	f.Fuzz(func(t *testing.T, output string) {
		lines := strings.Count(strings.TrimSpace(output), "\n") + 1
		if got := len(relayed(output, "agency-a")); got > lines+strings.Count(output, "\n") {
			t.Fatalf("%d lines became %d", lines, got)
		}
	})
}
