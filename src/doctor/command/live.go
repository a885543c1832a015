package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"privnet/doctor"
	"privnet/doctor/sense"
	"privnet/doctor/signature"
	"privnet/doctor/wire"
	"privnet/ipsec/vici"
)

// capture writes the IKE packets of a while as pcap and says how many there were. ready is called once none can
// be missed.
func capture(ctx context.Context, out io.Writer, lasting time.Duration, ready func()) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, lasting)
	defer cancel()
	file, err := wire.NewWriter(out)
	if err != nil {
		return 0, err
	}
	count := 0
	err = wire.Listen(ctx, ready, func(p wire.Packet) {
		if err == nil {
			err = file.Write(p)
			count++
		}
	})
	return count, err
}

// settle is how long lines of one exchange are waited for before they are judged.
const settle = 300 * time.Millisecond

// watch prints what the endpoint tries while it tries it: each finding once as it is made, and what charon
// says that no signature knows.
func (o *options) watch(ctx context.Context, config doctor.Config, out io.Writer) error {
	if config.Role != doctor.Gateway {
		return errors.New("watching: only a gateway sees the endpoint; run it there")
	}
	job, err := o.senses.Job().Check()
	if err != nil {
		return fmt.Errorf("watching: %w", err)
	}
	reader := signature.NewReader(sense.Agreed(config, job))
	lines := make(chan vici.LogLine, 1024)
	ended := make(chan error, 1)
	go func() {
		ended <- vici.WatchLog(ctx, o.senses.Gateway.Socket(), func() {
			fmt.Fprintln(out, "Watching. Let the customer's endpoint try now; interrupt to end.")
		}, func(l vici.LogLine) { lines <- l })
	}()
	told := map[string]bool{}
	tick := time.NewTicker(settle)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("watching: %w", err)
		case l := <-lines:
			reader.Read(signature.Line{Time: time.Now(), SA: l.SA, Text: l.Text})
			text := signature.Clean(l.Text)
			if row, _ := signature.Match(text); row != nil && row.Good() {
				fmt.Fprintf(out, "%s  %s\n", clock(), text)
				clear(told)
			}
			if !signature.Known(text) {
				fmt.Fprintf(out, "%s  charon: %s\n", clock(), text)
			}
		case <-tick.C:
			now := time.Now()
			for _, problem := range doctor.Explain(config.Connection, reader.Findings(now)) {
				key := string(problem.Parameter) + problem.Got
				if told[key] {
					continue
				}
				told[key] = true
				fmt.Fprintf(out, "%s  %s (%s side): %s\n", clock(), problem.Parameter, problem.Side, problem.What)
				for _, text := range []string{problem.Got, problem.Want, problem.Change} {
					if text != "" {
						fmt.Fprintln(out, "          "+text)
					}
				}
			}
		}
	}
}

func clock() string { return time.Now().UTC().Format("15:04:05Z") }

// repair does what can be done on this VM without harm to a tunnel that stands, and says what it did.
func (o *options) repair(ctx context.Context, report doctor.Report) ([]string, error) {
	var done []string
	for _, p := range report.Problems {
		what, do := o.remedy(p)
		// Several problems may have one remedy.
		if do == nil || slices.Contains(done, what) {
			continue
		}
		if err := do(ctx); err != nil {
			return done, fmt.Errorf("fixing %s: %w", p.Parameter, err)
		}
		done = append(done, what)
	}
	return done, nil
}

// remedy is what this VM can do about a problem; nil if nothing.
func (o *options) remedy(p doctor.Problem) (what string, do func(context.Context) error) {
	restart := func(job string) (string, func(context.Context) error) {
		return "restarted " + job, func(ctx context.Context) error { return o.restart(ctx, job) }
	}
	switch p.Parameter {
	case doctor.ServiceHere:
		return restart(p.Got)
	case doctor.Rules, doctor.Forwarding, doctor.RouteToTunnel:
		return restart("egress-enforcer")
	case signature.GatewayConnection, signature.GatewayKey:
		return "reloaded the gateway's configuration", func(ctx context.Context) error {
			_, err := o.senses.Job().Reload(ctx)
			return err
		}
	}
	return "", nil
}

func (o *options) restart(ctx context.Context, job string) error {
	monit := exec.CommandContext(ctx, o.monit, "restart", job)
	// A stemcell's monit is a script that looks for the real one, which is beside it, on the PATH; sudo's has not that.
	monit.Env = append(os.Environ(), "PATH="+filepath.Dir(o.monit)+":"+os.Getenv("PATH"))
	if output, err := monit.CombinedOutput(); err != nil {
		return fmt.Errorf("restarting %s: %w: %s", job, err, output)
	}
	return nil
}
