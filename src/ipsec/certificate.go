package ipsec

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"privnet/connection"
	"privnet/document"
)

// Certificates are what a connection authenticates with instead of a pre-shared key.
type Certificates struct {
	// Own is the gateway's certificate, and after it what leads from it to its CA.
	Own []*x509.Certificate
	// Key is the private key of the first of Own, as PEM.
	Key Key
	// Endpoint holds the CAs that issue the endpoint's certificate, or certificates of the endpoint itself.
	Endpoint []*x509.Certificate
	// CRLs say which of the endpoint's certificates are revoked.
	CRLs []*x509.RevocationList
}

// minRSA is the shortest RSA modulus in bits that is taken (NIST SP 800-131A).
const minRSA = 2048

// readCertificates reads the public part: certificate, endpoint_ca and endpoint_crl of gateway.json. It
// returns nil if there are none, which means pre-shared keys.
func readCertificates(root document.Value, c Connection) *Certificates {
	own, ca, crl := root.Get("certificate"), root.Get("endpoint_ca"), root.Get("endpoint_crl")
	if !own.Present() && !ca.Present() && !crl.Present() {
		return nil
	}
	out := &Certificates{Own: readPEM(own, "CERTIFICATE", x509.ParseCertificate), Endpoint: readPEM(ca, "CERTIFICATE", x509.ParseCertificate)}
	if crl.Present() {
		out.CRLs = readPEM(crl, "X509 CRL", x509.ParseRevocationList)
	}
	for i, cert := range append(slices.Clone(out.Own), out.Endpoint...) {
		v := own
		if i >= len(out.Own) {
			v = ca
		}
		if key, ok := cert.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < minRSA {
			v.SecretProblem("%s has an RSA key of %d bits; at least %d are needed", subject(cert), key.N.BitLen(), minRSA)
		}
	}
	if public := c.Gateway.PublicAddress; len(out.Own) > 0 && public.IsValid() && !names(out.Own[0], public.String()) {
		own.SecretProblem("%s does not name the gateway's identity; generate it with alternative_names: [%s]", subject(out.Own[0]), public)
	}
	for _, crl := range out.CRLs {
		if !slices.ContainsFunc(out.Endpoint, func(ca *x509.Certificate) bool { return crl.CheckSignatureFrom(ca) == nil }) {
			root.Get("endpoint_crl").SecretProblem("is signed by no certificate of endpoint_ca: its issuer is %s", crl.Issuer)
		}
	}
	isCA := func(cert *x509.Certificate) bool { return cert.IsCA }
	isNone := func(cert *x509.Certificate) bool { return !cert.IsCA }
	if slices.ContainsFunc(out.Endpoint, isCA) && slices.ContainsFunc(out.Endpoint, isNone) {
		ca.SecretProblem("mixes CAs and certificates of the endpoint; give one or the other")
	}
	for _, e := range c.Endpoints {
		if strings.HasPrefix(e.ID, "keyid:") {
			root.Get("connection").Get("endpoints").Problem("the identity %q cannot be in a certificate; give the address, name or mail address that its subject alternative names hold", e.ID)
		}
		if len(out.Endpoint) > 0 && !slices.ContainsFunc(out.Endpoint, isCA) &&
			!slices.ContainsFunc(out.Endpoint, func(cert *x509.Certificate) bool { return names(cert, e.ID) }) {
			ca.SecretProblem("holds no certificate that names the endpoint's identity %q", e.ID)
		}
	}
	return out
}

// names says whether a certificate has an identity as subject alternative name. charon compares as text.
func names(cert *x509.Certificate, id string) bool {
	if address, err := netip.ParseAddr(id); err == nil {
		return slices.ContainsFunc(cert.IPAddresses, net.IP(address.AsSlice()).Equal)
	}
	return slices.Contains(cert.DNSNames, id) || slices.Contains(cert.EmailAddresses, id)
}

// readPEM reads all blocks of a text. Problems do not repeat it.
func readPEM[T any](v document.Value, kind string, parse func([]byte) (T, error)) []T {
	var out []T
	rest := []byte(v.Text())
	for len(bytes.TrimSpace(rest)) > 0 {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		if block == nil || block.Type != kind {
			v.SecretProblem("holds something else than PEM blocks of type %s", kind)
			return nil
		}
		parsed, err := parse(block.Bytes)
		if err != nil {
			v.SecretProblem("holds a %s that cannot be read: %s", kind, err)
			return nil
		}
		out = append(out, parsed)
	}
	if len(out) == 0 {
		v.SecretProblem("is missing; give one or more PEM blocks of type %s", kind)
	}
	return out
}

// readPrivateKey reads the private key that belongs to the gateway's certificate.
func readPrivateKey(v document.Value, certificates *Certificates) {
	if len(certificates.Own) == 0 {
		return
	}
	certificates.Key = Key{v.Text()}
	own := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificates.Own[0].Raw})
	if _, err := tls.X509KeyPair(own, certificates.Key.Bytes()); err != nil {
		v.SecretProblem("is not the private key of the certificate; both come from one variable of type certificate")
	}
}

// ends are the two ends of a connection: who we are, and whom we take for the endpoint.
func (c Connection) ends(endpoint connection.Endpoint, paths Paths) []Section {
	local := Section{Name: localSection, Settings: []Setting{value("auth", "psk"), value("id", c.Gateway.PublicAddress.String())}}
	remote := Section{Name: "remote", Settings: []Setting{value("auth", "psk"), value("id", identity(endpoint.ID))}}
	if c.Certificates == nil {
		return []Section{local, remote}
	}
	local.Settings[0], remote.Settings[0] = value("auth", "pubkey"), value("auth", "pubkey")
	// A CRL that has run out still says who is revoked; the status says that it has run out.
	remote.Settings = append(remote.Settings, value("revocation", "relaxed"))
	local.Sections = []Section{paths.certificate("cert1", c.Certificates.Own[0])}
	for i, cert := range c.Certificates.Endpoint {
		kind := "cert"
		if cert.IsCA {
			kind = "cacert"
		}
		remote.Sections = append(remote.Sections, paths.certificate(fmt.Sprintf("%s%d", kind, i+1), cert))
	}
	return []Section{local, remote}
}

func (p Paths) certificate(name string, cert *x509.Certificate) Section {
	return Section{Name: name, Comments: []string{subject(cert) + ", until " + cert.NotAfter.UTC().Format(time.DateOnly)},
		Settings: []Setting{value("file", p.Certificates+"/"+certificateFile(cert).Name)}}
}

// certificateFile is named by its content: charon is told of another file when there is another certificate.
func certificateFile(cert *x509.Certificate) File {
	sum := sha256.Sum256(cert.Raw)
	return File{
		Name: hex.EncodeToString(sum[:8]) + ".pem",
		Data: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
	}
}

func (c *Certificates) files() []File {
	out := []File{certificateFile(c.Own[0])}
	for _, cert := range c.Endpoint {
		out = append(out, certificateFile(cert))
	}
	return out
}

// expiries are when the certificates end.
func (c *Certificates) expiries(org string) []Expiry {
	var out []Expiry
	for _, cert := range c.Own {
		out = append(out, Expiry{org, "the gateway's certificate " + subject(cert), cert.NotAfter, "Regenerate the variable and deploy"})
	}
	for _, cert := range c.Endpoint {
		out = append(out, Expiry{org, "the certificate in endpoint_ca " + subject(cert), cert.NotAfter, "Ask the customer for the new one"})
	}
	for _, crl := range c.CRLs {
		out = append(out, Expiry{org, "the CRL of " + crl.Issuer.String(), crl.NextUpdate, "Ask the customer for the new one, or where it is published"})
	}
	return out
}

func subject(cert *x509.Certificate) string {
	if name := cert.Subject.String(); name != "" {
		return name
	}
	return "serial number " + cert.SerialNumber.String()
}
