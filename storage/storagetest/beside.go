package storagetest

import (
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// besideRound is how many operations each has before it is the other's turn.
const besideRound = 128

// Beside measures an operation beside its ceiling, which is named of: b.N of each, called
// with 0 to b.N-1, in turns of besideRound, so that what else the machine does hits both alike.
// Eight at a time for each processor, as a server under load has them: who waits for the
// disk leaves the processor to another. Memory is collected as seldom as the running server does with a heap as
// small as a test's (caddymodule/heap.go). It reports the time, the processor's time and
// the allocations of one operation, the processor's time of the ceiling, and the median of the turns' ratios.
func Beside(b *testing.B, of string, ceiling, measured func(i int)) {
	b.Helper()
	BesideMade(b, of, ceiling, func(int) {}, measured)
}

// BesideMade is Beside for an operation that uses something up which the server has just given out. ready makes what
// the operation of the same number needs, before its turn and outside of the measured time.
func BesideMade(b *testing.B, of string, ceiling, ready, measured func(i int)) {
	b.Helper()
	var all, bare sum
	var ratios []float64
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	b.ResetTimer()
	for from := 0; from < b.N; from += besideRound {
		to := min(from+besideRound, b.N)
		b.StopTimer()
		for i := from; i < to; i++ {
			ready(i)
		}
		b.StartTimer()
		c, m := turn(from, to, ceiling), turn(from, to, measured)
		bare.add(c)
		all.add(m)
		ratios = append(ratios, 100*float64(c.wall)/float64(m.wall))
	}
	b.StopTimer()
	slices.Sort(ratios)
	n := float64(b.N)
	b.ReportMetric(float64(all.wall.Nanoseconds())/n, "ns/op")
	b.ReportMetric(ratios[len(ratios)/2], "%of-"+of)
	b.ReportMetric(float64(all.processor.Microseconds())/n, "cpu-µs/op")
	b.ReportMetric(float64(bare.processor.Microseconds())/n, "ceiling-cpu-µs/op")
	b.ReportMetric(float64(all.bytes)/n, "B/op")
	b.ReportMetric(float64(all.allocs)/n, "allocs/op")
}

// sum is what some operations took.
type sum struct {
	wall, processor time.Duration
	bytes, allocs   uint64
}

func (s *sum) add(o sum) {
	s.wall += o.wall
	s.processor += o.processor
	s.bytes += o.bytes
	s.allocs += o.allocs
}

// turn calls f for each of from to to-1.
func turn(from, to int, f func(i int)) sum {
	var next atomic.Int64
	next.Store(int64(from))
	var wg sync.WaitGroup
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	processor, began := processorTime(), time.Now()
	for range 8 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= to {
					return
				}
				f(i)
			}
		})
	}
	wg.Wait()
	s := sum{wall: time.Since(began), processor: processorTime() - processor}
	runtime.ReadMemStats(&after)
	s.bytes, s.allocs = after.TotalAlloc-before.TotalAlloc, after.Mallocs-before.Mallocs
	return s
}
