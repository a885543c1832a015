package gateway

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"privnet/atomicfile"
	"privnet/ipsec"
)

// keyAges is since when this VM has had each pre-shared key. A key is known again by a salted hash; the
// file is as secret as the one beside it that holds the key itself.
type keyAges struct {
	Salt []byte                `json:"salt"`
	Keys map[ipsec.Slot]keyAge `json:"keys"`
}

type keyAge struct {
	Hash  []byte    `json:"hash"`
	Since time.Time `json:"since"`
}

// keyAges says since when the keys are known here, and remembers the new ones. A VM that BOSH makes anew
// begins anew.
func (g Gateway) keyAges(keys ipsec.Keys) ([]KeyStatus, error) {
	path := filepath.Join(g.Paths.Data, "keyages.json")
	before, err := readKeyAges(path)
	if err != nil {
		return nil, err
	}
	now := keyAges{Salt: before.Salt, Keys: map[ipsec.Slot]keyAge{}}
	var out []KeyStatus
	for _, slot := range []ipsec.Slot{ipsec.SlotA, ipsec.SlotB} {
		key := keys.Key(slot)
		if key.IsZero() {
			continue
		}
		hash := sha256.Sum256(append(append([]byte{}, now.Salt...), key.Bytes()...))
		age := keyAge{hash[:], g.Now().UTC()}
		for _, known := range before.Keys {
			if string(known.Hash) == string(hash[:]) {
				age = known
			}
		}
		now.Keys[slot] = age
		out = append(out, KeyStatus{slot, age.Since})
	}
	data, err := json.Marshal(now)
	if err != nil {
		return nil, fmt.Errorf("encoding the ages of the keys: %w", err)
	}
	return out, atomicfile.Write(path, data, 0o600)
}

// readKeyAges begins anew with a file that is not there or no JSON: an age is no reason to stop.
func readKeyAges(path string) (keyAges, error) {
	var ages keyAges
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return ages, fmt.Errorf("reading the ages of the keys: %w", err)
	}
	if json.Unmarshal(data, &ages) != nil || len(ages.Salt) == 0 {
		ages = keyAges{Salt: make([]byte, 16)}
		_, _ = rand.Read(ages.Salt) // never fails, see its documentation
	}
	return ages, nil
}
