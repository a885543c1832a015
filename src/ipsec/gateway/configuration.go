package gateway

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"privnet/atomicfile"
	"privnet/connection"
	"privnet/ipsec"
)

// configuration is what the job's two files say, and what charon is to be told of it with the keys that are
// in use.
type configuration struct {
	files    [2]ipsec.File
	config   ipsec.Config
	rendered ipsec.Rendered
	choices  keyChoices
}

// Check reads and renders the job's configuration and starts nothing. The error names everything that is
// wrong.
func (g Gateway) Check() (ipsec.Config, error) {
	job, err := g.readJob()
	if err != nil {
		return job.config, err
	}
	return job.config, refuseExpired(job.config, g.Now())
}

// readJob reads what the job configures, and sees that this machine has what that needs.
func (g Gateway) readJob() (configuration, error) {
	job, err := g.read(g.Paths.Config, g.Paths.Key)
	if err != nil {
		return job, err
	}
	return job, g.needs(job.config)
}

// needs sees that this machine has what a configuration needs.
func (g Gateway) needs(config ipsec.Config) error {
	if config.DataPath == connection.DataPathUserland {
		if _, err := os.Stat(g.Paths.TUN); err != nil {
			return fmt.Errorf("data_path: userland needs the device %s: %w", g.Paths.TUN, err)
		}
	}
	if config.FIPS {
		return g.CheckFIPS()
	}
	return nil
}

// readLastGood reads what charon was told last. The job's files may be wrong, or wait for a reload.
func (g Gateway) readLastGood() (configuration, error) {
	return g.read(g.lastGood(g.Paths.Config), g.lastGood(g.Paths.Key))
}

func (g Gateway) read(config, key string) (configuration, error) {
	var out configuration
	for i, path := range []string{config, key} {
		data, err := os.ReadFile(path)
		if err != nil {
			return out, fmt.Errorf("reading the job's configuration: %w", err)
		}
		out.files[i] = ipsec.File{Name: path, Data: data}
	}
	var err error
	if out.config, err = ipsec.Read(out.files[0], out.files[1]); err != nil {
		return out, err
	}
	if out.rendered, err = ipsec.Render(out.config, ipsec.Paths{Socket: g.Paths.Socket(), Certificates: g.Paths.certificates()}); err != nil {
		return out, err
	}
	if out.choices, err = readKeyChoices(g.Paths.keyChoices()); err != nil {
		return out, err
	}
	out.choices.apply(out.rendered.Keys, g.Now())
	return out, nil
}

// Waits says whether the job's files hold something else than what charon was told last: they wait for a reload.
func (g Gateway) Waits() (bool, error) {
	for _, path := range []string{g.Paths.Config, g.Paths.Key} {
		now, err := os.ReadFile(path)
		if err != nil {
			return false, fmt.Errorf("reading the job's configuration: %w", err)
		}
		told, err := os.ReadFile(g.lastGood(path))
		if err != nil {
			return false, fmt.Errorf("reading what charon was told: %w", err)
		}
		if !bytes.Equal(now, told) {
			return true, nil
		}
	}
	return false, nil
}

// lastGood is where the last good one of the job's files is kept.
func (g Gateway) lastGood(file string) string {
	return filepath.Join(g.Paths.lastGood(), filepath.Base(file))
}

// keep makes a configuration the last good one.
func (g Gateway) keep(job configuration) error {
	if err := os.MkdirAll(g.Paths.lastGood(), 0o700); err != nil {
		return fmt.Errorf("making the directory of the last good configuration: %w", err)
	}
	return errors.Join(
		atomicfile.Write(g.lastGood(g.Paths.Config), job.files[0].Data, 0o640),
		atomicfile.Write(g.lastGood(g.Paths.Key), job.files[1].Data, 0o600),
	)
}

// secretsFile is beside swanctl.conf, which includes it.
const secretsFile = "secrets.conf"

func (g Gateway) write(rendered ipsec.Rendered) error {
	for _, path := range []string{g.Paths.Run, g.Paths.swanctl()} {
		if err := os.MkdirAll(path, 0o700); err != nil {
			return fmt.Errorf("making the gateway's directories: %w", err)
		}
	}
	return errors.Join(
		g.writeCertificates(rendered),
		g.writeSecrets(rendered),
		atomicfile.Write(filepath.Join(g.Paths.swanctl(), "swanctl.conf"), []byte(rendered.Swanctl(secretsFile)), 0o640),
		atomicfile.Write(g.Paths.strongSwanConf(), []byte(rendered.StrongSwanConf()), 0o640),
	)
}

// writeCertificates writes what charon reads when a connection is loaded. The files of certificates that
// are gone stay: what charon has refers to them.
func (g Gateway) writeCertificates(rendered ipsec.Rendered) error {
	if err := os.MkdirAll(g.Paths.certificates(), 0o700); err != nil {
		return fmt.Errorf("making the directory of certificates: %w", err)
	}
	for _, file := range rendered.Files {
		if err := atomicfile.Write(filepath.Join(g.Paths.certificates(), file.Name), file.Data, 0o640); err != nil {
			return err
		}
	}
	return nil
}

func (g Gateway) writeSecrets(rendered ipsec.Rendered) error {
	return atomicfile.Write(filepath.Join(g.Paths.swanctl(), secretsFile), []byte(rendered.Secrets()), 0o600)
}
