package vici_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestVici(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "ipsec/vici")
}
