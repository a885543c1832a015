package ipsec

import (
	"encoding/base64"
	"fmt"
	"regexp"
	"strings"

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

// keyPattern is what every device's screen and file accepts. Some read a key that starts with 0x or 0s
// as hexadecimal or base64.
var keyPattern = regexp.MustCompile(`^[A-Za-z1-9._][A-Za-z0-9._]*$`)

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

// readKey reads psk.json and returns the key in use.
func readKey(file File, org string) (Key, error) {
	doc, err := document.Parse(file.Name, file.Data)
	if err != nil {
		return Key{}, err
	}
	root := doc.Root()
	if !root.Fields("psk_a", "psk_b", "active_psk") {
		return Key{}, doc.Err()
	}
	active := "psk_" + root.Get("active_psk").OneOf("a", "a", "b")
	for _, name := range []string{"psk_a", "psk_b"} {
		v := root.Get(name)
		switch problem := keyProblem(v.Text()); {
		case v.Present() && problem != "":
			v.SecretProblem("%s; %s", problem, newKeyAdvice(org))
		case !v.Present() && name == active:
			v.SecretProblem("is missing, and active_psk says to use it; %s", newKeyAdvice(org))
		}
	}
	return Key{root.Get(active).Text()}, doc.Err()
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
	case strings.HasPrefix(text, "0"):
		return "starts with 0, which devices take for the start of a hexadecimal or base64 key"
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
