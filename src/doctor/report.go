package doctor

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"privnet/doctor/signature"
)

// ReportVersion is the version of the form of Report. A field may be added without a new one.
const ReportVersion = 1

// State is the state of one check.
type State string

const (
	OK     State = "ok"
	Failed State = "failed"
	// NotReached is a check that something nearer keeps from being made.
	NotReached State = "not reached"
	// Unknown is a check for which nothing was observed.
	Unknown State = "unknown"
)

// Verdict is the outcome of the whole.
type Verdict string

const (
	Healthy Verdict = "healthy"
	Broken  Verdict = "broken"
	Unclear Verdict = "cannot tell"
)

// Check is one line of the table.
type Check struct {
	Name string `json:"name"`
	// Subject is the pair or the target that it is about; empty for the whole connection.
	Subject string `json:"subject,omitempty"`
	State   State  `json:"state"`
	Detail  string `json:"detail,omitempty"`
}

// Problem is what somebody has to change.
type Problem struct {
	Parameter signature.Parameter `json:"parameter"`
	Side      signature.Side      `json:"side"`
	// What says what is wrong.
	What string `json:"what"`
	Got  string `json:"got,omitempty"`
	Want string `json:"want,omitempty"`
	// Device is the type of the endpoint, and Change what to do on it, or here.
	Device string `json:"device,omitempty"`
	Change string `json:"change"`
	// Message is the sentence to send to the customer; empty if it is not for them.
	Message string `json:"message,omitempty"`
	// Evidence is what charon or the kernel said.
	Evidence string `json:"evidence,omitempty"`
	// Warning says that the connection works all the same.
	Warning bool      `json:"warning,omitempty"`
	Since   time.Time `json:"seen,omitzero"`
}

// Report is the doctor's whole answer. It holds no secret.
type Report struct {
	Version  int       `json:"version"`
	Org      string    `json:"org"`
	Role     Role      `json:"role"`
	At       time.Time `json:"at"`
	Verdict  Verdict   `json:"verdict"`
	Checks   []Check   `json:"checks"`
	Problems []Problem `json:"problems"`
	// UnknownLines are charon's lines that the doctor does not know.
	UnknownLines []string `json:"unknown_lines"`
}

// ExitCode is 0 for healthy, 1 for broken, 3 if the doctor cannot tell.
func (r Report) ExitCode() int {
	switch r.Verdict {
	case Healthy:
		return 0
	case Broken:
		return 1
	}
	return 3
}

// Write prints the report for people.
func (r Report) Write(out io.Writer) error {
	fmt.Fprintf(out, "Connection of %s, seen from a %s, %s: %s%s\n\n", r.Org, r.Role, r.At.UTC().Format("2006-01-02 15:04:05Z"), strings.ToUpper(string(r.Verdict)), r.causes())
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "CHECK\tSTATE\tDETAIL")
	for _, c := range r.Checks {
		name := c.Name
		if c.Subject != "" {
			name += " " + c.Subject
		}
		fmt.Fprintf(table, "%s\t%s\t%s\n", name, c.State, c.Detail)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	for i, p := range r.Problems {
		kind := "What is wrong"
		if p.Warning {
			kind = "Worth knowing"
		}
		fmt.Fprintf(out, "\n%d. %s: %s (%s side)\n   %s.\n", i+1, kind, p.Parameter, p.Side, p.What)
		field(out, "there", p.Got)
		field(out, "agreed", p.Want)
		field(out, "change", p.Change)
		field(out, "tell them", p.Message)
		field(out, "seen", p.Evidence)
	}
	if len(r.UnknownLines) > 0 {
		fmt.Fprintln(out, "\nLines of charon's that the doctor does not know; please report them:")
		for _, l := range r.UnknownLines {
			fmt.Fprintln(out, "   "+l)
		}
	}
	return nil
}

// causes are what is wrong, for the first line.
func (r Report) causes() string {
	var out []string
	for _, p := range r.Problems {
		if cause := fmt.Sprintf("%s (%s side)", p.Parameter, p.Side); !p.Warning && !slices.Contains(out, cause) {
			out = append(out, cause)
		}
	}
	if len(out) == 0 {
		return ""
	}
	return ": " + strings.Join(out, ", ")
}

func field(out io.Writer, name, text string) {
	if text != "" {
		fmt.Fprintf(out, "   %-10s %s\n", name+":", text)
	}
}
