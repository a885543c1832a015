package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"privnet/commandline"
	"privnet/probe"
	"privnet/probe/health"
)

// maxStatus is the size in bytes of the longest answer that is read.
const maxStatus = 16 << 20

func newStatus(f *files) *cobra.Command {
	asJSON, asHTML := false, false
	command := &cobra.Command{
		Use:   "status",
		Short: "Show the state of every pair; exit 0 if the connection is up, 1 if not",
		Long: `Asks the running prober and shows the state of the connection and of each pair of segment and
private network. The exit status is 0 if traffic can pass on every pair (up, or idle: nothing was sent
for a while), 1 if not or if the prober does not answer.`,
		RunE: func(command *cobra.Command, _ []string) error {
			if asJSON && asHTML {
				return commandline.Usage(errors.New("--json and --html exclude each other"))
			}
			status, raw, err := askStatus(command.Context(), f.config)
			if err != nil {
				return err
			}
			switch {
			case asHTML:
				err = writePage(command, f.config)
			case asJSON:
				_, err = command.OutOrStdout().Write(raw)
			default:
				err = show(command.OutOrStdout(), status)
			}
			if err != nil {
				return err
			}
			if status.State != health.Up && status.State != health.Idle {
				return fmt.Errorf("the connection of %s is %s: %s", status.Org, status.State, status.Reason)
			}
			return nil
		},
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print the status as the prober serves it")
	command.Flags().BoolVar(&asHTML, "html", false, "print the page that the prober serves, as one HTML file that needs nothing else")
	return command
}

func writePage(command *cobra.Command, config string) error {
	content, err := ask(command.Context(), config, "/?export")
	if err == nil {
		_, err = command.OutOrStdout().Write(content)
	}
	return err
}

func newReady(f *files) *cobra.Command {
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "ready",
		Short: "Wait until the prober watches; it does not wait for a tunnel",
		RunE: func(command *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(command.Context(), timeout)
			defer cancel()
			return waitReady(ctx, f.config)
		},
	}
	command.Flags().DurationVar(&timeout, "timeout", time.Minute, "how long to wait")
	return command
}

func waitReady(ctx context.Context, config string) error {
	for {
		_, err := ask(ctx, config, "/ready")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the prober: %w", err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func askStatus(ctx context.Context, config string) (probe.Status, []byte, error) {
	raw, err := ask(ctx, config, "/v1/status")
	if err != nil {
		return probe.Status{}, nil, err
	}
	var status probe.Status
	if err := json.Unmarshal(raw, &status); err != nil {
		return probe.Status{}, nil, fmt.Errorf("reading the prober's answer: %w", err)
	}
	if status.Version != probe.StatusVersion {
		return probe.Status{}, nil, fmt.Errorf("the prober answers in version %d, this command knows %d", status.Version, probe.StatusVersion)
	}
	return status, raw, nil
}

func ask(ctx context.Context, configFile, path string) ([]byte, error) {
	config, err := loadConfig(configFile)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+config.Local().String()+path, nil)
	if err != nil {
		return nil, fmt.Errorf("asking the prober: %w", err)
	}
	transport := &http.Transport{DisableKeepAlives: true} // no proxy from the environment
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("asking the prober: %w", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxStatus))
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	if err != nil {
		return nil, fmt.Errorf("asking the prober: %w", err)
	}
	return body, nil
}

// show prints a status for people.
func show(out io.Writer, s probe.Status) error {
	where := "a cell"
	if s.Gateway != "" {
		where = "gateway " + s.Gateway
	}
	fmt.Fprintf(out, "Connection of %s, seen from %s: %s%s\n", s.Org, where, s.State, since(s.Since))
	fmt.Fprintf(out, "Egress rules: %s%s\n", s.Enforcement.State, because(s.Enforcement.Reason))
	for _, t := range s.Tunnels {
		fmt.Fprintf(out, "Tunnel with %s: %s\n", t.Endpoint, describe(t))
	}
	for _, g := range s.Gateways {
		fmt.Fprintf(out, "Gateway %s: reached %t%s\n", g.Address, g.Reached, because(g.Reason))
	}
	shown, more := s.ShownFailures()
	for _, f := range shown {
		showFailure(out, "Failure", f)
	}
	if more > 0 {
		fmt.Fprintf(out, "These failures are the newest; status --json has %d more.\n", more)
	}
	if len(s.Failures) == 0 && s.LastFailure != nil {
		showFailure(out, "Last failure, at "+moment(s.LastFailure.At), *s.LastFailure)
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\nSEGMENT\tPRIVATE NETWORK\tSTATE\tSINCE\tBYTES IN\tBYTES OUT\tREASON")
	for _, p := range s.Pairs {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%d\t%s\n", p.Segment, p.PrivateNetwork, state(p.Condition), moment(p.Since), p.BytesIn, p.BytesOut, p.Reason)
	}
	if len(s.Targets) > 0 {
		fmt.Fprintln(table, "\nTARGET\tREACHED\tSERVED\tTOOK\tASKED\tLOST\tREASON")
	}
	for _, t := range s.Targets {
		took := time.Duration(t.Seconds * float64(time.Second)).Round(10 * time.Microsecond)
		fmt.Fprintf(table, "%s\t%t\t%t\t%s\t%d\t%d\t%s\n", t.Name, t.Reached, t.Served, took, t.Questions, t.Losses, t.Reason)
	}
	if err := table.Flush(); err != nil {
		return fmt.Errorf("printing the status: %w", err)
	}
	return nil
}

// state names the state, and whether it is worth much.
func state(c health.Condition) string {
	if c.Flapping {
		return string(c.State) + " (flapping)"
	}
	return string(c.State)
}

func showFailure(out io.Writer, title string, f probe.Failure) {
	fmt.Fprintf(out, "%s: %s (%s", title, f.Meaning, f.Parameter)
	if f.Got != "" {
		fmt.Fprintf(out, "; got %s", f.Got)
	}
	if f.Want != "" {
		fmt.Fprintf(out, "; want %s", f.Want)
	}
	fmt.Fprintf(out, ")\n  to do, %s: %s\n", f.Side, f.Advice)
}

func describe(t probe.Tunnel) string {
	switch {
	case t.State == "":
		return "no IKE_SA"
	case !t.Established:
		return fmt.Sprintf("IKEv%d, %s", t.IKEVersion, t.State)
	}
	nat := ""
	if t.RemoteNAT || t.LocalNAT {
		nat = ", through NAT"
	}
	return fmt.Sprintf("IKEv%d, %s%s%s", t.IKEVersion, t.Algorithms, nat, since(t.EstablishedAt))
}

func since(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return " since " + moment(t)
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return " (" + reason + ")"
}
