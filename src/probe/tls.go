package probe

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/netutil"

	"privnet/document"
)

// maxClients is the number of connections that are served at once on each address.
const maxClients = 64

// ParseTLS reads a job's tls.json: certificate, private_key and, optionally, client_ca, all PEM. With a
// client_ca nobody is served whose certificate it has not issued. The error is document.Problems; it never
// repeats the key.
func ParseTLS(file string, data []byte) (*tls.Config, error) {
	doc, err := document.Parse(file, data)
	if err != nil {
		return nil, err
	}
	v := doc.Root()
	if !v.Fields("certificate", "private_key", "client_ca") {
		return nil, doc.Err()
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	pair, err := tls.X509KeyPair([]byte(v.Get("certificate").Text()), []byte(v.Get("private_key").Text()))
	if err != nil {
		v.Get("private_key").SecretProblem("and certificate are no pair in PEM (%s); give tls.certificate and tls.private_key of one variable of type certificate", err)
	}
	config.Certificates = []tls.Certificate{pair}
	if ca := v.Get("client_ca").Text(); ca != "" {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
		if !config.ClientCAs.AppendCertsFromPEM([]byte(ca)) {
			v.Get("client_ca").Problem("holds no certificate in PEM; give the CA that issues the certificates of those who may ask")
		}
	}
	return config, doc.Err()
}

// Local is the address and port on which the VM itself is served, without TLS.
func (c Config) Local() netip.AddrPort {
	if c.Listen.Addr().IsLoopback() {
		return c.Listen
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), c.Listen.Port())
}

// Open opens what the configuration says to listen on: the VM's own loopback without TLS, and, if others
// are to be served, their address, or each of the VM's, with TLS and nothing else.
func (c Config) Open(secure *tls.Config) ([]net.Listener, error) {
	addresses := []netip.Addr{c.Local().Addr()}
	switch {
	case c.Listen.Addr().IsLoopback():
	case c.Listen.Addr().IsUnspecified():
		addresses = append(addresses, c.Addresses...)
	default:
		addresses = append(addresses, c.Listen.Addr())
	}
	var out []net.Listener
	for _, address := range addresses {
		listener, err := net.Listen("tcp", netip.AddrPortFrom(address, c.Listen.Port()).String())
		if err != nil {
			for _, open := range out {
				open.Close()
			}
			return nil, fmt.Errorf("opening the address to serve on: %w", err)
		}
		// TLS lies above the limit: the server must know its connections.
		listener = netutil.LimitListener(listener, maxClients)
		if !address.IsLoopback() {
			listener = tls.NewListener(listener, secure)
		}
		out = append(out, listener)
	}
	return out, nil
}
