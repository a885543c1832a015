package signature

import "slices"

// The names of failures that no line tells, but what does not come.
const (
	answersLost        = "answers-lost"
	stoppedAfterAnswer = "stopped-after-answer"
	// noNATTraversal is told by the port of a line that is no failure.
	noNATTraversal = "no-nat-traversal"
)

// FailureNames are the names of all signatures that a Finding can have.
func FailureNames() []string {
	var out []string
	for _, row := range Rows {
		if slices.Contains([]effect{failure, refusedByPeer, closedByPeer, childRenewed, ikeRenewed}, row.effect) {
			out = append(out, row.Name)
		}
	}
	return append(out, answersLost, stoppedAfterAnswer, noNATTraversal)
}
