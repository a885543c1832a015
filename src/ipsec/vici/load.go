package vici

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/strongswan/govici/vici"

	"privnet/ipsec"
)

// closePatience is how long a peer may take to confirm that an SA of a changed connection is closed.
const closePatience = 3 * time.Second

// Loaded says what was given to a charon: for each connection, and each of its children as
// connection/child, a fingerprint. charon tells the names of what it holds, and not all of its settings.
type Loaded map[string]string

// Changes are the names of the connections that a Load added, changed and removed.
type Changes struct {
	Added, Changed, Removed []string
}

// Any says whether there was a change.
func (c Changes) Any() bool { return len(c.Added)+len(c.Changed)+len(c.Removed) > 0 }

// Load brings charon's connections and keys to what is wanted. have is what an earlier Load of this charon
// returned. A connection that is the same is not touched: its SAs live on. The SAs of what changed or is
// gone are closed, after all of the new was accepted. If charon refuses something, the error names the
// connection and the key, and no key is changed, nothing closed and nothing removed. What is returned is true
// also with an error.
func (c *Charon) Load(ctx context.Context, want ipsec.Rendered, have Loaded) (Loaded, Changes, error) {
	names, err := c.names(ctx, "get-conns", "conns")
	if err != nil {
		return have, Changes{}, err
	}
	now := Loaded{}
	for key, fingerprint := range have {
		if slices.ContainsFunc(names, func(name string) bool { return key == name || isChildOf(key, name) }) {
			now[key] = fingerprint
		}
	}
	var changes Changes
	var closings []func() error
	for _, section := range want.Connections {
		next := fingerprints(section)
		known := slices.Contains(names, section.Name)
		if known && maps.Equal(next, now.of(section.Name)) {
			continue
		}
		if err := c.loadConnection(ctx, section); err != nil {
			return now, changes, err
		}
		if known {
			changes.Changed = append(changes.Changed, section.Name)
			closings = append(closings, c.closings(ctx, section.Name, now.of(section.Name), next)...)
		} else {
			changes.Added = append(changes.Added, section.Name)
		}
		now.replace(section.Name, next)
	}
	// Keys come after what charon may refuse: until then, the last good ones count.
	for _, key := range want.Keys {
		if err := c.LoadKey(ctx, key); err != nil {
			return now, changes, err
		}
	}
	privateKeys, err := c.loadCertificates(ctx, want)
	if err != nil {
		return now, changes, err
	}
	for _, name := range names {
		if slices.ContainsFunc(want.Connections, func(s ipsec.Section) bool { return s.Name == name }) {
			continue
		}
		if _, err := c.call(ctx, "unload-conn", map[string]string{"name": name}); err != nil {
			return now, changes, err
		}
		changes.Removed = append(changes.Removed, name)
		now.replace(name, nil)
		closings = append(closings, func() error { return c.terminate(ctx, closePatience, "ike", name) })
	}
	if err := errors.Join(c.unloadKeys(ctx, want.Keys), c.unloadPrivateKeys(ctx, privateKeys)); err != nil {
		return now, changes, err
	}
	var errs []error
	for _, closing := range closings {
		errs = append(errs, closing())
	}
	return now, changes, errors.Join(errs...)
}

// closings are what ends the SAs that a changed connection no longer describes.
func (c *Charon) closings(ctx context.Context, name string, before, after Loaded) []func() error {
	if before[name] != after[name] {
		return []func() error{func() error { return c.terminate(ctx, closePatience, "ike", name) }}
	}
	var out []func() error
	for key, fingerprint := range before {
		if key != name && after[key] != fingerprint {
			child := key[len(name)+1:]
			out = append(out, func() error { return c.terminate(ctx, closePatience, "ike", name, "child", child) })
		}
	}
	return out
}

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
	shunts, err := c.shunts(ctx)
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
		for _, shunt := range section.Shunts() {
			if !slices.Contains(shunts, section.Name+"/"+shunt) {
				errs = append(errs, fmt.Errorf("the kernel does not hold the drop policy %s/%s", section.Name, shunt))
			}
		}
	}
	for _, key := range want.Keys {
		if !slices.Contains(keys, key.ID) {
			errs = append(errs, fmt.Errorf("charon does not hold key %s", key.ID))
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
	var out []string
	for reply, err := range c.session.CallStreaming(ctx, "list-policies", "list-policy", request) {
		if err != nil {
			return nil, fmt.Errorf("listing drop policies: %w", err)
		}
		out = append(out, reply.Keys()...)
	}
	return out, nil
}

func (c *Charon) loadConnection(ctx context.Context, section ipsec.Section) error {
	body, err := encode(section)
	if err != nil {
		return err
	}
	message := vici.NewMessage()
	if err := message.Set(section.Name, body); err != nil {
		return fmt.Errorf("encoding connection %s: %w", section.Name, err)
	}
	if _, err := c.session.Call(ctx, "load-conn", message); err != nil {
		return fmt.Errorf("loading connection %s: charon refuses it: %w", section.Name, err)
	}
	return nil
}

func encode(section ipsec.Section) (*vici.Message, error) {
	message := vici.NewMessage()
	for _, setting := range section.Settings {
		var content any = setting.Values
		if !setting.IsList {
			content = setting.Values[0]
		}
		if err := message.Set(setting.Key, content); err != nil {
			return nil, fmt.Errorf("encoding %s.%s: %w", section.Name, setting.Key, err)
		}
	}
	for _, sub := range section.Sections {
		body, err := encode(sub)
		if err != nil {
			return nil, err
		}
		if err := message.Set(sub.Name, body); err != nil {
			return nil, fmt.Errorf("encoding %s: %w", sub.Name, err)
		}
	}
	return message, nil
}

// LoadKey gives charon the key in use under its name; a key that it has under that name is replaced at once,
// and no SA is touched.
func (c *Charon) LoadKey(ctx context.Context, key ipsec.SharedKey) error {
	message, err := newMessage(map[string]string{"id": key.ID, "type": "IKE", "data": string(key.Key().Bytes())})
	if err != nil {
		return err
	}
	if err := message.Set("owners", []string{key.Remote}); err != nil {
		return fmt.Errorf("encoding the owner of key %s: %w", key.ID, err)
	}
	if _, err := c.session.Call(ctx, "load-shared", message); err != nil {
		return fmt.Errorf("loading key %s: charon refuses it: %w", key.ID, err)
	}
	return nil
}

func (c *Charon) unloadKeys(ctx context.Context, want []ipsec.SharedKey) error {
	held, err := c.names(ctx, "get-shared", "keys")
	if err != nil {
		return err
	}
	for _, id := range held {
		if slices.ContainsFunc(want, func(key ipsec.SharedKey) bool { return key.ID == id }) {
			continue
		}
		if _, err := c.call(ctx, "unload-shared", map[string]string{"id": id}); err != nil {
			return err
		}
	}
	return nil
}

// fingerprints of a connection without its children, and of each child.
func fingerprints(section ipsec.Section) Loaded {
	out := Loaded{}
	own := section
	own.Comments, own.Sections = nil, nil
	for _, sub := range section.Sections {
		if sub.Name != ipsec.ChildrenSection {
			own.Sections = append(own.Sections, sub)
			continue
		}
		for _, child := range sub.Sections {
			child.Comments = nil
			out[section.Name+"/"+child.Name] = fingerprint(child)
		}
	}
	out[section.Name] = fingerprint(own)
	return out
}

func fingerprint(section ipsec.Section) string {
	sum := sha256.Sum256([]byte(section.Text()))
	return hex.EncodeToString(sum[:])
}

func isChildOf(key, name string) bool {
	return len(key) > len(name) && key[:len(name)] == name && key[len(name)] == '/'
}

// of is the part that belongs to one connection.
func (l Loaded) of(name string) Loaded {
	out := Loaded{}
	for key, fingerprint := range l {
		if key == name || isChildOf(key, name) {
			out[key] = fingerprint
		}
	}
	return out
}

func (l Loaded) replace(name string, next Loaded) {
	for key := range l.of(name) {
		delete(l, key)
	}
	maps.Copy(l, next)
}
