package probe

import (
	"maps"
	"slices"
	"strings"
	"time"

	"privnet/connection"
	"privnet/ipsec/vici"
	"privnet/probe/coverage"
	"privnet/probe/health"
)

// sawCharon takes in what charon said.
func (o *observation) sawCharon(u vici.Update, now time.Time) {
	o.looked = true
	o.charonError = ""
	if u.Err != nil {
		o.charonError = u.Err.Error()
	}
	for _, e := range u.Events {
		o.sawEvent(e)
		o.countKnown(e.SA, now)
	}
	// Mostly a list says nothing new but counts, and what it covers takes long to find out.
	if shape := shapeOf(u.SAs); u.Err != nil || shape != o.shape || o.listedAt.IsZero() {
		if o.doubts(u, now) {
			return
		}
		o.shape = shape
		o.cover(u.SAs, now)
	}
	o.doubtedAt = time.Time{}
	o.sas, o.listedAt = u.SAs, now
	if u.Err == nil {
		o.countAll(u.SAs, now)
	}
}

// shapeOf is what a list says of coverage: other CHILD_SAs have other SPIs, and selectors never change.
func shapeOf(sas []vici.SA) string {
	var out strings.Builder
	for _, sa := range sas {
		out.WriteString(sa.UniqueID + " " + sa.State + "\n")
		for _, child := range sa.Children {
			out.WriteString(child.SPIIn + " " + child.State + "\n")
		}
	}
	return out.String()
}

// cover finds out how much of each pair is covered.
func (o *observation) cover(sas []vici.SA, now time.Time) {
	for _, p := range o.pairs {
		p.coverage = coverage.Of(p.pair, o.config.Connection.Endpoints, sas)
		switch {
		case p.coverage.Extent != health.Whole:
			p.covered = time.Time{}
			p.unanswered = 0
		case p.covered.IsZero():
			p.covered = now
			o.forgetLosses(p.pair)
		}
	}
}

// doubts says whether to wait for another list: one that charon makes while it replaces an IKE_SA has the
// CHILD_SAs under neither, and no event says that they ended.
func (o *observation) doubts(u vici.Update, now time.Time) bool {
	ended := func(e vici.Event) bool { return !e.Up && (e.Kind == vici.IKEUpDown || e.Kind == vici.ChildUpDown) }
	missing := func(p *pairSeen) bool {
		return p.coverage.Extent != health.Nothing && coverage.Of(p.pair, o.config.Connection.Endpoints, u.SAs).Extent == health.Nothing
	}
	if u.Err != nil || slices.ContainsFunc(u.Events, ended) || !slices.ContainsFunc(o.pairs, missing) {
		return false
	}
	if o.doubtedAt.IsZero() {
		o.doubtedAt = now
	}
	return now.Sub(o.doubtedAt) < doubt
}

// forgetLosses begins anew with a pair's targets: that they were lost without a tunnel says nothing of the
// one that has just come up.
func (o *observation) forgetLosses(p connection.Pair) {
	for _, t := range o.targets {
		if t.pair == p && t.answer != health.NotAsked {
			t.answer, t.missed = health.Waiting, 0
		}
	}
}

func (o *observation) sawEvent(e vici.Event) {
	for _, t := range o.tunnels {
		if t.endpoint != e.SA.RemoteHost {
			continue
		}
		switch {
		case e.Kind == vici.IKEUpDown && e.Up:
			t.counts.Ups++
		case e.Kind == vici.IKEUpDown:
			t.counts.Downs++
		case e.Kind == vici.IKERekey:
			t.counts.IKERekeys++
		case e.Kind == vici.ChildRekey:
			t.counts.ChildRekeys++
		}
	}
}

// countAll counts what is listed, and forgets what is not any more.
func (o *observation) countAll(sas []vici.SA, now time.Time) {
	current := map[string]bool{}
	for _, sa := range sas {
		for _, child := range sa.Children {
			current[child.SPIIn] = true
			o.count(child, now)
		}
	}
	maps.DeleteFunc(o.seen, func(spi string, _ Traffic) bool { return !current[spi] })
}

// countKnown counts the last packets of what an event says is gone. The event may come after a list
// without it: what is forgotten must not be counted again.
func (o *observation) countKnown(sa vici.SA, now time.Time) {
	for _, child := range sa.Children {
		if _, known := o.seen[child.SPIIn]; known {
			o.count(child, now)
		}
	}
}

// count adds to each pair what its CHILD_SA carried since it was last seen.
func (o *observation) count(child vici.Child, now time.Time) {
	total := trafficOf(child)
	gain := total.since(o.seen[child.SPIIn])
	o.seen[child.SPIIn] = total
	for _, p := range o.pairs {
		if coverage.Touches(p.pair, child) {
			p.traffic = p.traffic.plus(gain)
			p.lastIn = later(p.lastIn, child.UsedIn, now)
			p.lastOut = later(p.lastOut, child.UsedOut, now)
			p.sawPackets(gain, now)
		}
	}
}

// sawPackets counts those that went out without one coming in. What had gone out when a tunnel was first
// seen may have been answered.
func (p *pairSeen) sawPackets(gain Traffic, now time.Time) {
	switch {
	case gain.PacketsIn > 0 || p.covered.IsZero():
		p.unanswered = 0
	case gain.PacketsOut > 0:
		if p.unanswered == 0 {
			p.unansweredSince = now
		}
		p.unanswered += gain.PacketsOut
	}
}

// later is when a packet passed last. What is known of a time that lies ahead is from before the clock was set back.
func later(known time.Time, ago time.Duration, now time.Time) time.Time {
	if known.After(now) {
		known = time.Time{}
	}
	if used := now.Add(-ago); ago >= 0 && used.After(known) {
		return used
	}
	return known
}

func trafficOf(c vici.Child) Traffic {
	return Traffic{BytesIn: c.BytesIn, BytesOut: c.BytesOut, PacketsIn: c.PacketsIn, PacketsOut: c.PacketsOut}
}

func (t Traffic) plus(u Traffic) Traffic {
	return Traffic{t.BytesIn + u.BytesIn, t.BytesOut + u.BytesOut, t.PacketsIn + u.PacketsIn, t.PacketsOut + u.PacketsOut}
}

// since is what came on top of an earlier count; a counter that is behind it adds nothing.
func (t Traffic) since(u Traffic) Traffic {
	gain := func(a, b uint64) uint64 { return max(a, b) - b }
	return Traffic{gain(t.BytesIn, u.BytesIn), gain(t.BytesOut, u.BytesOut), gain(t.PacketsIn, u.PacketsIn), gain(t.PacketsOut, u.PacketsOut)}
}
