package doctor

import (
	"privnet/connection"
	"privnet/doctor/signature"
)

// Explain makes problems of findings alone, for whoever follows the log live.
func Explain(c connection.Connection, findings []signature.Finding) []Problem {
	x := examination{Evidence: Evidence{Role: Gateway, Connection: c}}
	for _, f := range findings {
		x.found(f)
	}
	return x.report.Problems
}
