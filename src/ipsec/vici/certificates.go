package vici

import (
	"context"
	"fmt"
	"slices"

	"privnet/ipsec"
)

// loadCertificates gives charon what certificates need beside their connection, and returns charon's names
// for the private keys. A CRL replaces an older one of the same issuer; no SA is touched.
func (c *Charon) loadCertificates(ctx context.Context, want ipsec.Rendered) (privateKeys []string, err error) {
	for _, key := range want.PrivateKeys {
		reply, err := c.call(ctx, "load-key", map[string]string{"type": "any", "data": string(key.Bytes())})
		if err != nil {
			return nil, fmt.Errorf("loading the certificate's private key: charon refuses it: %w", err)
		}
		id, _ := reply.Get("id").(string)
		privateKeys = append(privateKeys, id)
	}
	for kind, list := range map[string][][]byte{"X509": want.Intermediates, "X509_CRL": want.CRLs} {
		for _, der := range list {
			if _, err := c.call(ctx, "load-cert", map[string]string{"type": kind, "flag": "NONE", "data": string(der)}); err != nil {
				return nil, fmt.Errorf("loading a certificate or CRL: charon refuses it: %w", err)
			}
		}
	}
	return privateKeys, nil
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
