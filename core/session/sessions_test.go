package session_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/session"
)

// the cookie's attributes, for both schemes.
func TestCookieAttributes(t *testing.T) {
	for scheme, name := range map[string]string{"http": "authentik_session", "https": "__Host-authentik_session"} {
		m, _, _ := setup(t)
		_, c := login(t, m, request(tenantA, scheme), "u1")
		if c.Name != name || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Secure != (scheme == "https") {
			t.Errorf("%s: %s", scheme, c)
		}
		if c.MaxAge != 0 || !c.Expires.IsZero() {
			t.Errorf("%s: the cookie outlives the browser: %s", scheme, c)
		}
		if _, err := m.Current(request(tenantA, scheme, c)); err != nil {
			t.Errorf("%s: %v", scheme, err)
		}
	}
}

// O-26: what a browser brings to a login is never what it leaves with.
func TestLoginChangesKeyAndID(t *testing.T) {
	m, s, _ := setup(t)
	planted := &http.Cookie{Name: session.CookieName("http"), Value: core.RandomToken(32)}
	first, c1 := login(t, m, request(tenantA, "http", planted), "u1")
	if c1.Value == planted.Value {
		t.Fatal("a planted key was taken over")
	}
	second, c2 := login(t, m, request(tenantA, "http", c1), "u1")
	if second.ID == first.ID || c2.Value == c1.Value {
		t.Fatal("a second login kept the ID or the key")
	}
	// The control: the old key worked until then, so what follows can fail.
	if _, err := m.Current(request(tenantA, "http", c2)); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Current(request(tenantA, "http", c1)); !errors.Is(err, core.ErrNotFound) {
		t.Fatalf("the old login of this browser lives on: %v", err)
	}
	if len(s.rows[tenantA]) != 1 {
		t.Fatalf("%d rows are left", len(s.rows[tenantA]))
	}
}

// F-11: whatever is not the key of a live login is anonymous, and what cannot
// be one does not reach the store.
func TestGarbageCookiesAreAnonymous(t *testing.T) {
	m, s, _ := setup(t)
	_, good := login(t, m, request(tenantA, "http"), "u1")
	name := good.Name
	if _, err := m.Current(request(tenantA, "http", good)); err != nil {
		t.Fatalf("control: %v", err)
	}
	before := s.total()
	for what, value := range map[string]string{
		"empty":          "",
		"one byte":       "a",
		"equals sign":    "=",
		"truncated":      good.Value[:42],
		"longer":         good.Value + "A",
		"padded":         good.Value + "=",
		"not base64":     strings.Repeat("!", 43),
		"std alphabet":   strings.Repeat("/", 43),
		"loose last bit": good.Value[:42] + "B",
		"100 KB":         strings.Repeat("A", 100<<10),
		"white space":    " " + good.Value[1:],
	} {
		r := request(tenantA, "http")
		r.Header.Set("Cookie", name+"="+value)
		if _, err := m.Current(r); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, n := range []int{2, 200} {
		r := request(tenantA, "http")
		r.Header.Set("Cookie", strings.Repeat(name+"="+good.Value+"; ", n))
		if _, err := m.Current(r); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("%d cookies of the name: %v", n, err)
		}
	}
	if s.total() != before {
		t.Error("garbage reached the store")
	}
	// A key that could be one, and is not; asked twice, for nothing is remembered.
	for range 2 {
		unknown := &http.Cookie{Name: name, Value: core.RandomToken(32)}
		if _, err := m.Current(request(tenantA, "http", unknown)); !errors.Is(err, core.ErrNotFound) {
			t.Error(err)
		}
	}
	// Over https the cookie without the prefix is not read.
	if _, err := m.Current(request(tenantA, "https", good)); !errors.Is(err, core.ErrNotFound) {
		t.Error("the http cookie was taken over https")
	}
}

// F-12: that the store cannot be asked is an error of its own, not an answer.
func TestStoreOutageIsNotAnonymous(t *testing.T) {
	m, s, _ := setup(t)
	_, c := login(t, m, request(tenantA, "http"), "u1")
	fresh := &session.Sessions{Store: s, Now: s.now} // nothing in memory
	s.fail["FindSession"] = errors.New("disk on fire")
	if _, err := fresh.Current(request(tenantA, "http", c)); err == nil || errors.Is(err, core.ErrNotFound) {
		t.Fatalf("got %v", err)
	}
}

// a session of one tenant is nothing at another.
func TestSessionStaysInItsTenant(t *testing.T) {
	m, _, _ := setup(t)
	s, c := login(t, m, request(tenantA, "http"), "u1")
	for range 2 {
		if _, err := m.Current(request(tenantB, "http", c)); !errors.Is(err, core.ErrNotFound) {
			t.Fatalf("got %v", err)
		}
		if _, err := m.Current(request(tenantA, "http", c)); err != nil {
			t.Fatalf("control: %v", err)
		}
	}
	if _, err := m.SessionByID(t.Context(), tenantB, s.ID); !errors.Is(err, core.ErrNotFound) {
		t.Fatalf("by ID: %v", err)
	}
	if err := m.EndSession(t.Context(), tenantB, s.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Current(request(tenantA, "http", c)); err != nil {
		t.Fatalf("another tenant ended it: %v", err)
	}
}

func TestHotSessionAsksNoStore(t *testing.T) {
	m, s, c := setup(t)
	parent, cookie := login(t, m, request(tenantA, "http"), "u1")
	_, key, err := m.StartChild(t.Context(), tenantA, parent.ID, "app")
	if err != nil {
		t.Fatal(err)
	}
	r := request(tenantA, "http", cookie)
	before := s.total()
	for range 100 {
		c.add(time.Second) // touches are noted meanwhile, not written by a reader
		if _, err := m.Current(r); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Child(t.Context(), tenantA, key, "app"); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.total() - before; n != 0 {
		t.Fatalf("%d calls of the store", n)
	}
	// The control: one with nothing in memory asks, and asks once.
	cold := &session.Sessions{Store: s, Now: c.now}
	for range 10 {
		if _, err := cold.Current(r); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.calls["FindSession"]; n != 1 {
		t.Fatalf("with a cold memory it asked %d times", n)
	}
	cold.Close()
}

func TestLogoutIsAtOnce(t *testing.T) {
	ends := map[string]func(*session.Sessions, *core.Session, *http.Cookie) error{
		"End": func(m *session.Sessions, _ *core.Session, c *http.Cookie) error {
			return m.End(httptest.NewRecorder(), request(tenantA, "http", c))
		},
		"EndSession": func(m *session.Sessions, s *core.Session, _ *http.Cookie) error {
			return m.EndSession(context.Background(), tenantA, s.ID)
		},
		"EndUser": func(m *session.Sessions, s *core.Session, _ *http.Cookie) error {
			return m.EndUser(context.Background(), tenantA, s.User, "")
		},
	}
	for name, end := range ends {
		m, store, _ := setup(t)
		s, c := login(t, m, request(tenantA, "http"), "u1")
		_, other := login(t, m, request(tenantA, "http"), "u2")
		_, key, err := m.StartChild(t.Context(), tenantA, s.ID, "app")
		if err != nil {
			t.Fatal(err)
		}
		for _, outage := range []bool{true, false} {
			if outage {
				store.fail["DeleteSession"] = errors.New("read-only file system")
				store.fail["DeleteUserSessions"] = store.fail["DeleteSession"]
			} else {
				clear(store.fail)
			}
			err := end(m, s, c)
			if (err != nil) != outage {
				t.Fatalf("%s: %v", name, err)
			}
			_, errLogin := m.Current(request(tenantA, "http", c))
			_, errChild := m.Child(t.Context(), tenantA, key, "app")
			if !outage && (!errors.Is(errLogin, core.ErrNotFound) || !errors.Is(errChild, core.ErrNotFound)) {
				t.Errorf("%s: the login: %v, its child: %v", name, errLogin, errChild)
			}
			if outage && (errLogin != nil || errChild != nil) {
				t.Errorf("%s: what the store still has is refused: %v, %v", name, errLogin, errChild)
			}
		}
		if _, err := m.Current(request(tenantA, "http", other)); err != nil {
			t.Errorf("%s: somebody else's login ended: %v", name, err)
		}
	}
}

func TestEndUserKeeps(t *testing.T) {
	m, _, _ := setup(t)
	keep, c1 := login(t, m, request(tenantA, "http"), "u1")
	_, c2 := login(t, m, request(tenantA, "http"), "u1")
	_, key, err := m.StartChild(t.Context(), tenantA, keep.ID, "app")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.EndUser(t.Context(), tenantA, "u1", keep.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Current(request(tenantA, "http", c1)); err != nil {
		t.Errorf("the kept one ended: %v", err)
	}
	if _, err := m.Child(t.Context(), tenantA, key, "app"); err != nil {
		t.Errorf("its child ended: %v", err)
	}
	if _, err := m.Current(request(tenantA, "http", c2)); !errors.Is(err, core.ErrNotFound) {
		t.Errorf("the other lives: %v", err)
	}
}

// A load that read the row just before a logout deleted it must not bring the
// session back into memory.
func TestLogoutWinsOverALoadUnderWay(t *testing.T) {
	m, s, c := setup(t)
	row, cookie := login(t, m, request(tenantA, "http"), "u1")
	m.Drop(tenantA, row.ID)
	r := request(tenantA, "http", cookie)
	read, ended := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.found = func() {
		once.Do(func() {
			close(read)
			<-ended
		})
	}
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		_, _ = m.Current(r) // may still see it: it began before the logout was done
	}()
	<-read
	if err := m.EndSession(t.Context(), tenantA, row.ID); err != nil {
		t.Fatal(err)
	}
	close(ended)
	<-loaded
	if _, err := m.Current(r); !errors.Is(err, core.ErrNotFound) {
		t.Fatalf("it was brought back: %v", err)
	}
	// The control: without the generation it would have been.
	naive := &session.Sessions{Store: s, Now: c.now}
	naive.AddLate(tenantA, cookie.Value, row)
	if _, err := naive.Current(r); err != nil {
		t.Fatalf("control: %v", err)
	}
}

// Under -race: logins, logouts and requests of all kinds at the same time. What
// was ended stays ended.
func TestConcurrentUse(t *testing.T) {
	m, _, c := setup(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				s, cookie := login(t, m, request(tenantA, "http"), "u1")
				r := request(tenantA, "http", cookie)
				_, key, _ := m.StartChild(t.Context(), tenantA, s.ID, "app")
				var inner sync.WaitGroup
				for range 4 {
					inner.Go(func() {
						_, _ = m.Current(r)
						_, _ = m.Child(t.Context(), tenantA, key, "app")
						c.add(time.Second)
					})
				}
				inner.Go(func() { _ = m.EndSession(t.Context(), tenantA, s.ID) })
				inner.Wait()
				if _, err := m.Current(r); !errors.Is(err, core.ErrNotFound) {
					t.Errorf("an ended login: %v", err)
				}
				if _, err := m.Child(t.Context(), tenantA, key, "app"); !errors.Is(err, core.ErrNotFound) {
					t.Errorf("its child: %v", err)
				}
			}
		})
	}
	wg.Wait()
}

type events struct {
	mu  sync.Mutex
	all []core.Event
}

func (e *events) Record(_ context.Context, _ core.TenantID, ev core.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, ev)
	return nil
}

func TestLogoutIsRecorded(t *testing.T) {
	m, _, _ := setup(t)
	log := &events{}
	m.Events = log
	_, c := login(t, m, request(tenantA, "http"), "u1")
	if err := m.End(httptest.NewRecorder(), request(tenantA, "http", c)); err != nil {
		t.Fatal(err)
	}
	if err := m.EndSession(t.Context(), tenantA, "absent"); err != nil {
		t.Fatal(err)
	}
	if len(log.all) != 1 || log.all[0].Action != core.EventLogout || log.all[0].User != "u1" || log.all[0].Address != "192.0.2.7" {
		t.Fatalf("%+v", log.all)
	}
}

func TestUserAgentIsBoundedAndClean(t *testing.T) {
	m, _, _ := setup(t)
	r := request(tenantA, "http")
	r.Header.Set("User-Agent", "Browser\x1b[31m "+strings.Repeat("é", 300)+"\xff")
	s, _ := login(t, m, r, "u1")
	if len(s.UserAgent) > 256 || strings.ContainsAny(s.UserAgent, "\x1b\ufffd") || !strings.HasPrefix(s.UserAgent, "Browser[31m é") {
		t.Errorf("%q", s.UserAgent)
	}
}

// F-11: no cookie header makes a request somebody, but the one that is.
func FuzzCookie(f *testing.F) {
	m, _, _ := setup(f)
	_, good := login(f, m, request(tenantA, "http"), "u1")
	for _, seed := range []string{"", "=", good.Value, good.Name + "=" + good.Value, good.Name + "=" + good.Value + "; " + good.Name + "=x", "authentik_session"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := request(tenantA, "http")
		r.Header.Set("Cookie", header)
		s, err := m.Current(r)
		if err == nil && (s == nil || !strings.Contains(header, good.Value)) {
			t.Errorf("%q is somebody", header)
		}
		if err != nil && !errors.Is(err, core.ErrNotFound) {
			t.Errorf("%q: %v", header, err)
		}
	})
}
