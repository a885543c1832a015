package vici

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"privnet/ipsec"
)

// Verify says what of the wanted charon does not hold, or nil. It asks for the drop policies themselves:
// charon takes a shunt that the kernel refuses without a word.
func (c *Charon) Verify(ctx context.Context, want ipsec.Rendered) error {
	connections, err := c.names(ctx, "get-conns", "conns")
	if err != nil {
		return err
	}
	keys, err := c.names(ctx, "get-shared", "keys")
	if err != nil {
		return err
	}
	plugins, err := c.Plugins(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, plugin := range want.Plugins {
		if !slices.Contains(plugins, plugin) {
			errs = append(errs, fmt.Errorf("charon could not load its plugin %s", plugin))
		}
	}
	for _, section := range want.Connections {
		if !slices.Contains(connections, section.Name) {
			errs = append(errs, fmt.Errorf("charon does not hold connection %s", section.Name))
		}
	}
	errs = append(errs, c.verifyShunts(ctx, want))
	for _, key := range want.Keys {
		if !slices.Contains(keys, key.ID) {
			errs = append(errs, fmt.Errorf("charon does not hold key %s", key.ID))
		}
	}
	return errors.Join(errs...)
}

func (c *Charon) verifyShunts(ctx context.Context, want ipsec.Rendered) error {
	held, err := c.shunts(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, section := range want.Connections {
		for _, shunt := range section.Shunts() {
			if !slices.Contains(held, section.Name+"/"+shunt) {
				errs = append(errs, fmt.Errorf("the kernel does not hold the drop policy %s/%s", section.Name, shunt))
			}
		}
	}
	return errors.Join(errs...)
}

// shunts are the installed drop policies, as connection/child.
func (c *Charon) shunts(ctx context.Context) ([]string, error) {
	request, err := newMessage(map[string]string{"drop": "yes"})
	if err != nil {
		return nil, err
	}
	replies, err := c.session.list(ctx, "list-policies", "list-policy", request)
	if err != nil {
		return nil, fmt.Errorf("listing drop policies: %w", err)
	}
	var out []string
	for _, reply := range replies {
		out = append(out, reply.Keys()...)
	}
	return out, nil
}
