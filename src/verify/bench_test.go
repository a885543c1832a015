package verify_test

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"privnet/verify"
)

// BenchmarkVerify measures the proof for platforms of several sizes: reading the manifest and rendering the
// artefacts (read), and the proof itself (check). cpu-ms is the processors' time, which other work on the
// machine changes little; live-MB is the heap that holds input and artefacts.
//
//	go test ./verify -run '^$' -bench Verify
func BenchmarkVerify(b *testing.B) {
	for _, n := range []int{1, 100, 500, 2000} {
		f, err := newFixture(ledgerDir(b.TempDir()), orgs(n)...)
		if err != nil {
			b.Fatal(err)
		}
		in, err := f.read()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("read/orgs=%d", n), func(b *testing.B) {
			measure(b, func() {
				if _, err := f.read(); err != nil {
					b.Fatal(err)
				}
			})
		})
		b.Run(fmt.Sprintf("check/orgs=%d", n), func(b *testing.B) {
			measure(b, func() {
				result, err := verify.Check(in)
				if err != nil || !result.Holds {
					b.Fatal(err, found(result))
				}
			})
			runtime.GC()
			var memory runtime.MemStats
			runtime.ReadMemStats(&memory)
			b.ReportMetric(float64(memory.HeapAlloc)/1e6, "live-MB")
		})
	}
}

func measure(b *testing.B, work func()) {
	b.ReportAllocs()
	start := processorTime(b)
	for b.Loop() {
		work()
	}
	b.ReportMetric((processorTime(b)-start).Seconds()*1000/float64(b.N), "cpu-ms")
}

func processorTime(b *testing.B) time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
