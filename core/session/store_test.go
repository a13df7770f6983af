package session_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/session"
)

// store is a strict session.Store that counts its calls and can be made to
// fail or to wait.
type store struct {
	mu    sync.Mutex
	now   func() time.Time
	rows  map[core.TenantID]map[[32]byte]core.Session
	calls map[string]int
	fail  map[string]error
	// found is called after FindSession has read its row, before it returns.
	found func()
}

func newStore(now func() time.Time) *store {
	return &store{now: now, rows: map[core.TenantID]map[[32]byte]core.Session{}, calls: map[string]int{}, fail: map[string]error{}}
}

func (s *store) called(name string) error {
	s.calls[name]++
	return s.fail[name]
}

func (s *store) total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		n += c
	}
	return n
}

func (s *store) FindSession(_ context.Context, t core.TenantID, key [32]byte) (*core.Session, error) {
	s.mu.Lock()
	err := s.called("FindSession")
	row, ok := s.rows[t][key]
	found := s.found
	s.mu.Unlock()
	if found != nil {
		found()
	}
	if err != nil {
		return nil, err
	}
	if !ok || !s.now().Before(row.Expires) {
		return nil, fmt.Errorf("find: %w", core.ErrNotFound)
	}
	return &row, nil
}

func (s *store) SessionByID(_ context.Context, t core.TenantID, id core.SessionID) (*core.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.called("SessionByID"); err != nil {
		return nil, err
	}
	for _, row := range s.rows[t] {
		if row.ID == id && s.now().Before(row.Expires) {
			return &row, nil
		}
	}
	return nil, fmt.Errorf("by id: %w", core.ErrNotFound)
}

func (s *store) SaveSession(_ context.Context, t core.TenantID, key [32]byte, row *core.Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.called("SaveSession"); err != nil {
		return err
	}
	if s.rows[t] == nil {
		s.rows[t] = map[[32]byte]core.Session{}
	}
	if _, taken := s.rows[t][key]; taken || row.ID == "" || row.User == "" || row.Expires.IsZero() {
		return fmt.Errorf("save: %w", core.ErrExists)
	}
	s.rows[t][key] = *row
	return nil
}

func (s *store) TouchSessions(_ context.Context, t core.TenantID, seen map[core.SessionID]time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.called("TouchSessions"); err != nil {
		return err
	}
	for key, row := range s.rows[t] {
		if at, ok := seen[row.ID]; ok && at.After(row.LastSeen) {
			row.LastSeen = at
			s.rows[t][key] = row
		}
	}
	return nil
}

func (s *store) drop(t core.TenantID, match func(core.Session) bool) []core.SessionID {
	var ids []core.SessionID
	for key, row := range s.rows[t] {
		if match(row) {
			ids = append(ids, row.ID)
			delete(s.rows[t], key)
		}
	}
	return ids
}

func (s *store) DeleteSession(_ context.Context, t core.TenantID, id core.SessionID) ([]core.SessionID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.called("DeleteSession"); err != nil {
		return nil, err
	}
	return s.drop(t, func(row core.Session) bool { return row.ID == id || row.Parent == id }), nil
}

func (s *store) DeleteUserSessions(_ context.Context, t core.TenantID, u core.UserID, keep core.SessionID) ([]core.SessionID, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.called("DeleteUserSessions"); err != nil {
		return nil, err
	}
	return s.drop(t, func(row core.Session) bool {
		return row.User == u && (keep == "" || row.ID != keep && row.Parent != keep)
	}), nil
}

func (s *store) UserSessions(context.Context, core.TenantID, core.UserID) ([]core.Session, error) {
	panic("not asked for by Sessions")
}

func (s *store) DeleteExpiredSessions(context.Context, core.TenantID, time.Time) error {
	panic("not asked for by Sessions")
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

const (
	tenantA core.TenantID = "public"
	tenantB core.TenantID = "t_b"
)

func setup(tb testing.TB) (*session.Sessions, *store, *clock) {
	tb.Helper()
	c := &clock{t: time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)}
	s := newStore(c.now)
	m := &session.Sessions{Store: s, Now: c.now}
	tb.Cleanup(m.Close)
	return m, s, c
}

// request is what a browser with these cookies sends to a tenant.
func request(t core.TenantID, scheme string, cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for _, c := range cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	return r.WithContext(core.WithRequest(r.Context(), &core.RequestInfo{
		Tenant: &core.Tenant{ID: t}, Scheme: scheme, Host: "auth.test", ClientIP: netip.MustParseAddr("192.0.2.7"), ID: "req",
	}))
}

// login starts a session and returns it with the cookie that the browser got.
func login(tb testing.TB, m *session.Sessions, r *http.Request, user core.UserID) (*core.Session, *http.Cookie) {
	tb.Helper()
	w := httptest.NewRecorder()
	s, err := m.Start(w, r, &core.User{ID: user}, []core.Factor{{Method: "pwd"}})
	if err != nil {
		tb.Fatal(err)
	}
	cookies := w.Result().Cookies()
	if len(cookies) != 1 {
		tb.Fatalf("got %d cookies", len(cookies))
	}
	return s, cookies[0]
}
