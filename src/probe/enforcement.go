package probe

import (
	"fmt"
	"time"

	boshsys "github.com/cloudfoundry/bosh-utils/system"

	"privnet/egress/enforcer"
	"privnet/probe/health"
)

// enforcerSilence is how long the enforcer, which looks at its rules every second, may say nothing before
// nobody knows whether it still does.
const enforcerSilence = time.Minute

// ReadEnforcement reads the egress enforcer's status file. A file that is not there, cannot be read, or is
// old or of a time to come, after a clock was set back, says nothing of the rules: enforcement is then unknown, and nothing is called up.
func ReadEnforcement(files boshsys.FileSystem, path string, now time.Time) Enforcement {
	status, err := enforcer.ReadStatus(files, path)
	out := Enforcement{Repairs: uint64(max(status.Repairs, 0)), DroppedPackets: status.Dropped}
	out.State = health.Unclear
	switch {
	case err != nil:
		out.Reason = fmt.Sprintf("the egress enforcer did not say: %s", err)
	case now.Sub(status.Checked).Abs() > enforcerSilence:
		out.Reason = fmt.Sprintf("the egress enforcer last looked at its rules at %s", status.Checked.UTC().Format(time.RFC3339))
	case status.Enforced:
		out.State = health.On
	case len(status.Problems) > 0:
		out.State, out.Reason = health.Off, status.Problems[0]
	default:
		out.State, out.Reason = health.Off, "the egress enforcer says that it does not enforce"
	}
	return out
}
