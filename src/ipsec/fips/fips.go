// Package fips asks OpenSSL whether its FIPS provider can be used on this machine. charon loads the same
// provider, by the same library and configuration. Whether the module is one that NIST has validated is for
// the stemcell's maker to say.
package fips

import (
	"fmt"
	"strings"

	"github.com/cloudfoundry/bosh-utils/system"
)

// Check returns an error if the FIPS provider is missing or does not pass its own tests.
func Check(runner system.CmdRunner) error {
	stdout, stderr, _, err := runner.RunCommandQuietly("openssl", "list", "-providers", "-provider", "fips")
	if err != nil {
		return fmt.Errorf("fips: true needs OpenSSL's FIPS provider, which this machine's OpenSSL cannot load (%s); "+
			"use a FIPS stemcell, or fips: false", firstLine(stderr))
	}
	if !strings.Contains(stdout, "FIPS") || !strings.Contains(stdout, "status: active") {
		return fmt.Errorf("fips: true needs OpenSSL's FIPS provider, which is not active; use a FIPS stemcell, or fips: false")
	}
	return nil
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}
