// Package ipsec turns what a gateway is told into strongSwan's configuration: the IKE connections and
// shared keys for charon (Render) and strongswan.conf. It is pure: it reads and writes no file, and
// knows nothing of a running charon; packages ipsec/vici and ipsec/gateway do.
//
// A gateway responds and never initiates. It offers named proposals only, never strongSwan's default.
// Whatever cannot be written so that it means exactly one thing is refused, with a sentence.
package ipsec

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"privnet/connection"
	"privnet/document"
)

// MaxLogLevel is charon's highest log level that prints no key: 3 dumps packets, 4 prints secrets.
const MaxLogLevel = 2

// Config is what one gateway instance serves.
type Config struct {
	// Addresses are the instance's own, those of IPv4, on all its networks.
	Addresses []netip.Addr
	// DataPath is what encrypts; one charon has one.
	DataPath connection.DataPath
	// FIPS says that OpenSSL's FIPS provider alone does the cryptography, with what it allows.
	FIPS bool
	// LogLevel is charon's, 0 to MaxLogLevel.
	LogLevel    int
	Connections []Connection
}

// Connection is one org's connection as this gateway serves it.
type Connection struct {
	connection.Connection
	// Gateway is this instance's entry of Connection.Gateways.
	Gateway connection.Gateway
	IKE     connection.IKE
	Policy  Policy
	// Proposals are offered if Policy is Custom.
	Proposals Proposals
	Waivers   []Waiver
	Keys      Keys
	// Certificates are used instead of Keys, if there are any.
	Certificates *Certificates
}

// File is the name and content of a file.
type File struct {
	Name string
	Data []byte
}

// Read reads the gateway job's two files, gateway.json and psk.json. The error is document.Problems with
// everything that is wrong in both; it never repeats a key.
func Read(gateway, psk File) (Config, error) {
	config, gatewayErr := readGateway(gateway)
	var c Connection
	if len(config.Connections) > 0 {
		c = config.Connections[0]
	}
	pskErr := readSecrets(psk, &c)
	if gatewayErr != nil || pskErr != nil {
		return Config{}, joinProblems(gatewayErr, pskErr)
	}
	config.Connections[0] = c
	return config, nil
}

// readSecrets reads what psk.json holds for a connection: pre-shared keys, or the certificate's private key.
func readSecrets(file File, c *Connection) error {
	doc, err := document.Parse(file.Name, file.Data)
	if err != nil {
		return err
	}
	root := doc.Root()
	if !root.Fields("psk_a", "psk_b", "active_psk", "psk_overlap_until", "private_key") {
		return doc.Err()
	}
	if c.Certificates == nil {
		c.Keys = readKeys(root, c.Org)
		return doc.Err()
	}
	for _, name := range []string{"psk_a", "psk_b"} {
		if root.Get(name).Present() {
			root.Get(name).SecretProblem("and certificate exclude each other; give one of them")
		}
	}
	readPrivateKey(root.Get("private_key"), c.Certificates)
	return doc.Err()
}

// Expiry is something that ends, and what to do then.
type Expiry struct {
	Org, What string
	At        time.Time
	Advice    string
}

// Expired says whether it has ended.
func (e Expiry) Expired(now time.Time) bool { return !now.Before(e.At) }

// String is a sentence.
func (e Expiry) String() string {
	return fmt.Sprintf("org %s: %s ends on %s. %s", e.Org, e.What, e.At.UTC().Format(time.RFC3339), e.Advice)
}

// Expiries are the ends of all waivers, certificates and CRLs.
func (c Config) Expiries() []Expiry {
	var out []Expiry
	for _, connection := range c.Connections {
		for _, w := range connection.Waivers {
			out = append(out, Expiry{connection.Org, "the waiver for " + w.Algorithm, w.Until,
				"Move the endpoint to something better and remove the waiver, or decide anew and change its date"})
		}
		if connection.Certificates != nil {
			out = append(out, connection.Certificates.expiries(connection.Org)...)
		}
	}
	return out
}

func joinProblems(errs ...error) error {
	var all document.Problems
	for _, err := range errs {
		if problems, ok := err.(document.Problems); ok {
			all = append(all, problems...)
		}
	}
	return all.Err()
}

func readGateway(file File) (Config, error) {
	doc, err := document.Parse(file.Name, file.Data)
	if err != nil {
		return Config{}, err
	}
	root := doc.Root()
	if !root.Fields("connection", "addresses", "ike", "policy", "proposals", "waivers", "certificate", "endpoint_ca", "endpoint_crl", "fips", "log_level") {
		return Config{}, doc.Err()
	}
	c := Connection{
		Connection: connection.Read(root.Get("connection")),
		IKE: connection.IKE(root.Get("ike").OneOf(string(connection.IKEv2),
			string(connection.IKEv1), string(connection.IKEv2), string(connection.IKEAuto))),
	}
	c.Waivers = readWaivers(root.Get("waivers"))
	if proposals := root.Get("proposals"); proposals.Present() {
		c.Policy, c.Proposals = Custom, readProposals(proposals, c.IKE, c.Waivers)
		if root.Get("policy").Present() {
			proposals.Problem("and policy exclude each other; give one of them")
		}
	} else {
		c.Policy = readPolicy(root.Get("policy"), c.IKE)
	}
	refuseUnused(root.Get("waivers"), c)
	endpoints := root.Get("connection").Get("endpoints")
	if len(endpoints.List()) == 0 {
		endpoints.Problem("is missing; give at least one endpoint with address and device")
	}
	refuseAmbiguous(endpoints, c.Endpoints)
	config := Config{
		DataPath:  c.DataPath,
		FIPS:      root.Get("fips").Bool(),
		LogLevel:  root.Get("log_level").Int(0, MaxLogLevel),
		Addresses: connection.ReadOwnAddresses(root.Get("addresses")),
	}
	c.Gateway = ownGateway(root.Get("addresses"), c.Gateways, config.Addresses)
	if config.FIPS {
		refuseOutsideFIPS(root.Get("fips"), c)
	}
	c.Certificates = readCertificates(root, c)
	config.Connections = []Connection{c}
	return config, doc.Err()
}

// refuseAmbiguous refuses two endpoints that charon could not tell apart: it finds a connection by the
// peer's address and a key by its identity.
func refuseAmbiguous(v document.Value, endpoints []connection.Endpoint) {
	for i, e := range endpoints {
		for _, other := range endpoints[:i] {
			if e.Address == other.Address {
				v.Problem("two have the address %s; each endpoint has its own", e.Address)
			}
			if e.ID == other.ID {
				v.Problem("two have the identity %q; each endpoint has its own", e.ID)
			}
		}
		if id, err := netip.ParseAddr(e.ID); err == nil && (!id.Is4() || id.IsUnspecified()) {
			v.Problem("the identity %q is no IPv4 address that names one endpoint; give its own address", e.ID)
		}
	}
}

// ownGateway finds the gateway that this instance is.
func ownGateway(v document.Value, gateways []connection.Gateway, addresses []netip.Addr) connection.Gateway {
	var own []connection.Gateway
	for _, g := range gateways {
		if slices.Contains(addresses, g.Address) {
			own = append(own, g)
		}
	}
	switch {
	case len(gateways) == 0:
	case len(own) == 0:
		v.Problem("%s: none is the address of a gateway (%s); give this instance the static IP that connection.gateways declares",
			list(addresses), list(gatewayAddresses(gateways)))
	case len(own) > 1:
		v.Problem("%s: more than one is the address of a gateway; an instance is one gateway", list(addresses))
	default:
		return own[0]
	}
	return connection.Gateway{}
}

func gatewayAddresses(gateways []connection.Gateway) []netip.Addr {
	out := make([]netip.Addr, len(gateways))
	for i, g := range gateways {
		out[i] = g.Address
	}
	return out
}
