package login_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Any number of right passwords of one account at the same moment are right, however few
// failures are free: none of them failed.
func TestParallelLoginsDoNotRefuseEachOther(t *testing.T) {
	h := newHouse(t)
	h.user(tenantA, "alice", "correct horse")
	browsers := make([]*browser, 40)
	pages := make([]answer, len(browsers))
	for i := range browsers {
		browsers[i] = h.browser("a.test")
		pages[i] = browsers[i].get(loginPath)
	}
	var wg sync.WaitGroup
	for i := range browsers {
		wg.Go(func() {
			want(t, browsers[i].send(loginPath, pages[i], "username", "alice", "password", "correct horse"), http.StatusSeeOther)
		})
	}
	wg.Wait()
	if n := h.InFlight(); n != 0 {
		t.Errorf("%d counters are kept for nobody", n)
	}
	// The control: who does not wait for those in flight is refused.
	refused := 0
	for range 6 {
		if !h.CountsAlone(t.Context(), tenantA, "pair") {
			refused++
		}
	}
	if refused != 1 {
		t.Errorf("control: %d of 6 were refused", refused)
	}
}

// Whoever waits for another gets an answer: when that one failed, when it could not be
// checked, and when whoever asks goes away.
func TestWaitingForAnAttemptEnds(t *testing.T) {
	for _, how := range []string{"right", "wrong", "not checked", "gone"} {
		t.Run(how, func(t *testing.T) {
			h := newHouse(t)
			ctx := t.Context()
			var lands []func(how string)
			for range 5 {
				land, ok := h.Begin(ctx, tenantA, "pair")
				if !ok {
					t.Fatal("refused")
				}
				lands = append(lands, land)
			}
			const many = 20
			waiting, gone := context.WithCancel(ctx)
			defer gone()
			var through atomic.Int32
			var wg sync.WaitGroup
			for range many {
				wg.Go(func() {
					if land, ok := h.Begin(waiting, tenantA, "pair"); ok {
						through.Add(1)
						land(how)
					}
				})
			}
			for began := time.Now(); h.InQueue() < many; time.Sleep(time.Millisecond) {
				if time.Since(began) > time.Minute {
					t.Fatalf("%d wait", h.InQueue())
				}
			}
			if how == "gone" {
				gone()
				wg.Wait()
			}
			for _, land := range lands {
				land(how)
			}
			wg.Wait()
			if n, all := through.Load(), how == "right" || how == "not checked"; all && n != many || !all && n != 0 {
				t.Errorf("%d of %d went through", n, many)
			}
			if n := h.InFlight(); n != 0 {
				t.Errorf("%d counters are kept for nobody", n)
			}
		})
	}
}

// Attempts under many counters at once, some given up, leave nobody waiting.
func TestNobodyIsForgotten(t *testing.T) {
	h := newHouse(t)
	var wg sync.WaitGroup
	for i := range 400 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			if i%7 == 0 {
				ctx, cancel = context.WithTimeout(ctx, time.Duration(i)*time.Microsecond)
				defer cancel()
			}
			land, ok := h.Begin(ctx, tenantA, "pair"+strconv.Itoa(i%5), "account"+strconv.Itoa(i%2))
			if ok {
				land([]string{"right", "wrong", "not checked"}[i%3])
			} else if i%7 != 0 && errors.Is(ctx.Err(), context.DeadlineExceeded) {
				t.Error("forgotten")
			}
		})
	}
	wg.Wait()
	if n := h.InFlight(); n != 0 {
		t.Errorf("%d counters are kept for nobody", n)
	}
}
