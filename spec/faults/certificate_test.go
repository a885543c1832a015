package faults_test

import (
	"maps"
	"sync"
	"time"

	. "privnet/ipsec/charontest"
)

const customerName = "vpn.agency-a.example"

// authorities are the platform's CA and the customer's, with the gateway's certificate; one set is enough.
var authorities = sync.OnceValue(func() (a struct {
	platform, agency Authority
	gateway          Pair
}) {
	a.platform, a.agency = NewAuthority("Platform CA"), NewAuthority("Agency CA")
	a.gateway = a.platform.Issue(inDays(60), GatewayPublic)
	return a
})

func inDays(n int) time.Time { return time.Now().Add(time.Duration(n) * 24 * time.Hour) }

// certified lets both sides use certificates; a fault is in the customer's.
func certified(issue func(agency Authority) Pair) func(p *peer, s *settings) {
	return func(p *peer, s *settings) {
		pair := issue(authorities().agency)
		p.certificate, p.id = &pair, "fqdn:"+customerName
	}
}

func valid(agency Authority) Pair { return agency.Issue(inDays(60), customerName) }

// certify gives the gateway its certificate and says what secret it has, and the customer its files.
func (s *settings) certify(p peer, connection object) (secrets object, files []File) {
	a := authorities()
	trusted := a.platform
	if s.distrusted {
		trusted = a.agency
	}
	files = []File{
		{Name: "x509ca/platform.pem", Text: trusted.PEM},
		{Name: "x509/own.pem", Text: p.certificate.Certificate}, {Name: "private/own.pem", Text: p.certificate.PrivateKey},
	}
	if s.byKey {
		return object{"psk_a": key, "active_psk": "a"}, files
	}
	if s.early {
		a.gateway = a.platform.IssueFrom(inDays(1), inDays(60), GatewayPublic)
	}
	connection["endpoints"] = []object{{"address": Endpoint, "device": "strongswan", "id": customerName}}
	fields := object{"certificate": a.gateway.Certificate, "endpoint_ca": a.agency.PEM}
	maps.Copy(fields, s.gateway)
	s.gateway = fields
	return object{"private_key": a.gateway.PrivateKey}, files
}
