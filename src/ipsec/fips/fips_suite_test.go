package fips_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestFIPS(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "ipsec/fips")
}
