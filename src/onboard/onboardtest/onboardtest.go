// Package onboardtest makes for specs what privnet makes of the operator's and the customer's files.
package onboardtest

import (
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"privnet/connection"
	"privnet/onboard/plan"
	"privnet/onboard/platform"
	"privnet/onboard/render"
)

// Input plans a request on a platform, given as YAML, that holds no other org; earlier is what the org has, nil for
// nothing.
func Input(platformText, request string, earlier *render.Input) render.Input {
	GinkgoHelper()
	p, err := platform.Parse("platform.yml", []byte(platformText))
	Expect(err).NotTo(HaveOccurred())
	r, err := connection.ParseRequest("request.yml", []byte(request))
	Expect(err).NotTo(HaveOccurred())
	var held *plan.Plan
	if earlier != nil {
		held = &earlier.Plan
	}
	made, err := plan.NewAllocator(p, nil).Allocate(r, held)
	Expect(err).NotTo(HaveOccurred())
	return render.Input{Request: r, Plan: made, Platform: p}
}
