package ipsec

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"
	"time"

	"privnet/document"
)

// The lengths in characters that a pre-shared key may have. Main mode's hash of a short key can be
// guessed offline (CVE-2018-5389); devices take no key much longer than 128.
const (
	MinKeyLength = 32
	MaxKeyLength = 128
)

// minKeyAlphabet is how many different characters a key has at least. A random one has more, also if it is
// hexadecimal; one that somebody typed to fill the line has fewer.
const minKeyAlphabet = 8

// keyPattern is what every device's screen and file accepts.
var keyPattern = regexp.MustCompile(`^[A-Za-z0-9._]+$`)

// encodedPattern is the start of a key that strongSwan and its relatives do not read as it is written, but as
// hexadecimal, base64 or text. A director generates one in 432; any other leading 0 does no harm, and
// refusing it would stop every thirty-sixth deployment.
var encodedPattern = regexp.MustCompile(`^0[xXsStT]`)

// placeholders are words that only a key that nobody has generated holds.
var placeholders = []string{"changeme", "change_me", "example", "placeholder", "password", "presharedkey", "replace"}

// Key is a pre-shared key. It prints as [secret] whatever the format.
type Key struct{ text string }

// NewKey makes a key of its text. The text is not checked.
func NewKey(text string) Key { return Key{text} }

// Bytes is the key itself, for charon alone.
func (k Key) Bytes() []byte { return []byte(k.text) }

// Base64 is the key as strongSwan reads it back exactly, whatever its characters: 0s and base64.
func (k Key) Base64() string { return "0s" + base64.StdEncoding.EncodeToString([]byte(k.text)) }

// Format prints [secret] for every verb, so that no log or error can hold a key.
func (k Key) Format(f fmt.State, _ rune) { fmt.Fprint(f, "[secret]") }

// MarshalText is [secret], for encoders that look at no Format.
func (k Key) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// IsZero says whether there is no key.
func (k Key) IsZero() bool { return k.text == "" }

// Slot names one of a connection's two pre-shared keys.
type Slot string

// The slots, as in the properties psk_a and psk_b.
const (
	SlotA Slot = "a"
	SlotB Slot = "b"
)

// Other is the other slot.
func (s Slot) Other() Slot {
	if s == SlotA {
		return SlotB
	}
	return SlotA
}

// Keys are a connection's pre-shared keys: one, or two while the endpoint moves from one to the other.
type Keys struct {
	A, B Key
	// Active is the one to use when nothing says that the endpoint uses the other.
	Active Slot
	// OverlapUntil ends the time in which the endpoint may use either; zero means as long as there are two.
	OverlapUntil time.Time
}

// Key is the key in a slot.
func (k Keys) Key(slot Slot) Key {
	if slot == SlotB {
		return k.B
	}
	return k.A
}

// Overlap says whether the endpoint may use either key now.
func (k Keys) Overlap(now time.Time) bool {
	return !k.A.IsZero() && !k.B.IsZero() && (k.OverlapUntil.IsZero() || now.Before(k.OverlapUntil))
}

// readKeys reads the pre-shared keys of psk.json.
func readKeys(root document.Value, org string) Keys {
	keys := Keys{
		A: Key{root.Get("psk_a").Text()}, B: Key{root.Get("psk_b").Text()},
		Active:       Slot(root.Get("active_psk").OneOf(string(SlotA), string(SlotA), string(SlotB))),
		OverlapUntil: readTime(root.Get("psk_overlap_until")),
	}
	for _, slot := range []Slot{SlotA, SlotB} {
		v := root.Get("psk_" + string(slot))
		switch problem := keyProblem(v.Text()); {
		case v.Present() && problem != "":
			v.SecretProblem("%s; %s", problem, newKeyAdvice(org))
		case !v.Present() && slot == keys.Active:
			v.SecretProblem("is missing, and active_psk says to use it; %s", newKeyAdvice(org))
		}
	}
	if !keys.A.IsZero() && keys.A == keys.B {
		root.Get("psk_b").SecretProblem("is the same as psk_a; %s", newKeyAdvice(org))
	}
	return keys
}

// readTime reads a date, which means its end in UTC, or a time as in RFC 3339. An absent one is zero.
func readTime(v document.Value) time.Time {
	text := v.Text()
	if text == "" {
		return time.Time{}
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1)
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		v.Problem("must be a date, as in 2027-03-31, or a time, as in 2027-03-31T18:00:00Z; put it in quotes")
	}
	return at
}

// keyProblem says what is wrong with a key, without repeating it.
func keyProblem(text string) string {
	lower := strings.ToLower(text)
	for _, word := range placeholders {
		if strings.Contains(lower, word) {
			return "is a placeholder"
		}
	}
	switch {
	case strings.HasPrefix(text, "(("):
		return "is a variable that was not interpolated"
	case len(text) < MinKeyLength:
		return fmt.Sprintf("has %d characters; at least %d are needed", len(text), MinKeyLength)
	case len(text) > MaxKeyLength:
		return fmt.Sprintf("has %d characters; devices take at most %d", len(text), MaxKeyLength)
	case encodedPattern.MatchString(text):
		return "starts with 0x, 0s or 0t, by which devices know a hexadecimal, base64 or text key"
	case !keyPattern.MatchString(text):
		return "holds other characters than letters, digits, dots and underscores, which not every device accepts"
	case alphabet(text) < minKeyAlphabet:
		return "repeats a few characters, so that nobody generated it"
	}
	return ""
}

func alphabet(text string) int {
	seen := map[rune]bool{}
	for _, r := range text {
		seen[r] = true
	}
	return len(seen)
}

func newKeyAdvice(org string) string {
	if org == "" {
		org = "ORG"
	}
	return fmt.Sprintf("make a new one with: credhub regenerate -n /DIRECTOR/DEPLOYMENT/private-network-%s-psk "+
		"(without CredHub: openssl rand -hex 32 | sed 's/^0*//'), deploy, and give it to the customer", org)
}
