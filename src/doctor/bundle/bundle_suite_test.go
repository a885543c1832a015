package bundle_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"pgregory.net/rapid"

	"privnet/doctor/bundle"
)

func TestBundle(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "doctor/bundle")
}

const key = "Zq3vT8mKx1LpR6wYb9NcJ4hGd7FsU2aEoI5tXkQyVrMnBzPu"

var _ = Describe("A bundle", func() {
	It("holds no secret in any form, wherever it stood", func() {
		files := []bundle.File{
			{Name: "log", Data: []byte("tried " + key + " and 0s" + base64.StdEncoding.EncodeToString([]byte(key)))},
			{Name: "hex", Data: []byte("0x" + hex.EncodeToString([]byte(key)) + strings.ToUpper(hex.EncodeToString([]byte(key))))},
			{Name: "psk.json", Data: []byte(`{"psk_a": "` + key + `"}`)},
			{Name: "state", Data: []byte("\taead rfc4106(gcm(aes)) 0x00112233445566778899aabbccddeeff00112233 128\n\tauth-trunc hmac(sha256) 0x00112233445566778899aabbccddeeff 128\n\tenc cbc(aes) 0x00112233445566778899aabbccddeeff\n")},
			{Name: "key.pem", Data: []byte("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIOther.key\n-----END EC PRIVATE KEY-----\n")},
			{Name: "swanctl", Data: []byte("secret = other.key.that.nobody.told\nid = 198.51.100.10")},
		}
		var out bytes.Buffer
		Expect(bundle.Write(&out, time.Now(), files, []string{key})).To(Succeed())
		content := unpack(&out)
		for _, secret := range []string{key, base64.StdEncoding.EncodeToString([]byte(key)), hex.EncodeToString([]byte(key)), "00112233445566", "other.key", "MHcCAQEE"} {
			Expect(strings.ToLower(content)).NotTo(ContainSubstring(strings.ToLower(secret)))
		}
		Expect(content).To(ContainSubstring("id = 198.51.100.10"))
		Expect(content).To(ContainSubstring("cbc(aes)"))
	})

	It("redacts any key anywhere", func() {
		rapid.Check(GinkgoT(), func(t *rapid.T) {
			secret := rapid.StringMatching(`[A-Za-z1-9][A-Za-z0-9._]{31,63}`).Draw(t, "secret")
			before, after := rapid.String().Draw(t, "before"), rapid.String().Draw(t, "after")
			if strings.Contains(string(bundle.Redact([]byte(before+secret+after), []string{secret})), secret) {
				t.Fatal("the key is still there")
			}
		})
	})
})

func unpack(in io.Reader) string {
	GinkgoHelper()
	zip, err := gzip.NewReader(in)
	Expect(err).NotTo(HaveOccurred())
	var out strings.Builder
	for archive := tar.NewReader(zip); ; {
		header, err := archive.Next()
		if err == io.EOF {
			return out.String()
		}
		Expect(err).NotTo(HaveOccurred())
		out.WriteString(header.Name + "\n")
		_, err = io.Copy(&out, archive)
		Expect(err).NotTo(HaveOccurred())
	}
}
