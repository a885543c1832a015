package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"privnet/connection"
	"privnet/onboard/tree"
)

const newLong = `Asks the questions of the request form, one a line, and writes the answers as a request file.
Answers may be piped in. Nothing is written if an answer is wrong: all that is wrong is said at once.

What the questions leave out, you add to the file if the customer asks for it: narrower flows (allow), ports
that its network may open (inbound), probes, private DNS domains (dns), a crypto policy. See docs/requests.md.`

// question is one of the request form. An answer to a list is words separated by spaces or commas.
type question struct {
	text, fallback string
	list           bool
	set            func(r *form, answer []string)
}

// form is a request as it is written.
type form struct {
	Org      string `yaml:"org"`
	Endpoint struct {
		Address string `yaml:"address"`
		Device  string `yaml:"device"`
	} `yaml:"endpoint"`
	PrivateNetworks []string `yaml:"private_networks"`
	Apps            any      `yaml:"apps"`
	IKE             any      `yaml:"ike,omitempty"`
}

// scalar is an answer as people write it in YAML: a number without quotes.
func scalar(answer []string) any {
	text := strings.Join(answer, " ")
	if number, err := strconv.Atoi(text); err == nil {
		return number
	}
	return text
}

var questions = []question{
	{text: "Cloud Foundry org", set: func(f *form, a []string) { f.Org = strings.Join(a, " ") }},
	{text: "Public IP address of the customer's VPN endpoint", set: func(f *form, a []string) { f.Endpoint.Address = strings.Join(a, " ") }},
	{text: "Type of the endpoint (" + strings.Join(connection.Devices, ", ") + ")", fallback: "other",
		set: func(f *form, a []string) { f.Endpoint.Device = strings.Join(a, " ") }},
	{text: "Private networks behind it, as CIDRs", list: true, set: func(f *form, a []string) { f.PrivateNetworks = a }},
	{text: "About how many app instances", set: func(f *form, a []string) { f.Apps = scalar(a) }},
	{text: "IKE version (1, 2 or auto)", fallback: "2", set: func(f *form, a []string) {
		if answer := strings.Join(a, " "); answer != string(connection.IKEv2) {
			f.IKE = scalar(a)
		}
	}},
}

func newCommand() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use: "new", Short: "ask for a request and write request.yml", Long: newLong,
		Example: "  privnet new --request agency-a.yml\n" +
			"  printf '%s\\n' 'Agency A' 198.51.100.10 paloalto '10.150.0.0/16 172.30.8.0/22' 40 2 | privnet new",
		RunE: func(c *cobra.Command, _ []string) error {
			return runNew(c.InOrStdin(), c.OutOrStdout(), path)
		},
	}
	c.Flags().StringVar(&path, "request", "request.yml", "`FILE` to write; it must not exist yet")
	return c
}

func runNew(in io.Reader, out io.Writer, path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists already; give another name with --request", path)
	}
	answers := bufio.NewScanner(in)
	var f form
	for _, q := range questions {
		fmt.Fprint(out, q.text)
		if q.fallback != "" {
			fmt.Fprintf(out, " [%s]", q.fallback)
		}
		fmt.Fprint(out, ": ")
		answer := ""
		if answers.Scan() {
			answer = strings.TrimSpace(answers.Text())
		}
		if !isTerminal(in) {
			fmt.Fprintln(out, answer)
		}
		if answer == "" {
			answer = q.fallback
		}
		if q.list {
			answer = strings.ReplaceAll(answer, ",", " ")
		}
		q.set(&f, strings.Fields(answer))
	}
	if err := answers.Err(); err != nil {
		return fmt.Errorf("reading the answers: %w", err)
	}
	data := tree.Write("", f)
	if _, err := connection.ParseRequest(path, data); err != nil {
		return fmt.Errorf("%w\n%s is not written; answer once more", err, path)
	}
	if err := writeFile(path, data); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s written; next: privnet plan --request %s --platform FILE\n", path, path)
	return nil
}
