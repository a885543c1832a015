package isolation

import (
	"crypto/x509"
	"net/url"
	"time"

	"privnet/cfapi"
	"privnet/connection"
	"privnet/document"
)

const (
	minRestartTimeout = time.Minute
	maxRestartTimeout = 24 * time.Hour
)

// File is a file that was read.
type File struct {
	Name string
	Data []byte
}

// Read reads the job's two files: what to do, and the credentials, which are kept apart because only root
// may see them. The error is document.Problems with everything that is wrong; it repeats no credential.
func Read(settings, credentials File) (Config, cfapi.API, error) {
	doc, err1 := document.Parse(settings.Name, settings.Data)
	secret, err2 := document.Parse(credentials.Name, credentials.Data)
	if err := document.Join(err1, err2); err != nil {
		return Config{}, cfapi.API{}, err
	}
	config, api := readSettings(doc.Root())
	readCredentials(secret.Root(), &api)
	if err := document.Join(doc.Err(), secret.Err()); err != nil {
		return Config{}, cfapi.API{}, err
	}
	return config, api, nil
}

func readSettings(v document.Value) (Config, cfapi.API) {
	if !v.Fields("connection", "org", "api", "dry_run", "remove", "restart_apps", "restart_timeout") {
		return Config{}, cfapi.API{}
	}
	config := Config{
		Connection:     connection.Read(v.Get("connection")),
		Org:            v.Get("org").Text(),
		DryRun:         v.Get("dry_run").Bool(),
		Remove:         v.Get("remove").Bool(),
		RestartApps:    v.Get("restart_apps").Bool(),
		RestartTimeout: readTimeout(v.Get("restart_timeout")),
	}
	if config.Org == "" {
		config.Org = config.Connection.Org
	}
	api := cfapi.API{ReadOnly: config.DryRun}
	if v.Get("api").Fields("url", "ca_certificate") {
		api.URL = readURL(v.Get("api").Get("url"))
		api.CACertificate = readCertificate(v.Get("api").Get("ca_certificate"))
	}
	return config, api
}

func readCredentials(v document.Value, api *cfapi.API) {
	if !v.Fields("client_id", "client_secret") {
		return
	}
	api.ClientID = v.Get("client_id").Required("the UAA client's name")
	if secret := v.Get("client_secret"); secret.Present() {
		if api.ClientSecret = secret.Text(); api.ClientSecret == "" {
			secret.SecretProblem("is empty; give the UAA client's secret")
		}
	} else {
		secret.SecretProblem("is missing; give the UAA client's secret")
	}
}

func readURL(v document.Value) string {
	text := v.Required("the API's URL, such as https://api.example.com")
	if text == "" {
		return ""
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		v.Problem("is not a URL; give one such as https://api.example.com")
	case u.Scheme != "https":
		v.Problem("is not https, which keeps the credentials to ourselves; give the https URL")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Path != "" && u.Path != "/"):
		v.SecretProblem("has more than a host and a port; give one such as https://api.example.com")
	}
	return text
}

func readCertificate(v document.Value) string {
	text := v.Text()
	if text != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(text)) {
		v.SecretProblem("holds no certificate; give PEM (-----BEGIN CERTIFICATE-----), or leave it out for the system's authorities")
	}
	return text
}

func readTimeout(v document.Value) time.Duration {
	text := v.Required("how long an app may take to restart, such as 15m")
	if text == "" {
		return 0
	}
	timeout, err := time.ParseDuration(text)
	if err != nil || timeout < minRestartTimeout || timeout > maxRestartTimeout {
		v.Problem("must be a time from %s to %s, such as 15m", minRestartTimeout, maxRestartTimeout)
	}
	return timeout
}
