package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"privnet/commandline"
	"privnet/lab/bpm"
	"privnet/lab/promise"
	"privnet/lab/serve"
)

const about = `Runs the whole product on this one machine: the release as bosh builds it, each org's cells and gateway
as hosts with a network, files and processes of their own, its customer's VPN endpoint (Debian's strongSwan)
and private networks behind an internet. Nothing of this machine's own network is touched.

  sudo scripts/lab up       build everything, start it, and measure the promises
  sudo scripts/lab check    measure them again
  sudo scripts/lab deploy   bring it to what privnet has rendered into tmp/lab/rendered, as bosh deploy does
  sudo scripts/lab follow   let a customer do what its hand-off says now
  sudo scripts/lab down     end it and remove every trace`

// errBroken says that a promise does not hold; the table has said which.
var errBroken = errors.New("a promise is broken")

// Run runs the command line and returns the exit code. Root is the repository's directory.
func Run(ctx context.Context, root string, arguments []string, stdout, stderr io.Writer) int {
	l := Lab{Root: root, Out: stdout}
	c := &cobra.Command{
		Use: "scripts/lab", Short: "the product on one machine", Long: about,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(c *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return fmt.Errorf("the lab makes network namespaces and needs root; run: sudo %s", c.CommandPath())
			}
			return nil
		},
	}
	c.AddCommand(l.upCommand(), l.checkCommand(), l.statusCommand(), l.logsCommand(), l.shellCommand(), l.deployCommand(), l.followCommand(), l.downCommand(),
		serveCommand(), bpmCommand())
	return commandline.Run(ctx, c, arguments, stdout, stderr)
}

func (l Lab) upCommand() *cobra.Command {
	o := Options{Requests: []string{l.Root + "/manifests/lab/request.yml"}}
	unchecked := false
	c := &cobra.Command{
		Use: "up", Short: "build everything, start it, and measure the promises",
		RunE: func(c *cobra.Command, _ []string) error {
			if o.IKE != "" && o.IKE != "1" && o.IKE != "2" {
				return commandline.Usage(fmt.Errorf("--ike is 1 or 2, not %q", o.IKE))
			}
			if err := l.Up(c.Context(), o); err != nil || unchecked {
				return err
			}
			return l.check(c, false)
		},
	}
	c.Flags().StringArrayVar(&o.Requests, "request", o.Requests, "a customer's request `file`; repeat it for more orgs")
	c.Flags().StringVar(&o.Release, "release", "", "a release's tarball `file`, instead of making one of this repository")
	c.Flags().StringVar(&o.IKE, "ike", "", "IKE `version`, 1 or 2, instead of the requests'")
	c.Flags().BoolVar(&o.NAT, "nat", false, "put each customer's endpoint behind a NAT")
	c.Flags().BoolVar(&o.GatewayNAT, "gateway-nat", false, "give each gateway one NIC, and its public address to a 1:1 NAT outside it, as clouds do")
	c.Flags().BoolVar(&unchecked, "no-check", false, "do not measure the promises")
	return c
}

func (l Lab) checkCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "check", Short: "measure the promises on the running lab; exit 1 if one is broken",
		RunE: func(c *cobra.Command, _ []string) error { return l.check(c, asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print a list of {name, ok, evidence}")
	return c
}

func (l Lab) check(c *cobra.Command, asJSON bool) error {
	promises, err := l.Check(c.Context())
	if err != nil {
		return err
	}
	if asJSON {
		encoder := json.NewEncoder(l.Out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(promises); err != nil {
			return err
		}
	} else {
		printTable(l.Out, promises)
	}
	for _, p := range promises {
		if !p.OK {
			return errBroken
		}
	}
	return nil
}

func printTable(out io.Writer, promises []promise.Promise) {
	for _, p := range promises {
		verdict := "kept  "
		if !p.OK {
			verdict = "BROKEN"
		}
		fmt.Fprintf(out, "\n%s  %s\n", verdict, p.Name)
		for _, line := range strings.Split(p.Evidence, "; ") {
			fmt.Fprintf(out, "          %s\n", line)
		}
	}
}

func (l Lab) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "the hosts, their jobs, and the connection",
		RunE: func(c *cobra.Command, _ []string) error { return l.Status(c.Context()) },
	}
}

func (l Lab) logsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "logs HOST", Short: "print a host's logs; a part of its name will do", Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return l.Logs(args[0]) },
	}
}

func (l Lab) shellCommand() *cobra.Command {
	return &cobra.Command{
		Use: "shell HOST [-- COMMAND...]", Short: "a shell, or one command, on a host", Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			h, err := l.Host(args[0])
			if err != nil {
				return err
			}
			if len(args) == 1 {
				args = append(args, "bash")
			}
			cmd := h.Command(c.Context(), args[1], args[2:]...)
			if cmd.Err != nil {
				return cmd.Err
			}
			// The shell takes this program's place, and so gets the terminal's signals itself.
			return syscall.Exec(cmd.Path, cmd.Args, cmd.Env)
		},
	}
}

func (l Lab) deployCommand() *cobra.Command {
	return &cobra.Command{
		Use: "deploy", Short: "bring the running lab to what is rendered; restart only what has changed",
		RunE: func(c *cobra.Command, _ []string) error { return l.Deploy(c.Context()) },
	}
}

func (l Lab) followCommand() *cobra.Command {
	return &cobra.Command{
		Use: "follow ORG", Short: "let a customer do on its endpoint what its hand-off says now", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return l.Follow(c.Context(), args[0]) },
	}
}

func (l Lab) downCommand() *cobra.Command {
	return &cobra.Command{
		Use: "down", Short: "end the lab and remove every trace, also after a crash",
		RunE: func(c *cobra.Command, _ []string) error { return l.Down(c.Context()) },
	}
}

func serveCommand() *cobra.Command {
	var listen []string
	var forward map[string]string
	c := &cobra.Command{
		Use: "serve", Hidden: true,
		RunE: func(c *cobra.Command, _ []string) error {
			handler, routes := serve.Page(), map[string]*url.URL{}
			for name, to := range forward {
				var err error
				if routes[name], err = url.Parse(to); err != nil {
					return err
				}
				handler = serve.Router(routes)
			}
			ended := make(chan error, len(listen))
			for _, address := range listen {
				go func() { ended <- serve.Run(c.Context(), address, handler) }()
			}
			return <-ended
		},
	}
	c.Flags().StringArrayVar(&listen, "listen", nil, "address to listen on")
	c.Flags().StringToStringVar(&forward, "forward", nil, "URL to forward to, by the name that is asked for")
	return c
}

func bpmCommand() *cobra.Command {
	var process string
	c := &cobra.Command{Use: "bpm", Hidden: true}
	c.PersistentFlags().StringVarP(&process, "process", "p", "", "the process, if it is not named as the job")
	b := bpm.BPM{Root: "/"}
	for name, do := range map[string]func(job, process string) error{"start": b.Start, "stop": b.Stop} {
		c.AddCommand(&cobra.Command{Use: name + " JOB", Args: cobra.ExactArgs(1), RunE: func(_ *cobra.Command, args []string) error {
			if process == "" {
				process = args[0]
			}
			return do(args[0], process)
		}})
	}
	return c
}
