// Package peers_test proves the gateway on peers that no one here wrote: Debian's strongSwan in namespaces,
// and libreswan and OpenIKED in User-Mode Linux. It needs root.
package peers_test

import (
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	. "privnet/ipsec/charontest"
)

func TestMain(m *testing.M) { Main(m.Run) }

func TestPeers(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "peers")
}

// The certificates of all specs: making RSA keys takes longer than a tunnel.
var (
	platform, agency          Authority
	gatewayPair, endpointPair Pair
)

var _ = BeforeSuite(func() {
	until := time.Now().Add(24 * time.Hour)
	platform, agency = NewAuthority("Platform CA"), NewAuthority("Agency CA")
	gatewayPair, endpointPair = platform.Issue(until, GatewayPublic), agency.Issue(until, endpointName)
})
