package probe_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/probe"
)

// issue makes a certificate and its key, in PEM; without a parent it is a CA of its own.
func issue(parent *tls.Certificate, usage x509.ExtKeyUsage) (tls.Certificate, string, string) {
	GinkgoHelper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	Expect(err).NotTo(HaveOccurred())
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "prober"}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 9)}, ExtKeyUsage: []x509.ExtKeyUsage{usage}, BasicConstraintsValid: true,
	}
	signer, above := any(key), template
	if parent == nil {
		template.IsCA, template.KeyUsage, template.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
	} else {
		signer, above = parent.PrivateKey, parent.Leaf
	}
	der, err := x509.CreateCertificate(rand.Reader, template, above, key.Public(), signer)
	Expect(err).NotTo(HaveOccurred())
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	Expect(err).NotTo(HaveOccurred())
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
	pair, err := tls.X509KeyPair([]byte(certificate), []byte(private))
	Expect(err).NotTo(HaveOccurred())
	return pair, certificate, private
}

var _ = Describe("Serving others", func() {
	ca, caPEM, _ := issue(nil, 0)
	_, certificate, private := issue(&ca, x509.ExtKeyUsageServerAuth)
	scraper, _, _ := issue(&ca, x509.ExtKeyUsageClientAuth)
	pool := x509.NewCertPool()
	pool.AddCert(ca.Leaf)

	file := func(fields map[string]string) []byte {
		data, err := json.Marshal(fields)
		Expect(err).NotTo(HaveOccurred())
		return data
	}
	// serve starts a prober that serves on 127.0.0.1 and, as if that were another network, on 127.0.0.9.
	serve := func(fields map[string]string) int {
		secure, err := probe.ParseTLS("tls.json", file(fields))
		Expect(err).NotTo(HaveOccurred())
		w := newWorld()
		w.start(gatewayJSON)
		plain, err := net.Listen("tcp4", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		port := plain.Addr().(*net.TCPAddr).Port
		other, err := net.Listen("tcp4", netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), uint16(port)).String())
		Expect(err).NotTo(HaveOccurred())
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() {
			done <- probe.Serve(ctx, []net.Listener{plain, tls.NewListener(other, secure)}, w.prober.Handler())
		}()
		DeferCleanup(func() { cancel(); Eventually(done, "3s").Should(Receive(BeNil())) })
		return port
	}
	get := func(scheme, host string, port int, config *tls.Config) (int, error) {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}, Timeout: 3 * time.Second}
		response, err := client.Get(scheme + "://" + netip.AddrPortFrom(netip.MustParseAddr(host), uint16(port)).String() + "/metrics")
		if err != nil {
			return 0, err
		}
		defer response.Body.Close()
		return response.StatusCode, nil
	}

	It("is by TLS 1.2 at least, while the VM itself asks without", func() {
		port := serve(map[string]string{"certificate": certificate, "private_key": private})
		Expect(get("http", "127.0.0.1", port, nil)).To(Equal(http.StatusOK))
		Expect(get("https", "127.0.0.9", port, &tls.Config{RootCAs: pool})).To(Equal(http.StatusOK))
		Expect(get("http", "127.0.0.9", port, nil)).To(Equal(http.StatusBadRequest))
		_, err := get("https", "127.0.0.9", port, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
		Expect(err).To(MatchError(ContainSubstring("protocol version")))
	})

	It("is, with a client CA, only for those who have its certificate", func() {
		port := serve(map[string]string{"certificate": certificate, "private_key": private, "client_ca": caPEM})
		_, err := get("https", "127.0.0.9", port, &tls.Config{RootCAs: pool})
		Expect(err).To(MatchError(ContainSubstring("certificate required")))
		Expect(get("https", "127.0.0.9", port, &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{scraper}})).To(Equal(http.StatusOK))
		Expect(get("http", "127.0.0.1", port, nil)).To(Equal(http.StatusOK))
	})

	DescribeTable("is refused, without a word of the key,",
		func(change func(map[string]string), want string) {
			fields := map[string]string{"certificate": certificate, "private_key": private}
			change(fields)
			_, err := probe.ParseTLS("tls.json", file(fields))
			Expect(err).To(MatchError(And(HavePrefix("tls.json:1: "), ContainSubstring(want))))
			Expect(err.Error()).NotTo(ContainSubstring("BEGIN"))
		},
		Entry("with the key of another certificate", func(f map[string]string) { _, _, f["private_key"] = issue(nil, 0) }, "no pair in PEM (tls: private key does not match public key)"),
		Entry("without a key", func(f map[string]string) { delete(f, "private_key") }, "give tls.certificate and tls.private_key"),
		Entry("with a client CA that is none", func(f map[string]string) { f["client_ca"] = "the CA" }, "holds no certificate in PEM"),
		Entry("with a field nobody knows", func(f map[string]string) { f["ciphers"] = "all" }, "is not a known field"),
	)

	It("is refused without TLS, with the properties to set", func() {
		text := strings.Replace(gatewayJSON, `"listen": "127.0.0.1:9427"`, `"listen": "10.20.0.4:9427"`, 1)
		_, err := probe.ParseConfig("prober.json", []byte(text))
		Expect(err).To(MatchError(MatchRegexp(`prober.json:\d+: listen: "10.20.0.4:9427" is served to other machines, which needs TLS: set tls.certificate and tls.private_key`)))
		config, err := probe.ParseConfig("prober.json", []byte(strings.Replace(text, `"role"`, `"tls": true, "role"`, 1)))
		Expect(err).NotTo(HaveOccurred())
		Expect(config.Local().String()).To(Equal("127.0.0.1:9427"))
	})

	It("is, for 0.0.0.0, on each of the VM's own addresses", func() {
		secure, err := probe.ParseTLS("tls.json", file(map[string]string{"certificate": certificate, "private_key": private}))
		Expect(err).NotTo(HaveOccurred())
		free, err := net.Listen("tcp4", "127.0.0.1:0")
		Expect(err).NotTo(HaveOccurred())
		port := free.Addr().(*net.TCPAddr).AddrPort().Port()
		Expect(free.Close()).To(Succeed())
		config := probe.Config{TLS: true, Listen: netip.AddrPortFrom(netip.IPv4Unspecified(), port), Addresses: []netip.Addr{netip.MustParseAddr("127.0.0.8"), netip.MustParseAddr("127.0.0.9")}}
		listeners, err := config.Open(secure)
		Expect(err).NotTo(HaveOccurred())
		var at []string
		for _, l := range listeners {
			at = append(at, netip.MustParseAddrPort(l.Addr().String()).Addr().String())
			l.Close()
		}
		Expect(at).To(Equal([]string{"127.0.0.1", "127.0.0.8", "127.0.0.9"}))
	})
})
