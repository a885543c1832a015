package vici

import (
	"context"
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

// Loaded is what was given to a charon: its connections by name. charon tells the names of what it holds, and
// not all of its settings.
type Loaded map[string]Held

// Held is a connection that charon holds.
type Held struct {
	Section ipsec.Section
	// Outlived says that IKE_SAs may be older than the connection. They go by what they were made with, so
	// that a change of its children does not reach them.
	Outlived bool
}

// Changes are the names of the connections that a Load added, changed, gave another certificate of ours, and
// removed.
type Changes struct {
	Added, Changed, Renewed, Removed []string
}

// Any says whether there was a change.
func (c Changes) Any() bool {
	return len(c.Added)+len(c.Changed)+len(c.Renewed)+len(c.Removed) > 0
}

// Load brings charon's connections and keys to what is wanted. have is what an earlier Load of this charon
// returned. A connection that is the same is not touched: its SAs live on. So do those of one in which only our
// certificate is another: it counts at the next authentication. The SAs of what else changed or is gone are
// closed, after all of the new was accepted. If charon refuses something, the error names it, and
// charon is brought back to what it had. What is returned is true also with an error.
func (c *Charon) Load(ctx context.Context, want ipsec.Rendered, have Loaded) (Loaded, Changes, error) {
	names, err := c.names(ctx, "get-conns", "conns")
	if err != nil {
		return have, Changes{}, err
	}
	privateKeys, err := c.names(ctx, "get-keys", "keys")
	if err != nil {
		return have, Changes{}, err
	}
	now := Loaded{}
	for name, held := range have {
		if slices.Contains(names, name) {
			now[name] = held
		}
	}
	before := known{maps.Clone(now), names, privateKeys}
	changes, newPrivateKeys, err := c.take(ctx, want, before)
	if err != nil {
		return c.restore(ctx, before, changes, err)
	}
	// Of what remains charon refuses nothing, and it is done to the end, also when the caller has no more time.
	ctx = context.WithoutCancel(ctx)
	for _, key := range want.Keys {
		if err := c.LoadKey(ctx, key); err != nil {
			return c.restore(ctx, before, changes, err)
		}
	}
	var errs []error
	var closings []func() error
	for _, section := range want.Connections {
		held := Held{Section: section, Outlived: before.connections[section.Name].Outlived}
		switch {
		case slices.Contains(changes.Renewed, section.Name):
			held.Outlived = true
		case slices.Contains(changes.Changed, section.Name):
			children, all := before.connections[section.Name].outdated(section)
			if all {
				closings = append(closings, func() error { return c.terminate(ctx, closePatience, "ike", section.Name) })
				held.Outlived = false
			}
			for _, child := range children {
				closings = append(closings, func() error { return c.terminate(ctx, closePatience, "ike", section.Name, "child", child) })
			}
		}
		now[section.Name] = held
	}
	for _, name := range names {
		if slices.ContainsFunc(want.Connections, func(s ipsec.Section) bool { return s.Name == name }) {
			continue
		}
		if err := c.unloadConnection(ctx, name); err != nil {
			errs = append(errs, err)
			continue
		}
		changes.Removed = append(changes.Removed, name)
		delete(now, name)
		closings = append(closings, func() error { return c.terminate(ctx, closePatience, "ike", name) })
	}
	errs = append(errs, c.unloadKeys(ctx, want.Keys), c.unloadPrivateKeys(ctx, newPrivateKeys))
	for _, closing := range closings {
		errs = append(errs, closing())
	}
	return now, changes, errors.Join(errs...)
}

// known is what charon had before a Load: connections by their content, as far as that is known, and all by
// their names; and its own names for its private keys.
type known struct {
	connections        Loaded
	names, privateKeys []string
}

// take gives charon all that it may refuse, and says what it took, also with an error. What charon held is
// held still: nothing is closed, and no pre-shared key changes.
func (c *Charon) take(ctx context.Context, want ipsec.Rendered, before known) (changes Changes, privateKeys []string, err error) {
	if privateKeys, err = c.loadPrivateKeys(ctx, want.PrivateKeys); err != nil {
		return changes, privateKeys, err
	}
	for _, section := range want.Connections {
		held := before.connections[section.Name].Section
		if section.Equal(held) {
			continue
		}
		if err := c.loadConnection(ctx, section); err != nil {
			return changes, privateKeys, err
		}
		switch {
		case !slices.Contains(before.names, section.Name):
			changes.Added = append(changes.Added, section.Name)
		case section.WithoutOwnCertificate().Equal(held.WithoutOwnCertificate()):
			changes.Renewed = append(changes.Renewed, section.Name)
		default:
			changes.Changed = append(changes.Changed, section.Name)
		}
	}
	if err := c.verifyShunts(ctx, want); err != nil {
		return changes, privateKeys, err
	}
	return changes, privateKeys, c.loadCertificates(ctx, want)
}

// restorePatience is how long bringing charon back may take, also when a Load was given no more time.
const restorePatience = 10 * time.Second

// restore undoes what charon took before it refused something. A certificate or a CRL that it took stays: no
// connection trusts it because of that, and a CRL can only turn away.
func (c *Charon) restore(ctx context.Context, before known, taken Changes, refusal error) (Loaded, Changes, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restorePatience)
	defer cancel()
	now := maps.Clone(before.connections)
	var changes Changes
	var errs []error
	for _, name := range slices.Concat(taken.Changed, taken.Renewed) {
		held, ok := before.connections[name]
		err := fmt.Errorf("it is not known what connection %s was: charon keeps the new one", name)
		if ok {
			err = c.loadConnection(ctx, held.Section)
			now[name] = Held{Section: held.Section, Outlived: true}
		}
		if err != nil {
			delete(now, name)
			changes.Changed = append(changes.Changed, name)
			errs = append(errs, err)
		}
	}
	for _, name := range taken.Added {
		if err := c.unloadConnection(ctx, name); err != nil {
			changes.Added = append(changes.Added, name)
			errs = append(errs, err)
			continue
		}
		// Its endpoint may have been quick.
		errs = append(errs, c.terminate(ctx, closePatience, "ike", name))
	}
	errs = append(errs, c.unloadPrivateKeys(ctx, before.privateKeys))
	if err := errors.Join(errs...); err != nil {
		return now, changes, fmt.Errorf("%w; and charon could not be brought back to what it had: %w", refusal, err)
	}
	return now, changes, fmt.Errorf("%w; charon has again what it had", refusal)
}

// outdated says which SAs a connection that becomes another one no longer describes: those of some children,
// or all.
func (h Held) outdated(next ipsec.Section) (children []string, all bool) {
	if !h.Section.WithoutChildren().Equal(next.WithoutChildren()) {
		return nil, true
	}
	for _, child := range h.Section.Children() {
		if !slices.ContainsFunc(next.Children(), child.Equal) {
			children = append(children, child.Name)
		}
	}
	// Without a child that is gone there may be one that is new, of which an older IKE_SA would not know.
	return children, h.Outlived
}

func (c *Charon) unloadConnection(ctx context.Context, name string) error {
	_, err := c.call(ctx, "unload-conn", map[string]string{"name": name})
	return err
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
