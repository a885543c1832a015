// Package template renders a job's ERB templates as a director would, with Debian's own ruby: p, if_p,
// link, if_link, spec and the trim mode "-". Templates are trusted: they are our own.
//
// What a template cannot have here: BOSH's helpers that are not named above, raw_properties, and links'
// addresses by DNS name.
package template

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"path/filepath"
	"strings"

	"privnet/lab/compile"
	"privnet/lab/manifest"
)

//go:embed render.rb
var program string

// input is what the ruby program reads; it goes by standard input because properties may be secrets.
type input struct {
	Templates  map[string]string        `json:"templates"` // file to render by the name of the result
	Spec       spec                     `json:"spec"`
	Properties map[string]any           `json:"properties"`
	Links      map[string]manifest.Link `json:"links"`
}

type spec struct {
	Name       string             `json:"name"`
	Deployment string             `json:"deployment"`
	Job        map[string]string  `json:"job"`
	Index      int                `json:"index"`
	ID         string             `json:"id"`
	AZ         string             `json:"az"`
	Bootstrap  bool               `json:"bootstrap"`
	IP         netip.Addr         `json:"ip"`
	Address    netip.Addr         `json:"address"`
	Networks   map[string]network `json:"networks"`
}

type network struct {
	IP netip.Addr `json:"ip"`
}

// Render returns the contents of a job's files by their path below /var/vcap/jobs/<job>, among them the
// file monit. An error names the template, the line and the reason, for every template that failed.
func Render(ctx context.Context, job compile.Job, instance manifest.Instance, placement manifest.JobPlacement) (map[string][]byte, error) {
	in := input{
		Templates:  map[string]string{"monit": filepath.Join(job.Dir, "monit")},
		Properties: placement.Properties,
		Links:      placement.Links,
		Spec: spec{
			Name: instance.Group, Deployment: instance.Deployment, Job: map[string]string{"name": instance.Group},
			Index: instance.Index, ID: instance.ID, AZ: instance.AZ, Bootstrap: instance.Index == 0,
			IP: instance.Address, Address: instance.Address, Networks: map[string]network{},
		},
	}
	for source, place := range job.Templates {
		in.Templates[place] = filepath.Join(job.Dir, "templates", source)
	}
	for name, address := range instance.Networks {
		in.Spec.Networks[name] = network{IP: address}
	}
	stdin, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("rendering job %s: %w", job.Name, err)
	}
	ruby := exec.CommandContext(ctx, "ruby", "-e", program)
	ruby.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	ruby.Stdout, ruby.Stderr = &stdout, &stderr
	if err := ruby.Run(); err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return nil, fmt.Errorf("rendering job %s needs ruby; install it with: apt-get install ruby", job.Name)
		}
		return nil, fmt.Errorf("rendering job %s: %w: %s", job.Name, err, strings.TrimSpace(stderr.String()))
	}
	var out struct {
		Files    map[string]string
		Problems []string
	}
	if err := json.Unmarshal(stdout.Bytes(), &out); err != nil {
		return nil, fmt.Errorf("rendering job %s: %w", job.Name, err)
	}
	if len(out.Problems) > 0 {
		return nil, fmt.Errorf("rendering job %s:\n%s", job.Name, strings.Join(out.Problems, "\n"))
	}
	files := map[string][]byte{}
	for path, content := range out.Files {
		files[path] = []byte(content)
	}
	return files, nil
}
