package xfrm_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestXFRM(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "ipsec/xfrm")
}
