package expression_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
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
	src := "x = 'x' * 600000\nreturn ak_user_has_authenticator(user)" // expensive by its bytes: a busy machine is through with them, too
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
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
	// Nobody else has left yet: were it behind them, it would end with ctx.
	if got, err := e.Eval(ctx, "public", seedMinioGroups, env); err != nil || got == nil {
		t.Errorf("a cheap expression: %v, %v", got, err)
	}
	close(gate)
	wg.Wait()
	if busy.Load() == 0 || done.Load() == 0 || busy.Load()+done.Load()+failed.Load() != all {
		t.Errorf("%d done, %d refused, %d failed", done.Load(), busy.Load(), failed.Load())
	}
}

const endless = "while True:\n    pass"

// What a limit ended takes turns the next time, asleep for most of it, so that however
// many come at once they leave most of one processor to others. Those that came
// together with the first do, too. The clock is
// synctest's: a run itself takes none of its time.
func TestWhatALimitEndedRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &expression.Evaluator{Log: quiet()}
		run := func(src string) error {
			_, err := e.Eval(t.Context(), "public", src, expression.Env{})
			return err
		}
		ended := func(sources ...string) (took time.Duration) {
			began := time.Now()
			var wg sync.WaitGroup
			for _, src := range sources {
				wg.Go(func() { _ = run(src) })
			}
			wg.Wait()
			return time.Since(began)
		}
		// As many as the slow lane has places may be in it before the first one has ended.
		if took := ended(slices.Repeat([]string{endless + " # new"}, max(1, runtime.GOMAXPROCS(0)/2)+9)...); took < 9*180*time.Millisecond {
			t.Errorf("9 bombs more than fit the slow lane, that nobody knew, were through after %v", took)
		}
		if err := run(endless); !errors.Is(err, expression.ErrLimit) {
			t.Fatal(err)
		}
		crowd := slices.Repeat([]string{endless}, 10)
		if took := ended(crowd...); took < 10*190*time.Millisecond {
			t.Errorf("10 bombs at once were through after %v", took)
		}
		// One that ended by itself, however expensive, does not wait for them, nor for its like.
		expensive := "return len(sorted(range(8000)))"
		if err := run(expensive); err != nil {
			t.Fatal(err)
		}
		if took := ended(slices.Repeat([]string{expensive}, 10)...); took != 0 { // control
			t.Errorf("10 expensive runs waited %v", took)
		}
		// Who waits too long is told so.
		var busy atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				if errors.Is(run(endless), expression.ErrBusy) {
					busy.Add(1)
				}
			})
		}
		wg.Wait()
		if n := busy.Load(); n < 80 || n > 90 { // 3 s are 15 turns
			t.Errorf("%d of 100 were refused", n)
		}
	})
}

// One program can be endless for one user and cheap for another: whom it is cheap
// for gets an answer, and it is not slow for ever.
func TestEndlessForOneUserOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &expression.Evaluator{Log: quiet()}
		src := "while context['loop']:\n    pass\nreturn 1"
		run := func(loop bool) (any, error) {
			return e.Eval(t.Context(), "public", src, expression.Env{Context: map[string]any{"loop": loop}})
		}
		for range 3 {
			if _, err := run(true); !errors.Is(err, expression.ErrLimit) {
				t.Fatal(err)
			}
		}
		if got, err := run(false); err != nil || got != int64(1) {
			t.Fatal(got, err)
		}
		began := time.Now()
		for range 100 {
			if got, err := run(false); err != nil || got != int64(1) {
				t.Fatal(got, err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("a hundred cheap runs waited %v", took)
		}
		began = time.Now()
		for range 3 {
			_, _ = run(true)
		}
		if took := time.Since(began); took < 2*190*time.Millisecond { // control
			t.Errorf("endless again: %v", took)
		}
	})
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

// What one tenant's data made of a mapping that all have says nothing of another's, and tenants
// come by turns: a queue of bombs of one makes another's wait for one of them. The control is
// the tenant itself.
func TestTenantsInTheLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &expression.Evaluator{Log: quiet()}
		run := func(of core.TenantID, src string, items int) error {
			_, err := e.Eval(t.Context(), of, src, expression.Env{User: &core.User{Attributes: map[string]any{"n": int64(items)}}})
			return err
		}
		const all = `return len([x for x in range(request.user.attributes["n"])])`
		if err := run("t_loud", all, 100_000_000); !errors.Is(err, expression.ErrLimit) {
			t.Fatal(err)
		}
		took := func(of core.TenantID, src string, items int) (time.Duration, error) {
			began := time.Now()
			err := run(of, src, items)
			return time.Since(began), err
		}
		var wg sync.WaitGroup
		for range 60 {
			wg.Go(func() { _ = run("t_loud", endless, 0) })
		}
		synctest.Wait() // one naps, the others wait
		if d, err := took("t_quiet", all, 10); d != 0 || err != nil {
			t.Errorf("a mapping that was too much for another tenant took %v here: %v", d, err)
		}
		if d, err := took("t_quiet", endless, 0); d > time.Second || !errors.Is(err, expression.ErrLimit) {
			t.Errorf("behind another tenant's 60 bombs, one waited %v: %v", d, err)
		}
		if d, err := took("t_loud", all, 10); d == 0 {
			t.Errorf("control: the tenant's own mapping took %v: %v", d, err)
		}
		wg.Wait()
	})
}
