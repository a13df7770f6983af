package caddymodule

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
)

// The memory that it costs is bounded, whatever is live.
func TestHeapPercent(t *testing.T) {
	for _, live := range []uint64{0, 1, 4 << 20, 10 << 20, 100 << 20, 1 << 30, math.MaxUint64} {
		p := heapPercent(live)
		if p < 100 || p > maxHeapPercent {
			t.Errorf("%d live: %d %%", live, p)
		}
		if more := float64(live) * float64(p-100) / 100; more > spareHeap {
			t.Errorf("%d live: %.0f bytes more", live, more)
		}
	}
	if p := heapPercent(32 << 20); p != 200 {
		t.Errorf("32 MB live: %d %%", p)
	}
}

// The pace is set after each collection, and follows the heap.
func TestHeapIsPaced(t *testing.T) {
	openApp(t, nil)
	t.Setenv("GOGC", "") // an operator's own is left alone
	paceHeap()
	pace := func() int {
		p := debug.SetGCPercent(100)
		debug.SetGCPercent(p)
		return p
	}
	until := func(what string, ok func(int) bool) {
		for began := time.Now(); !ok(pace()); runtime.GC() {
			if time.Since(began) > time.Minute {
				t.Fatalf("%s: %d %%", what, pace())
			}
			runtime.Gosched()
		}
	}
	before := pace()
	big := make([]byte, 512<<20)
	until("with 512 MB more", func(p int) bool { return p > 100 && p <= 107 })
	runtime.KeepAlive(big)
	big = nil
	until("without", func(p int) bool { return p > 107 && p >= before/2 })
}
