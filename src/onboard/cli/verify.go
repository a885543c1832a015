package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"privnet/document"
	"privnet/onboard/ledger"
	"privnet/onboard/manifest"
	"privnet/onboard/platform"
	"privnet/verify"
	"privnet/verify/artefact"
	"privnet/verify/report"
)

const verifyLong = `Proves, without touching a VM, that no org, no shared app and no VM of the platform reaches another org's
private network. It renders what the manifest gives to each VM, the rules and charon's configuration, and
computes exactly which packets pass. Nothing is sampled.

--manifest is the whole manifest with every ops-file applied: bosh -d DEPLOYMENT manifest > manifest.yml for
what is deployed, or bosh int MANIFEST -o ... > manifest.yml for what would be. Give it again for another
deployment, such as one of gateways. The command exits 1 if something does not hold, and shows a packet that
passes and must not, with its way.

--report also writes a page for an auditor: the claim, the method, the SHA-256 of each input, and the result for
each org. It is one file, without scripts, to be opened in a browser or printed.`

type verifyFlags struct {
	orgs, platform, report string
	manifests              []string
	json                   bool
}

func verifyCommand() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use: "verify", Short: "prove that no org reaches another's private network", Long: verifyLong,
		Example: "  bosh -d cf manifest > manifest.yml\n  privnet verify --platform platform.yml --manifest manifest.yml --report proof.html",
		RunE: func(c *cobra.Command, _ []string) error {
			return f.run(c.OutOrStdout(), c.ErrOrStderr(), time.Now())
		},
	}
	c.Flags().StringVar(&f.orgs, "orgs", "orgs", "directory of the ledger")
	c.Flags().StringVar(&f.platform, "platform", "platform.yml", "file that describes your platform")
	c.Flags().StringArrayVar(&f.manifests, "manifest", []string{"manifest.yml"}, "your manifest with every ops-file applied; may be given again")
	c.Flags().BoolVar(&f.json, "json", false, "print the result as JSON")
	c.Flags().StringVar(&f.report, "report", "", "also write the result as an HTML page to this file")
	return c
}

func (f verifyFlags) run(out, log io.Writer, now time.Time) error {
	// Nearly all that is read stays until the proof is done: to look for garbage often finds little.
	defer debug.SetGCPercent(debug.SetGCPercent(200))
	var inputs []report.Input
	read := func(path, what string) ([]byte, error) {
		data, err := readFile(path, what)
		sum := sha256.Sum256(data)
		inputs = append(inputs, report.Input{Name: path, SHA256: hex.EncodeToString(sum[:])})
		return data, err
	}
	platformData, err := read(f.platform, "platform file")
	if err != nil {
		return err
	}
	p, platformErr := platform.Parse(f.platform, platformData)
	var entries []ledger.Entry
	var ledgerErr error
	var reading sync.WaitGroup
	reading.Go(func() { entries, ledgerErr = ledger.New(f.orgs).Entries(func(document.Value) {}) })
	var manifests []manifest.Manifest
	var manifestErr error
	for _, path := range f.manifests {
		data, err := read(path, "manifest")
		if err != nil {
			return err
		}
		m, err := manifest.Parse(path, data)
		manifestErr = document.Join(manifestErr, err)
		manifests = append(manifests, m)
	}
	reading.Wait()
	if err := document.Join(platformErr, ledgerErr, manifestErr); err != nil {
		return err
	}
	// Elsewhere a ledger that is not there is empty. Here the proof would hold for no org, and look as if it did for all.
	if _, err := os.Stat(f.orgs); err != nil {
		return fmt.Errorf("reading the ledger: %w; give its directory with --orgs", err)
	}
	for _, e := range entries {
		files := []string{"request.yml", "plan.yml"}
		if e.Removal.Begun() {
			files = append(files, "removal.yml")
		}
		for _, name := range files {
			if _, err := read(filepath.Join(f.orgs, e.Plan.Name, name), "ledger"); err != nil {
				return err
			}
		}
	}
	deployment, err := artefact.Read(manifests, p.CellGroup)
	if err != nil {
		return err
	}
	start := time.Now()
	result, err := verify.Check(verify.Input{Platform: p, Entries: entries, Deployment: deployment})
	if err != nil {
		return err
	}
	r := report.Report{Result: result, Inputs: inputs, Made: now, Took: time.Since(start)}
	return f.show(out, log, r)
}

func (f verifyFlags) show(out, log io.Writer, r report.Report) error {
	if f.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(r); err != nil {
			return fmt.Errorf("printing the result: %w", err)
		}
	} else if _, err := io.WriteString(out, r.Text()); err != nil {
		return fmt.Errorf("printing the result: %w", err)
	}
	if f.report != "" {
		page, err := r.HTML()
		if err != nil {
			return err
		}
		if err := writeFile(f.report, page); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		fmt.Fprintf(log, "%s written\n", f.report)
	}
	if !r.Result.Holds {
		return errors.New("the proof fails: see above")
	}
	return nil
}
