package sense

import (
	"context"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"privnet/doctor"
	"privnet/doctor/signature"
	"privnet/doctor/wire"
	"privnet/ipsec/vici"
)

const (
	// glance is how often it is seen whether listening has told what is wrong.
	glance = 200 * time.Millisecond
	// deafAfter is for how many glances charon may not have heard what the wire brought.
	deafAfter = 5
)

// listen follows charon's log and the wire at once and counts what the wire brought from each endpoint: first
// packets of an exchange, and those of a tunnel that stood before. It ends early when the log or the wire has
// told what is wrong.
func (s Senses) listen(ctx context.Context, c doctor.Config, reader *signature.Reader) (counts, stale map[netip.Addr]int) {
	ctx, cancel := context.WithTimeout(ctx, c.Listen)
	defer cancel()
	var lock sync.Mutex
	begun := time.Now()
	counts, stale = map[netip.Addr]int{}, map[netip.Addr]int{}
	var ears sync.WaitGroup
	ears.Go(func() {
		_ = wire.Listen(ctx, func() {}, func(p wire.Packet) {
			lock.Lock()
			defer lock.Unlock()
			switch {
			case p.Outgoing:
			case p.Begins():
				counts[p.From.Addr()]++
			default:
				stale[p.From.Addr()]++
			}
		})
	})
	ears.Go(func() {
		_ = wire.ListenESP(ctx, func() {}, func(p wire.ESP) {
			lock.Lock()
			defer lock.Unlock()
			if !p.Outgoing {
				stale[p.From]++
			}
		})
	})
	ears.Go(func() {
		_ = vici.WatchLog(ctx, s.Gateway.Socket(), func() {}, func(l vici.LogLine) {
			lock.Lock()
			defer lock.Unlock()
			reader.Read(signature.Line{Time: time.Now(), SA: l.SA, Text: l.Text})
		})
	})
	ticker := time.NewTicker(glance)
	defer ticker.Stop()
	for deaf := 0; deaf < deafAfter && ctx.Err() == nil; {
		select {
		case <-ctx.Done():
		case <-ticker.C:
			lock.Lock()
			// Also the want of a packet tells, after a while.
			known := told(reader)
			for _, e := range c.Connection.Endpoints {
				if counts[e.Address] > 0 && reader.Contact(e.Address).Packets == 0 {
					deaf++
				}
			}
			lock.Unlock()
			if known {
				cancel()
			}
		}
	}
	cancel()
	ears.Wait()
	for _, e := range c.Connection.Endpoints {
		// charon logs no packet of a tunnel that it does not have: these are of one that begins.
		if reader.Contact(e.Address).Last.After(begun) {
			delete(stale, e.Address)
		}
	}
	return counts, stale
}

// overhear counts the ESP on the wire by its SPI while something is done; nil if it cannot be heard.
func overhear(ctx context.Context, do func()) map[string]doctor.Heard {
	ctx, cancel := context.WithCancel(ctx)
	spis, ready, ended := map[string]doctor.Heard{}, make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- wire.ListenESP(ctx, func() { close(ready) }, func(p wire.ESP) {
			heard := spis[p.SPI]
			heard.Packets++
			// Before the blocks are SPI and sequence number, and of the hash 12 bytes are 96 bits.
			if (p.Length-8)%16 == 12 {
				heard.Cut++
			}
			spis[p.SPI] = heard
		})
	}()
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
	}
	do()
	cancel()
	if <-ended != nil {
		return nil
	}
	return spis
}

// damagedESP is how many packets with ESP have failed the kernel's integrity check; 0 where the kernel has no ESP.
func damagedESP() int {
	data, err := os.ReadFile("/proc/self/net/xfrm_stat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[0] == "XfrmInStateProtoError" {
			n, _ := strconv.Atoi(fields[1])
			return n
		}
	}
	return 0
}
