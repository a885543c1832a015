// Package alerts_test looks at what config/ holds for Prometheus and Grafana: that the rules do what their cases
// say, that they speak of metrics that exist, and that somebody who is woken by one finds what to do.
package alerts_test

import (
	"testing"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

func TestAlerts(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "alerts")
}
