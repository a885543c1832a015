package charontest

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"net"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// Authority is a CA that a spec makes.
type Authority struct {
	// PEM is its certificate.
	PEM  string
	cert *x509.Certificate
	key  *rsa.PrivateKey
}

// Pair is a certificate and its private key, as PEM, as in a BOSH variable of type certificate.
type Pair struct {
	Certificate, PrivateKey string
	Serial                  *big.Int
}

// Unknown is an extension that charon does not know and must not ignore.
var Unknown = pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{asn1.TagNull, 0}}

// NewAuthority makes a CA, with more extensions in its certificate if there are any.
func NewAuthority(name string, extensions ...pkix.Extension) Authority {
	GinkgoHelper()
	key := newKey()
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte(name), ExtraExtensions: extensions,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	Expect(err).NotTo(HaveOccurred())
	cert, err := x509.ParseCertificate(der)
	Expect(err).NotTo(HaveOccurred())
	return Authority{text("CERTIFICATE", der), cert, key}
}

// Issue issues a certificate whose subject alternative names are addresses and DNS names.
func (a Authority) Issue(until time.Time, names ...string) Pair {
	GinkgoHelper()
	return a.IssueFrom(time.Now().Add(-time.Hour), until, names...)
}

// IssueFrom is Issue for a certificate that begins at another time than an hour ago.
func (a Authority) IssueFrom(from, until time.Time, names ...string) Pair {
	GinkgoHelper()
	key := newKey()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<60))
	Expect(err).NotTo(HaveOccurred())
	template := x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: names[0]}, NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, a.cert, &key.PublicKey, a.key)
	Expect(err).NotTo(HaveOccurred())
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	Expect(err).NotTo(HaveOccurred())
	return Pair{text("CERTIFICATE", der), text("PRIVATE KEY", encoded), serial}
}

// Revoke is the CRL with certificates on it.
func (a Authority) Revoke(pairs ...Pair) string {
	GinkgoHelper()
	return a.revoke(nil, pairs...)
}

// RevokePart is a CRL for a part of what the CA issues, as large CAs publish them: that is in a critical
// extension (RFC 5280, 5.2.5), which charon does not know.
func (a Authority) RevokePart() string {
	GinkgoHelper()
	return a.revoke([]pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 28}, Critical: true, Value: []byte{0x30, 0x03, 0x81, 0x01, 0xff}}})
}

func (a Authority) revoke(extensions []pkix.Extension, pairs ...Pair) string {
	GinkgoHelper()
	list := x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(24 * time.Hour),
		ExtraExtensions: extensions}
	for _, pair := range pairs {
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: pair.Serial, RevocationTime: time.Now().Add(-time.Minute)})
	}
	der, err := x509.CreateRevocationList(rand.Reader, &list, a.cert, a.key)
	Expect(err).NotTo(HaveOccurred())
	return text("X509 CRL", der)
}

func newKey() *rsa.PrivateKey {
	GinkgoHelper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	Expect(err).NotTo(HaveOccurred())
	return key
}

func text(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
