package login

import (
	"context"
	"net/http"
	"time"

	"github.com/postern-sso/postern/core"
)

// Hold takes a slot of the Hasher until release is called.
func (h *Hasher) Hold() (release func()) {
	if err := h.take(context.Background(), core.DefaultTenant); err != nil {
		panic(err)
	}
	return func() { h.slots.Leave(core.DefaultTenant) }
}

// LocalPath is localPath.
func LocalPath(r *http.Request, next string) (string, bool) { return localPath(r, next) }

// Everybody is the key that all failures of a tenant count under, and how many are free.
func Everybody(now time.Time) (key string, free int) {
	r := everybody(now)
	return r.key, r.free
}

func testRules(keys []string) []rule {
	rules := make([]rule, len(keys))
	for i, k := range keys {
		rules[i] = rule{key: k, free: 5, base: time.Hour, longest: time.Hour, window: 12 * time.Hour}
	}
	return rules
}

// Begin begins an attempt under counters of which each has five free, unless it is refused.
// It lands as right, wrong or anything else: not checked.
func (h *Handler) Begin(ctx context.Context, t core.TenantID, counters ...string) (land func(how string), ok bool) {
	a, wait, err := h.begin(ctx, t, testRules(counters))
	if err != nil || wait > 0 {
		return nil, false
	}
	return func(how string) {
		defer a.land()
		ctx := context.WithoutCancel(ctx)
		var err error
		switch how {
		case "right":
			err = a.succeeded(ctx)
		case "wrong":
			err = a.failed(ctx)
		default:
			err = a.refund(ctx)
		}
		if err != nil {
			panic(err)
		}
	}, true
}

// CountsAlone counts an attempt as if no other was known, and reports whether it went through.
func (h *Handler) CountsAlone(ctx context.Context, t core.TenantID, counter string) bool {
	_, _, wait, err := h.count(ctx, t, testRules([]string{counter}))
	if err != nil {
		panic(err)
	}
	return wait == 0
}

// InFlight is of how many counters something is in flight.
func (h *Handler) InFlight() int {
	h.flights.mu.Lock()
	defer h.flights.mu.Unlock()
	return len(h.flights.of)
}

// InQueue is how many attempts wait for others.
func (h *Handler) InQueue() (n int) {
	h.flights.mu.Lock()
	defer h.flights.mu.Unlock()
	for _, f := range h.flights.of {
		n += len(f.waiting)
	}
	return n
}

// SheetOf is sheetOf: what it returns is the same while it is not made anew.
func (h *Handler) SheetOf(t core.TenantID, b *core.Brand) any {
	return h.sheetOf(&core.Tenant{ID: t}, b)
}
