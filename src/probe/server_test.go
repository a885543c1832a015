package probe_test

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	boshlog "github.com/cloudfoundry/bosh-utils/logger"
	boshsys "github.com/cloudfoundry/bosh-utils/system"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/egress/enforcer"
	"privnet/probe"
	"privnet/probe/health"
)

var _ = Describe("The server", func() {
	It("serves status, metrics and readiness, and nothing that changes anything", func() {
		w := newWorld()
		w.start(gatewayJSON)
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- probe.Serve(ctx, []net.Listener{listener}, w.prober.Handler()) }()
		DeferCleanup(func() { cancel(); Eventually(done, "3s").Should(Receive(BeNil())) })
		get := func(path string) (int, string) {
			response, err := http.Get("http://" + listener.Addr().String() + path)
			Expect(err).NotTo(HaveOccurred())
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			Expect(err).NotTo(HaveOccurred())
			return response.StatusCode, string(body)
		}

		code, _ := get("/ready")
		Expect(code).To(Equal(http.StatusServiceUnavailable), "it has not looked yet")
		w.tell()
		Eventually(func() int { code, _ := get("/ready"); return code }).Should(Equal(http.StatusOK), "it looked, and there is no tunnel")

		code, body := get("/v1/status")
		Expect(code).To(Equal(http.StatusOK))
		var status map[string]any
		Expect(json.Unmarshal([]byte(body), &status)).To(Succeed())
		Expect(status).To(And(HaveKeyWithValue("version", 1.0), HaveKeyWithValue("org", "agency-a"), HaveKeyWithValue("state", "down"), HaveKey("since")))
		Expect(status["pairs"]).To(HaveLen(4))
		Expect(status["pairs"].([]any)[0]).To(And(
			HaveKeyWithValue("segment", "10.20.0.0/26"), HaveKeyWithValue("private_network", "10.150.0.0/16"),
			HaveKeyWithValue("state", "down"), HaveKey("reason"), HaveKey("since"), HaveKeyWithValue("bytes_in", 0.0)))
		Expect(status["targets"]).To(HaveLen(1))

		code, body = get("/metrics")
		Expect(code).To(Equal(http.StatusOK))
		Expect(body).To(ContainSubstring(`privnet_pair_state{gateway="10.20.0.4",org="agency-a",pair="10.20.0.0/26=10.150.0.0/16",state="down"} 1`))

		response, err := http.Post("http://"+listener.Addr().String()+"/v1/status", "text/plain", nil)
		Expect(err).NotTo(HaveOccurred())
		response.Body.Close()
		Expect(response.StatusCode).To(Equal(http.StatusMethodNotAllowed))
	})
})

var _ = Describe("What the enforcer says", func() {
	var path string
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	files := boshsys.NewOsFileSystem(boshlog.NewLogger(boshlog.LevelNone))
	BeforeEach(func() { path = filepath.Join(GinkgoT().TempDir(), "status.json") })

	write := func(s enforcer.Status) { Expect(enforcer.WriteStatus(path, s)).To(Succeed()) }
	read := func() probe.Enforcement { return probe.ReadEnforcement(files, path, now) }

	It("is on when it looked a moment ago and found its rules", func() {
		write(enforcer.Status{Enforced: true, Checked: now.Add(-time.Second), Repairs: 3, Dropped: 9})
		Expect(read()).To(Equal(probe.Enforcement{Enforcement: health.Enforcement{State: health.On}, Repairs: 3, DroppedPackets: 9}))
	})

	It("is off, with its problem, when it says so", func() {
		write(enforcer.Status{Checked: now, Problems: []string{"iptables-restore failed"}})
		Expect(read().Enforcement).To(Equal(health.Enforcement{State: health.Off, Reason: "iptables-restore failed"}))
		write(enforcer.Status{Checked: now})
		Expect(read().Reason).NotTo(BeEmpty())
	})

	It("is unknown when it is old, of a time to come, missing or no JSON", func() {
		write(enforcer.Status{Enforced: true, Checked: now.Add(-time.Hour)})
		Expect(read()).To(And(HaveField("State", health.Unclear), HaveField("Reason", ContainSubstring("2026-11-23T11:00:00Z"))))
		write(enforcer.Status{Enforced: true, Checked: now.Add(24 * time.Hour)})
		Expect(read().State).To(Equal(health.Unclear), "the clock was set back, and nobody has looked since")
		Expect(os.WriteFile(path, []byte("enforced"), 0o600)).To(Succeed())
		Expect(read()).To(And(HaveField("State", health.Unclear), HaveField("Reason", Not(BeEmpty()))))
		Expect(os.Remove(path)).To(Succeed())
		Expect(read()).To(And(HaveField("State", health.Unclear), HaveField("Reason", ContainSubstring("did not say"))))
	})
})
