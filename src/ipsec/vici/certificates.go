package vici

import (
	"context"
	"fmt"
	"slices"

	"privnet/ipsec"
)

// loadPrivateKeys gives charon private keys beside those that it has, and returns its names for them.
func (c *Charon) loadPrivateKeys(ctx context.Context, want []ipsec.Key) (names []string, err error) {
	for _, key := range want {
		reply, err := c.call(ctx, "load-key", map[string]string{"type": "any", "data": string(key.Bytes())})
		if err != nil {
			return names, fmt.Errorf("loading certificate.private_key: charon refuses it: %w", err)
		}
		name, _ := reply.Get("id").(string)
		names = append(names, name)
	}
	return names, nil
}

// loadCertificates gives charon what certificates need beside their connection. A CRL replaces an older one
// of the same issuer; no SA is touched.
func (c *Charon) loadCertificates(ctx context.Context, want ipsec.Rendered) error {
	load := func(kind string, der []byte) error {
		_, err := c.call(ctx, "load-cert", map[string]string{"type": kind, "flag": "NONE", "data": string(der)})
		return err
	}
	for _, cert := range want.Intermediates {
		if err := load("X509", cert.Raw); err != nil {
			return fmt.Errorf("loading certificate, the intermediate %s: charon refuses it: %w", cert.Subject, err)
		}
	}
	for _, crl := range want.CRLs {
		if err := load("X509_CRL", crl.Raw); err != nil {
			return fmt.Errorf("loading endpoint_crl, the CRL of %s: charon refuses it: %w", crl.Issuer, err)
		}
	}
	return nil
}

func (c *Charon) unloadPrivateKeys(ctx context.Context, want []string) error {
	held, err := c.names(ctx, "get-keys", "keys")
	if err != nil {
		return err
	}
	for _, id := range held {
		if slices.Contains(want, id) {
			continue
		}
		if _, err := c.call(ctx, "unload-key", map[string]string{"id": id}); err != nil {
			return err
		}
	}
	return nil
}
