package charonlog_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/ipsec"
	"privnet/ipsec/charonlog"
)

// relayed is what becomes of charon's output, a map a line.
func relayed(output string, orgs ...string) []map[string]any {
	return relayedAt(time.Now, output, orgs...)
}

func relayedAt(now func() time.Time, output string, orgs ...string) []map[string]any {
	var log strings.Builder
	r := charonlog.Relay{Log: slog.New(slog.NewJSONHandler(&log, nil)), Now: now}
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

	It("says which pair of networks a line is about", func() {
		line := func(msg string) map[string]any {
			return relayed(`{"group":"IKE","level":0,"ikesa-name":"agency-a-198-51-100-10-ikev2","msg":"`+msg+`"}`, "agency-a")[0]
		}
		Expect(line("CHILD_SA all-pairs{1} established with SPIs 207a71e9_i 0188fbb1_o and TS 10.20.0.0/26 === 10.150.0.0/16 172.30.8.0/22")).
			To(HaveKeyWithValue("pair", "10.20.0.0/26 === 10.150.0.0/16 172.30.8.0/22"))
		Expect(line("no matching CHILD_SA config found for 10.20.0.0/26 === 0.0.0.0/0")).To(HaveKeyWithValue("pair", "10.20.0.0/26 === 0.0.0.0/0"))
		Expect(line("no matching CHILD_SA config found for 10.20.0.0/26[tcp/443] === 10.150.0.1..10.150.0.9 172.30.8.0/22[icmp/8(0)]")).
			To(HaveKeyWithValue("pair", "10.20.0.0/26[tcp/443] === 10.150.0.1..10.150.0.9 172.30.8.0/22[icmp/8(0)]"))
		Expect(line("received DELETE for IKE_SA")).NotTo(HaveKey("pair"))
	})

	It("keeps a flood's lines from filling the disk, says how many were left out, and keeps each about a tunnel", func() {
		now := time.Now()
		flood := strings.Repeat(`{"group":"NET","level":1,"msg":"received packet"}`+"\n", 10000)
		tunnel := `{"group":"IKE","level":0,"ikesa-name":"agency-a-198-51-100-10-ikev2","msg":"closing"}` + "\n"
		reads := 0
		lines := relayedAt(func() time.Time { // a second passes before the last line
			if reads++; reads > 10000 {
				return now.Add(time.Second)
			}
			return now
		}, flood+tunnel+`{"group":"NET","level":1,"msg":"later"}`, "agency-a")
		Expect(lines).To(HaveLen(5000 + 3))
		Expect(lines[5000]).To(HaveKeyWithValue("msg", "closing"))
		Expect(lines[5001]).To(HaveKeyWithValue("lines_left_out", 5000.0))
		Expect(lines[5002]).To(HaveKeyWithValue("msg", "later"))
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
