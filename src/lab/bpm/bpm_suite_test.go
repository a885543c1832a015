package bpm_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestBPM(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "lab/bpm")
}
