package gateway_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/ipsec/charontest"
)

func TestMain(m *testing.M) { charontest.Main(m.Run) }

func TestGateway(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "ipsec/gateway")
}
