package counterparts_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// waits are what single requests waited for their answers, without and with something in their way.
type waits struct {
	medians, tails             []float64 // by round: what with adds to without, in µs
	tailsWithout, tailsWith    []float64
	mediansWithout, mediansAll []float64
}

// waitsRound is how many requests of each a round has: a hundredth of them are beyond the 99th percentile.
const waitsRound = 1000

// round asks both by turns, one request at a time, so that what else the machine does hits both alike.
func (w *waits) round(b *testing.B, without, with *target) {
	b.Helper()
	var took [2][]float64
	targets := [2]*target{without, with}
	var requests, answers [2][]byte
	for i, t := range targets {
		requests[i], answers[i] = t.request(), make([]byte, t.length)
	}
	for range waitsRound {
		for i, t := range targets {
			began := time.Now()
			if !t.ask(b, t.conns[0], requests[i], answers[i]) {
				return
			}
			took[i] = append(took[i], time.Since(began).Seconds()*1e6)
		}
	}
	for i := range took {
		slices.Sort(took[i])
	}
	at := func(i, percent int) float64 { return took[i][len(took[i])*percent/100] }
	w.medians, w.tails = append(w.medians, at(1, 50)-at(0, 50)), append(w.tails, at(1, 99)-at(0, 99))
	w.mediansWithout, w.mediansAll = append(w.mediansWithout, at(0, 50)), append(w.mediansAll, at(1, 50))
	w.tailsWithout, w.tailsWith = append(w.tailsWithout, at(0, 99)), append(w.tailsWith, at(1, 99))
}

func (w *waits) report(b *testing.B) {
	for name, figures := range map[string][]float64{
		"added-p50": w.medians, "added-p99": w.tails,
		"carrying-p50": w.mediansWithout, "guarded-p50": w.mediansAll,
		"carrying-p99": w.tailsWithout, "guarded-p99": w.tailsWith,
	} {
		slices.Sort(figures)
		b.ReportMetric(figures[len(figures)/2], name+"-µs")
	}
}

// processorTime is what the process has used, its own and the kernel's for it. Zero where the system does
// not tell it as Linux does.
func (p *process) processorTime() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ") // after the name
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // Linux tells them in hundredths of a second
}
