// Package charonlog turns charon's log, which it writes as JSON, into ours: its own words are kept, and
// the org, the tunnel and the pair of networks are added. What charon logs was in part written by whoever sends packets to it.
package charonlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"privnet/ipsec"
)

// Relay writes charon's lines to Log.
type Relay struct {
	Log *slog.Logger
	// Tunnels tell whose line it is.
	Tunnels []ipsec.Tunnel
	Now     func() time.Time
}

// MaxLine is the length in bytes of the longest line of charon's that is kept whole.
const MaxLine = 16 << 10

// entry is a line of charon's JSON log.
type entry struct {
	Group  string `json:"group"`
	Level  int    `json:"level"`
	Name   string `json:"ikesa-name"`
	Unique string `json:"ikesa-uniqueid"`
	Msg    string `json:"msg"`
}

// Copy relays line by line until the reader ends. It always reads on, because a charon whose output nobody
// takes stands still.
func (r Relay) Copy(from io.Reader) {
	reader := bufio.NewReaderSize(from, MaxLine)
	var others bucket
	for {
		line, isPrefix, err := reader.ReadLine()
		if len(line) > 0 {
			r.line(line, &others)
		}
		for isPrefix && err == nil {
			_, isPrefix, err = reader.ReadLine()
		}
		if err != nil {
			return
		}
	}
}

// selector is how charon writes a traffic selector: a network or a range of addresses, of one protocol or of all.
const selector = `[0-9.]+(?:/[0-9]+)?(?:\[[^\]]*\])?`

// pair is how charon writes the traffic selectors of a CHILD_SA.
var pair = regexp.MustCompile(selector + "(?: " + selector + ")* === " + selector + "(?: " + selector + ")*")

func (r Relay) line(raw []byte, others *bucket) {
	// charon escapes quotes, backslashes and newlines only.
	raw = bytes.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, raw)
	var line entry
	if err := json.Unmarshal(raw, &line); err != nil || line.Msg == "" {
		line = entry{Msg: strings.TrimSpace(string(raw))}
	}
	if line.Name == "" && !others.take(r.Now()) {
		return
	}
	if line.Name == "" && others.spilled > 0 {
		r.Log.Warn("charon logged more than is kept: somebody floods it with packets", "lines_left_out", others.spilled)
		others.spilled = 0
	}
	attributes := []any{"source", "charon", "group", line.Group, "charon_level", line.Level}
	if org := r.org(line.Name); org != "" {
		attributes = append(attributes, "org", org)
	}
	if line.Name != "" {
		attributes = append(attributes, "tunnel", line.Name)
		if selectors := pair.FindString(line.Msg); selectors != "" {
			attributes = append(attributes, "pair", selectors)
		}
	}
	if line.Unique != "" {
		attributes = append(attributes, "ike_sa", line.Unique)
	}
	r.Log.Info(line.Msg, attributes...)
}

// org is whose tunnel it is. A line about none belongs to the org if there is only one.
func (r Relay) org(tunnel string) string {
	for _, t := range r.Tunnels {
		if t.Name == tunnel {
			return t.Org
		}
	}
	if len(r.Tunnels) > 0 && !slices.ContainsFunc(r.Tunnels, func(t ipsec.Tunnel) bool { return t.Org != r.Tunnels[0].Org }) {
		return r.Tunnels[0].Org
	}
	return ""
}
