package caddymodule

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// spareHeap is how much more memory than Go would by itself a process may fill before it
// collects. Go collects when the heap has doubled; one of 10 MB, as this one's is, is then collected twenty times
// a second under load, for a tenth of the processor's time. 32 MB more, whatever the heap is, halve that at least.
const spareHeap = 32 << 20

// maxHeapPercent bounds it for a heap that is almost empty.
const maxHeapPercent = 400

var paceHeapOnce sync.Once //nolint:gochecknoglobals // the collector is the process's

// paceHeap sets the collector's pace after each collection, from now on. An operator who sets GOGC has the
// last word; GOMEMLIMIT, which Caddy sets from the container's limit, holds as before.
func paceHeap() {
	if os.Getenv("GOGC") == "" {
		paceHeapOnce.Do(func() { repaceHeap(100) })
	}
}

func repaceHeap(was int) {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	percent := heapPercent(sample[0].Value.Uint64())
	if d := percent - was; d > 10 || d < -10 || percent == 100 && was != 100 {
		debug.SetGCPercent(percent) // stops the world for a moment: not for each small step
	} else {
		percent = was
	}
	// The next collection finds it, and comes back.
	runtime.AddCleanup(&struct{ _ [4]uint64 }{}, repaceHeap, percent)
}

// heapPercent is the GOGC that lets a heap with so many live bytes grow by spareHeap more than 100 does.
func heapPercent(live uint64) int {
	return int(min(maxHeapPercent, 100+100*spareHeap/max(live, 1)))
}

const (
	// restEvery is how often it is looked whether the process rests.
	restEvery = 5 * time.Second
	// quietHeap is how little it allocates meanwhile if it does.
	quietHeap = 2 << 20
	// worthHeap is how much it must have allocated since its last rest.
	worthHeap = 4 << 20
)

// rest gives memory back to the system once there is nothing to do. Go itself would keep what a busy
// minute took, a login's 19 MB among it, for some minutes more, and the kernel the pages of the program that
// the start alone needed.
type rest struct {
	seen, rested uint64
	started      bool
}

func (r *rest) look() {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	allocated := sample[0].Value.Uint64()
	quiet := allocated-r.seen < quietHeap
	r.seen = allocated
	if quiet && allocated-r.rested > worthHeap {
		r.rested = allocated
		debug.FreeOSMemory()
		if !r.started {
			r.started = true // once: what requests use then stays mapped, or the first of a morning would wait 10 ms for it
			leaveImage()
		}
	}
}
