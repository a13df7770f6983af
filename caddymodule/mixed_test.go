package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/storagetest"
)

// Ten thousand requests to two tenants at the same time, some of which are given up or end in a panic, never show one what
// is the other's: connections, caches and pools are shared, and what is left behind in one must not be found
// by the next. The panics are those of an application, of bodies and answers while a handler of ours reads and writes,
// and of the clock, which is asked in the middle of transactions; other answers just fail. POSTERN_TEST_MIXED says how
// many requests.
func TestMixedRequests(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { mixed(t, "") })
	t.Run("postgres", func(t *testing.T) { mixed(t, storagetest.StartPostgres(t).Create(t)) })
}

func mixed(t *testing.T, database string) {
	n := 10000
	if text := os.Getenv("POSTERN_TEST_MIXED"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	if testing.Short() {
		n = 300
	}
	clock, machine := new(trap), machineTime
	defer func() { machineTime = machine }()
	machineTime = func() core.Reading { return clock.reading(machine()) }
	w := newTwo(t, func(a *App) { a.settings.database = core.Secret(database) })
	w.answer = func(rw http.ResponseWriter, r *http.Request, name string) {
		fmt.Fprintf(rw, "here is %s, %s of %s\n", r.Header.Get("X-authentik-username"), r.Header.Get("X-authentik-name"), name)
		if r.URL.Query().Has("panic") {
			panic("the application panics")
		}
	}
	type ready struct {
		*side
		browser *http.Client
		access  string
		canary  string
		shown   atomic.Int64
	}
	sides := map[*side]*ready{}
	for _, s := range []*side{w.a, w.b} {
		r := &ready{side: s, canary: "canary-of-" + string(s.id)}
		me := s.api("GET", "core/users/me/", "", http.StatusOK)["user"].(map[string]any)["pk"]
		s.api("PATCH", "core/users/"+mustJSON(me)+"/", mustJSON(map[string]any{"name": r.canary}), http.StatusOK)
		s.api("POST", "core/groups/", mustJSON(map[string]any{"name": r.canary}), http.StatusCreated)
		r.browser = w.browser()
		s.login(r.browser, "http://"+s.host+"/if/user/")
		w.get(r.browser, "http://app."+s.host+"/")
		r.access = s.tokens().Access
		sides[s] = r
	}
	leak := func(s *side, text string) bool {
		other := w.a
		if s == w.a {
			other = w.b
		}
		return strings.Contains(text, sides[other].canary) || strings.Contains(text, other.host)
	}
	// Control: what shows one tenant's is seen as a leak at the other.
	if p := w.get(sides[w.b].browser, "http://app.b.test/"); !leak(w.a, p.body) || leak(w.b, p.body) {
		t.Fatalf("control: %s", p.body)
	}
	// Control: with no wall between a host and another's tenant, the same requests show it.
	wall := requestFor("GET", "http://a.test/api/v3/core/groups/", w.b.token)
	in := &core.RequestInfo{Tenant: w.tenant("t_b"), Scheme: "http", Host: "a.test", ID: "r", URI: wall.URL.Path}
	if text, _ := answerTo(sides[w.a].browser, wall.WithContext(core.WithRequest(t.Context(), in))); !leak(w.a, text) {
		t.Fatalf("control: without a wall, nothing is seen: %s", text)
	}

	kinds := []func(s *ready) *http.Request{
		func(s *ready) *http.Request {
			return requestFor("GET", "http://"+s.host+"/api/v3/core/users/", s.token)
		},
		func(s *ready) *http.Request {
			return requestFor("GET", "http://"+s.host+"/api/v3/core/groups/", s.token)
		},
		func(s *ready) *http.Request {
			return requestFor("GET", "http://"+s.host+"/api/v3/core/users/me/", s.access)
		},
		func(s *ready) *http.Request {
			return requestFor("GET", "http://"+s.host+"/application/o/userinfo/", s.access)
		},
		func(s *ready) *http.Request {
			return requestFor("GET", "http://"+s.host+"/application/o/shared/jwks/", "")
		},
		func(s *ready) *http.Request { return requestFor("GET", "http://"+s.host+"/if/user/", "") },
		func(s *ready) *http.Request { return requestFor("GET", "http://app."+s.host+"/x?y=1", "") },
		func(s *ready) *http.Request { return requestFor("GET", "http://app."+s.host+"/x?panic", "") },
		func(s *ready) *http.Request { return requestFor("GET", s.authorizeURL("shared"), "") },
		func(s *ready) *http.Request {
			r := requestFor("PATCH", "http://"+s.host+"/api/v3/core/applications/shared/", s.token, "{}")
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"meta_`), brokenBody{}))
			return r
		},
		func(s *ready) *http.Request {
			return requestFor("PATCH", "http://"+s.host+"/api/v3/core/applications/shared/", s.token, `{"meta_description":"`+s.canary+`"}`)
		},
	}
	var panics, given, sprung, failed, panicked atomic.Int64
	work := make(chan int)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			for range work {
				s := sides[w.a]
				if rand.IntN(2) == 0 {
					s = sides[w.b]
				}
				r := kinds[rand.IntN(len(kinds))](s)
				ctx, cancel := context.WithCancel(context.Background())
				if rand.IntN(4) == 0 {
					given.Add(1)
					time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, cancel)
				}
				spring := func() bool { return false }
				if rand.IntN(8) == 0 {
					spring = clock.set(1 + rand.IntN(12))
				}
				var torn tornWriter
				if rand.IntN(8) == 0 {
					torn.panics = rand.IntN(2) == 0
					ctx = context.WithValue(ctx, tornKey{}, &torn)
				}
				text, caught := answerTo(s.browser, r.WithContext(ctx))
				cancel()
				if spring() {
					sprung.Add(1)
				}
				if caught {
					panics.Add(1)
				}
				switch {
				case torn.torn && torn.panics:
					panicked.Add(1)
				case torn.torn:
					failed.Add(1)
				}
				if leak(s.side, text) {
					t.Errorf("%s %s shows the other tenant's:\n%s", r.Method, r.URL, text)
				}
				if strings.Contains(text, s.canary) {
					s.shown.Add(1)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	all.Wait()
	for s, r := range sides {
		if int(r.shown.Load()) < n/8 {
			t.Errorf("control: only %d answers of %s showed its own", r.shown.Load(), s.host)
		}
	}
	told := fmt.Sprintf("%d panics, %d of them by the clock and %d by the writer; %d writers failed, %d requests were given up", panics.Load(), sprung.Load(), panicked.Load(), failed.Load(), given.Load())
	t.Log(told)
	if given.Load() == 0 || int(min(sprung.Load(), panicked.Load(), failed.Load())) < n/100 {
		t.Errorf("control: %s", told)
	}
	// And nothing is used up by what panicked: connections, turns and locks.
	for _, s := range []*side{w.a, w.b} {
		for range 40 {
			s.api("PATCH", "core/applications/shared/", `{"meta_description":"afterwards"}`, http.StatusOK)
		}
	}
}

// trap panics in a goroutine that asks for the time, when it asks for the nth time.
type trap struct{ armed sync.Map }

// goroutine is the number of the one that calls, as a trace names it.
func goroutine() string {
	var buf [40]byte
	name, _, _ := strings.Cut(strings.TrimPrefix(string(buf[:runtime.Stack(buf[:], false)]), "goroutine "), " ")
	return name
}

// set lays the trap in this goroutine. What it returns takes it away, and reports whether it sprang.
func (p *trap) set(n int) (sprang func() bool) {
	at, left := goroutine(), n
	p.armed.Store(at, &left)
	return func() bool {
		p.armed.Delete(at)
		return left <= 0
	}
}

func (p *trap) reading(machine core.Reading) core.Reading {
	return func() (time.Time, time.Duration) {
		if left, ok := p.armed.Load(goroutine()); ok {
			if *left.(*int)--; *left.(*int) == 0 {
				panic("the clock panics")
			}
		}
		return machine()
	}
}

// brokenBody is a body that panics while it is read.
type brokenBody struct{}

func (brokenBody) Read([]byte) (int, error) { panic("the body panics") }

func (w *two) tenant(id core.TenantID) *core.Tenant {
	w.t.Helper()
	t, err := w.app.core.tenantByID(w.t.Context(), id)
	if err != nil {
		w.t.Fatal(err)
	}
	return t
}

func requestFor(method, address, token string, body ...string) *http.Request {
	r, err := http.NewRequest(method, address, strings.NewReader(strings.Join(body, "")))
	if err != nil {
		panic(err)
	}
	r.Header.Set("Accept", "text/html")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
		r.Header.Set("Accept", "application/json")
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

// answerTo is status, headers and body of the first answer, without the address that was asked; a panic of the
// handler is caught as a server does.
func answerTo(c *http.Client, r *http.Request) (text string, panicked bool) {
	defer func() {
		if v := recover(); v != nil {
			panicked = true
		}
	}()
	for _, cookie := range c.Jar.Cookies(&url.URL{Scheme: "http", Host: r.URL.Host, Path: "/"}) {
		if r.Header.Get("Authorization") == "" {
			r.AddCookie(cookie)
		}
	}
	res, err := c.Transport.RoundTrip(r)
	if err != nil {
		return "", false
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil && !errors.Is(err, context.Canceled) {
		return err.Error(), false
	}
	return fmt.Sprintf("%d %v\n%s", res.StatusCode, res.Header, body), false
}
