package expression_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/expression"
)

// While expensive runs take all there is of the slow lane, further ones wait, a
// limited number of them, the rest is refused at once, and cheap ones do not notice.
func TestSlowLane(t *testing.T) {
	d := people()
	gate := make(chan struct{})
	e := &expression.Evaluator{Directory: d, Log: quiet(), HasAuthenticator: func(ctx context.Context, _ core.TenantID, _ core.UserID, _ string) (bool, error) {
		select {
		case <-gate:
		case <-ctx.Done():
		}
		return false, ctx.Err()
	}}
	env := d.env(t, "jo")
	src := "sorted(range(8000))\nreturn ak_user_has_authenticator(user)"
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var busy, done, failed atomic.Int64
	var wg sync.WaitGroup
	const all = 120
	for range all {
		wg.Go(func() {
			_, err := e.Eval(ctx, "public", src, env)
			switch {
			case err == nil:
				done.Add(1)
			case errors.Is(err, expression.ErrBusy):
				busy.Add(1)
			default:
				failed.Add(1)
				t.Error(err)
			}
		})
	}
	for busy.Load() < 1 && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	start := time.Now()
	if got, err := e.Eval(ctx, "public", seedMinioGroups, env); err != nil || got == nil {
		t.Errorf("a cheap expression: %v, %v", got, err)
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("a cheap expression waited %v", took)
	}
	close(gate)
	wg.Wait()
	if busy.Load() == 0 || done.Load() == 0 || busy.Load()+done.Load()+failed.Load() != all {
		t.Errorf("%d done, %d refused, %d failed", done.Load(), busy.Load(), failed.Load())
	}
}

// What is compiled is kept within bounds.
func TestCacheIsBounded(t *testing.T) {
	e := &expression.Evaluator{Log: quiet()}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	run := func(from, to int) {
		for i := from; i < to; i++ {
			src := fmt.Sprintf("x = %d\nreturn [%s]", i, strings.Repeat("x + 1, ", 100))
			if got, err := e.Eval(t.Context(), "public", src, expression.Env{}); err != nil || len(got.([]any)) != 100 {
				t.Fatal(got, err)
			}
		}
	}
	run(0, 1500) // more than fits
	full := heap()
	run(1500, 4000)
	if after := heap(); after > full+full/4+4<<20 {
		t.Errorf("the heap grew from %d to %d KB", full>>10, after>>10)
	}
}
