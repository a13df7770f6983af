package session_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/session"
)

func TestLifetimeAndIdle(t *testing.T) {
	const day = 24 * time.Hour
	for _, tt := range []struct {
		name           string
		lifetime, idle time.Duration
		steps          []time.Duration // the session is used after each but the last
		alive          bool
	}{
		{"defaults: used within two weeks", 0, 0, []time.Duration{13 * day, 13 * day}, true},
		{"defaults: rested for two weeks", 0, 0, []time.Duration{14 * day}, false},
		{"defaults: thirty days of daily use", 0, 0, []time.Duration{10 * day, 10 * day, 10 * day}, false},
		{"defaults: just before thirty days", 0, 0, []time.Duration{10 * day, 10 * day, 10*day - time.Second}, true},
		{"no idle limit", 60 * day, -1, []time.Duration{59 * day}, true},
		{"short idle", 0, time.Hour, []time.Duration{59 * time.Minute, 59 * time.Minute}, true},
		{"short idle, over", 0, time.Hour, []time.Duration{59 * time.Minute, time.Hour}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, s, c := setup(t)
			m.Lifetime, m.Idle = tt.lifetime, tt.idle
			_, cookie := login(t, m, request(tenantA, "http"), "u1")
			r := request(tenantA, "http", cookie)
			for _, d := range tt.steps[:len(tt.steps)-1] {
				c.add(d)
				if _, err := m.Current(r); err != nil {
					t.Fatalf("over too early: %v", err)
				}
			}
			c.add(tt.steps[len(tt.steps)-1])
			_, err := m.Current(r)
			if alive := err == nil; alive != tt.alive {
				t.Fatalf("alive is %v: %v", alive, err)
			}
			if tt.alive {
				return
			}
			// A clock that jumps back revives nothing.
			c.add(-20 * day)
			if _, err := m.Current(r); !errors.Is(err, core.ErrNotFound) || len(s.rows[tenantA]) != 0 {
				t.Fatalf("revived: %v, %d rows", err, len(s.rows[tenantA]))
			}
		})
	}
}

func TestTouchesAreFewAndBatched(t *testing.T) {
	m, s, c := setup(t)
	_, c1 := login(t, m, request(tenantA, "http"), "u1")
	_, c2 := login(t, m, request(tenantA, "http"), "u2")
	for range 100 { // 50 s
		c.add(500 * time.Millisecond)
		_, _ = m.Current(request(tenantA, "http", c1))
	}
	if n := m.TouchesWaiting(); n != 0 {
		t.Fatalf("%d notes in the first minute", n)
	}
	c.add(10 * time.Second)
	for range 50 {
		_, _ = m.Current(request(tenantA, "http", c1))
		_, _ = m.Current(request(tenantA, "http", c2))
	}
	if n := m.TouchesWaiting(); n != 2 {
		t.Fatalf("%d notes", n)
	}
	m.Flush(t.Context())
	if n := s.calls["TouchSessions"]; n != 1 {
		t.Fatalf("%d writes for two sessions", n)
	}
	for _, row := range s.rows[tenantA] {
		if !row.LastSeen.Equal(c.now()) {
			t.Errorf("%s was last seen %s", row.ID, row.LastSeen)
		}
	}
	// Close writes what waits, and a request that comes after it is answered.
	c.add(2 * time.Minute)
	_, _ = m.Current(request(tenantA, "http", c1))
	m.Close()
	if n := s.calls["TouchSessions"]; n != 2 {
		t.Fatalf("%d writes after Close", n)
	}
	c.add(2 * time.Minute)
	if _, err := m.Current(request(tenantA, "http", c1)); err != nil || m.TouchesWaiting() != 0 {
		t.Fatal(err, m.TouchesWaiting())
	}
}

// A store that does not take touches harms no request, and what is noted does
// not pile up.
func TestTouchOutage(t *testing.T) {
	m, s, c := setup(t)
	_, cookie := login(t, m, request(tenantA, "http"), "u1")
	s.fail["TouchSessions"] = errors.New("disk full")
	for range 5 {
		c.add(2 * time.Minute)
		if _, err := m.Current(request(tenantA, "http", cookie)); err != nil {
			t.Fatal(err)
		}
		m.Flush(t.Context())
	}
	if m.TouchesWaiting() != 0 {
		t.Fatal("notes pile up")
	}
}

func TestChildIsBoundToItsApplicationAndParent(t *testing.T) {
	m, s, c := setup(t)
	parent, cookie := login(t, m, request(tenantA, "http"), "u1")
	child, key, err := m.StartChild(t.Context(), tenantA, parent.ID, "app")
	if err != nil {
		t.Fatal(err)
	}
	if child.ID == parent.ID || child.Parent != parent.ID || child.User != "u1" || !child.Expires.Equal(parent.Expires) || !child.AuthTime.Equal(parent.AuthTime) {
		t.Fatalf("%+v", child)
	}
	notFound := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, core.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := m.Child(t.Context(), tenantA, key, "app"); err != nil {
		t.Fatalf("control: %v", err)
	}
	_, err = m.Child(t.Context(), tenantA, key, "other")
	notFound("another application", err)
	_, err = m.Child(t.Context(), tenantA, key, "")
	notFound("no application", err)
	_, err = m.Child(t.Context(), tenantB, key, "app")
	notFound("another tenant", err)
	_, err = m.Child(t.Context(), tenantA, cookie.Value, "app")
	notFound("the login's key as a child's", err)
	asLogin := *cookie
	asLogin.Value = key
	_, err = m.Current(request(tenantA, "http", &asLogin))
	notFound("a child's key as a login", err)
	if _, _, err := m.StartChild(t.Context(), tenantA, child.ID, "app"); err == nil {
		t.Error("a child of a child")
	}
	_, _, err = m.StartChild(t.Context(), tenantA, "absent", "app")
	notFound("a child of nobody", err)

	// Using the child keeps the login from resting.
	m.Idle = session.DefaultIdle
	for range 3 {
		c.add(10 * 24 * time.Hour)
		_, err = m.Child(t.Context(), tenantA, key, "app")
	}
	notFound("past the absolute end", err)
	if len(s.rows[tenantA]) != 0 {
		t.Errorf("%d rows are left", len(s.rows[tenantA]))
	}
}

// A child whose parent is gone from the store is not let in, even if its own row
// was left behind.
func TestOrphanIsRefused(t *testing.T) {
	m, s, _ := setup(t)
	parent, _ := login(t, m, request(tenantA, "http"), "u1")
	_, key, err := m.StartChild(t.Context(), tenantA, parent.ID, "app")
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.drop(tenantA, func(row core.Session) bool { return row.ID == parent.ID })
	s.mu.Unlock()
	if _, err := m.Child(t.Context(), tenantA, key, "app"); err != nil {
		t.Fatalf("control: both in memory: %v", err)
	}
	m.DropUser(tenantA, "u1")
	if _, err := m.Child(t.Context(), tenantA, key, "app"); !errors.Is(err, core.ErrNotFound) {
		t.Fatalf("an orphan: %v", err)
	}
}

func BenchmarkCurrentInMemory(b *testing.B) {
	m, _, _ := setup(b)
	_, cookie := login(b, m, request(tenantA, "http"), "u1")
	r := request(tenantA, "http", cookie)
	for b.Loop() {
		if _, err := m.Current(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChildInMemory(b *testing.B) {
	m, _, _ := setup(b)
	parent, _ := login(b, m, request(tenantA, "http"), "u1")
	_, key, err := m.StartChild(b.Context(), tenantA, parent.ID, "app")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.Child(b.Context(), tenantA, key, "app"); err != nil {
			b.Fatal(err)
		}
	}
}

// A guarded login that ends while it is looked for is not remembered as what was found a moment ago.
func TestLogoutWinsOverAChildFoundMeanwhile(t *testing.T) {
	m, s, _ := setup(t)
	parent, _ := login(t, m, request(tenantA, "http"), "u1")
	row, key, err := m.StartChild(t.Context(), tenantA, parent.ID, "app")
	if err != nil {
		t.Fatal(err)
	}
	m.DropAll(tenantA)
	var once sync.Once
	s.found = func() { // it was read, and is not in memory yet
		once.Do(func() {
			if err := m.EndSession(t.Context(), tenantA, row.ID); err != nil {
				t.Error(err)
			}
		})
	}
	_, _ = m.Child(t.Context(), tenantA, key, "app") // may still see it: it began before the logout
	if _, err := m.Child(t.Context(), tenantA, key, "app"); !errors.Is(err, core.ErrNotFound) {
		t.Fatalf("it was brought back: %v", err)
	}
}
