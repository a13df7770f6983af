package api_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// what takes the processor for long waits for its tenant's turn, and gives it back whatever comes of it: long bodies,
// and lists of more than a hundred rows. Nothing else does, and another tenant waits for one at most (core.Turns).
func TestLongRequestsTakeTurns(t *testing.T) {
	e := open(t)
	e.lenient = true // members that nobody knows
	turns := e.api.Turns()
	places := max(1, runtime.GOMAXPROCS(0)/2)
	long := map[string]any{"username": "x", "name": strings.Repeat("long ", 4000)}
	ask := func(method, path string, body any) int { return e.send(e.root, method, path, body).status }

	for range places {
		e.must(turns.Take(t.Context(), e.tenant.ID))
	}
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	const crowd = 32
	for range crowd {
		go func() { gone <- turns.Take(ctx, e.tenant.ID) }()
	}
	until(t, "all wait", func() bool { // asking for a turn would take the room of one
		_, full := turns.Queue(e.tenant.ID)
		return full
	})
	const kept = 20 * time.Millisecond
	e.api.RefuseAfter(kept)
	began := time.Now()
	if a := e.send(e.root, http.MethodPost, "core/users/", long); a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("a long body that nobody has time for: %d, Retry-After %q", a.status, a.header.Get("Retry-After"))
	}
	if took := time.Since(began); took < kept {
		t.Errorf("it was refused after %s: it asks again at once", took)
	}
	for path, want := range map[string]int{"core/users/?page_size=101": http.StatusServiceUnavailable, "core/users/": http.StatusForbidden} {
		if got := e.send("", http.MethodGet, path, nil).status; got != want {
			t.Errorf("%s of somebody who was not asked for: %d, want %d", path, got, want)
		}
	}
	if got := ask(http.MethodGet, "core/users/?page_size=101", nil); got != http.StatusServiceUnavailable {
		t.Errorf("a long list that nobody has time for: %d", got)
	}
	if got := ask(http.MethodGet, "core/users/?page_size=100", nil); got != http.StatusOK {
		t.Errorf("control: a short list: %d", got)
	}
	if got := ask(http.MethodPost, "core/users/", map[string]any{"username": "short", "name": "Short"}); got != http.StatusCreated {
		t.Errorf("control: a short body: %d", got)
	}
	cancel()
	for range crowd {
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("one of the crowd: %v", err)
		}
	}
	for range places {
		turns.Leave(e.tenant.ID)
	}
	for range 2 * places { // one that kept its turn would have none left
		if got := ask(http.MethodPost, "core/users/", long); got != http.StatusBadRequest {
			t.Errorf("a long body, too long for a name: %d", got)
		}
		if got := ask(http.MethodGet, "core/users/?page_size=500", nil); got != http.StatusOK {
			t.Errorf("a long list: %d", got)
		}
	}
	if got := ask(http.MethodPatch, "core/users/"+itoa(e.plainPK)+"/", map[string]any{"attributes": map[string]any{"long": strings.Repeat("x", 20_000)}}); got != http.StatusOK {
		t.Errorf("a long body that is right: %d", got)
	}
}

// until waits for what other goroutines are about to do.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for began := time.Now(); !holds(); time.Sleep(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("for a minute not: %s", what)
		}
	}
}

// While more of a tenant wait, each long request rests for as long as it took, with its place: half of the places' time
// is left to what is short, and to the database.
func TestLongRequestsRest(t *testing.T) {
	e := open(t)
	turns, id := e.api.Turns(), e.tenant.ID
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for range max(1, runtime.GOMAXPROCS(0)/2) - 1 {
		if err := turns.Take(t.Context(), "t_another"); err != nil {
			t.Fatal(err)
		}
	}
	const long = 30 * time.Millisecond
	var ended time.Time
	got := make(chan error)
	err := e.api.Long(r, id, func() {
		go func() { got <- turns.Take(t.Context(), id) }()
		until(t, "the next one waits", func() bool {
			n, _ := turns.Queue(id)
			return n > 0
		})
		time.Sleep(long) // it is what takes long
		ended = time.Now()
	})
	if err = errors.Join(err, <-got); err != nil {
		t.Fatal(err)
	}
	if rest := time.Since(ended); rest < long {
		t.Errorf("the next one had its turn after %s", rest)
	}
	turns.Leave(id)

	if err := e.api.Long(r, id, func() { time.Sleep(long) }); err != nil {
		t.Fatal(err)
	}
	over, end := context.WithCancel(t.Context())
	end()
	if err := turns.Take(over, id); err != nil { // there is a place, or this would wait
		t.Errorf("control: nobody waited, and the place is kept: %v", err)
	}
}
