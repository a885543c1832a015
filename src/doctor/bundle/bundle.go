// Package bundle makes the archive that a person sends to whoever helps: what the doctor saw and said, and
// the state of the VM around it. No secret gets in: files that hold one are not among its sources, `ip
// xfrm state` is never run because it prints keys, and everything else is searched for the VM's
// pre-shared keys in each form in which they occur, and for whatever looks like a key.
package bundle

import (
	"archive/tar"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// File is one file of the archive.
type File struct {
	Name string
	Data []byte
}

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// keyPatterns are forms in which programs print keys, whatever the key is.
var keyPatterns = []*regexp.Regexp{
	regexp.MustCompile(`(?i)((?:secret|psk|psk_a|psk_b|password|passphrase|private[-_]key)"?\s*[=:]\s*)("[^"\n]*"|\S+)`),
	regexp.MustCompile(`(?i)(\b(?:auth(?:-trunc)?|enc|aead|comp)\s+\S+\s+)(0x[0-9a-f]{16,})`),
	regexp.MustCompile(`(0s)([A-Za-z0-9+/]{24,}={0,2})`),
}

// pemPattern is a private key as files hold it, and as JSON does.
var pemPattern = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?-----END [A-Z ]*PRIVATE KEY-----`)

// Redact replaces every secret, as it is, in base64 and in hexadecimal, and whatever looks like a key.
func Redact(data []byte, secrets []string) []byte {
	text := string(data)
	for _, secret := range secrets {
		if secret == "" {
			continue
		}
		bytes := []byte(secret)
		digits := hex.EncodeToString(bytes)
		for _, form := range []string{
			secret, base64.StdEncoding.EncodeToString(bytes), base64.RawStdEncoding.EncodeToString(bytes),
			base64.URLEncoding.EncodeToString(bytes), digits, strings.ToUpper(digits),
		} {
			text = strings.ReplaceAll(text, form, Redacted)
		}
	}
	text = pemPattern.ReplaceAllString(text, Redacted)
	for _, pattern := range keyPatterns {
		text = pattern.ReplaceAllString(text, "${1}"+Redacted)
	}
	return []byte(text)
}

// Write writes the files, redacted, as a compressed archive.
func Write(out io.Writer, at time.Time, files []File, secrets []string) error {
	zip := gzip.NewWriter(out)
	archive := tar.NewWriter(zip)
	for _, f := range files {
		data := Redact(f.Data, secrets)
		header := &tar.Header{Name: "tunnel-doctor/" + f.Name, Mode: 0o640, Size: int64(len(data)), ModTime: at}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("writing the bundle: %w", err)
		}
		if _, err := archive.Write(data); err != nil {
			return fmt.Errorf("writing the bundle: %w", err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	if err := zip.Close(); err != nil {
		return fmt.Errorf("writing the bundle: %w", err)
	}
	return nil
}
