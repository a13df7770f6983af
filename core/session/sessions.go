package session

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/postern-sso/postern/core"
)

// The defaults of Sessions.
const (
	DefaultLifetime  = 30 * 24 * time.Hour
	DefaultIdle      = 14 * 24 * time.Hour
	DefaultCacheSize = 1 << 16
)

// ACR is the authentication context class of a login, as authentik names it.
const ACR = "goauthentik.io/providers/oauth2/default"

// Sessions starts, finds and ends sessions. Its fields are set before its first
// use and not changed after it. It must be the only one that a process has for
// a Store: what one ends, another's cache does not hear of unless Drop
// tells it.
type Sessions struct {
	Store Store
	// Events hears of logouts. Nil: nobody does.
	Events core.Events
	// Users gives events the name of who logged out. Nil: they have the ID alone.
	Users core.Users
	Log   *slog.Logger     // nil: slog.Default
	Now   func() time.Time // nil: time.Now
	// Lifetime is the absolute end of a session, counted from its login. The
	// cookie itself ends with the browser. Zero: DefaultLifetime.
	Lifetime time.Duration
	// Idle is how long a session may rest. It is kept to a minute or so, which is how
	// often it is written that a session was seen. Zero: DefaultIdle; negative: no
	// such limit.
	Idle time.Duration
	// CacheSize bounds the sessions held in memory. Zero: DefaultCacheSize.
	CacheSize int

	once    sync.Once
	cache   *remembered
	touches touches
}

func (m *Sessions) init() {
	m.once.Do(func() {
		size := m.CacheSize
		if size <= 0 {
			size = DefaultCacheSize
		}
		m.cache = newCache(size)
	})
}

func (m *Sessions) now() time.Time {
	if m.Now == nil {
		return time.Now()
	}
	return m.Now()
}

func (m *Sessions) log() *slog.Logger {
	if m.Log == nil {
		return slog.Default()
	}
	return m.Log
}

// Start logs user in: the browser gets a new key, and the session a new ID,
// whatever the browser sent; the login that the browser had before ends. The
// session is durable before the cookie is set.
func (m *Sessions) Start(w http.ResponseWriter, r *http.Request, user *core.User, factors []core.Factor) (*core.Session, error) {
	m.init()
	ctx := r.Context()
	info := core.Request(ctx)
	t := info.Tenant.ID
	old, err := m.Current(r)
	if err != nil && !errors.Is(err, core.ErrNotFound) {
		return nil, err
	}
	if old != nil {
		if err := m.end(ctx, t, old.ID); err != nil {
			return nil, err
		}
	}
	now := m.now().UTC().Truncate(time.Microsecond)
	lifetime, idle := m.Lifetime, m.Idle
	if lifetime <= 0 {
		lifetime = DefaultLifetime
	}
	if idle == 0 {
		idle = DefaultIdle
	}
	s := &core.Session{
		ID:        newID(now),
		User:      user.ID,
		AuthTime:  now,
		Factors:   factors,
		ACR:       ACR,
		UserAgent: userAgent(r),
		Created:   now,
		LastSeen:  now,
		Expires:   now.Add(lifetime),
		Idle:      max(idle, 0),
	}
	if info.ClientIP.IsValid() {
		s.Address = info.ClientIP.String()
	}
	key, err := m.save(ctx, t, s)
	if err != nil {
		return nil, fmt.Errorf("save session: %w", err)
	}
	setCookie(w, info.Scheme, key)
	return s, nil
}

// Current returns the login of the browser that sent r. Anything that is not the
// key of a live login of this tenant is core.ErrNotFound: no cookie, garbage,
// two cookies, the key of an application's session. Any other error means that
// the store could not be asked. What is returned is shared: do not change it.
func (m *Sessions) Current(r *http.Request) (*core.Session, error) {
	m.init()
	ctx := r.Context()
	info := core.Request(ctx)
	key, ok := cookieKey(r, info.Scheme)
	if !ok {
		return nil, fmt.Errorf("session cookie: %w", core.ErrNotFound)
	}
	e, err := m.byKey(ctx, info.Tenant.ID, core.Hash(key))
	if err != nil {
		return nil, err
	}
	if s := e.session.Load(); s.Parent != "" || s.Application != "" {
		return nil, fmt.Errorf("session is an application's: %w", core.ErrNotFound)
	}
	return m.use(ctx, info.Tenant.ID, e, m.now())
}

// SessionByID returns a live session, or core.ErrNotFound. It does not count as
// use.
func (m *Sessions) SessionByID(ctx context.Context, t core.TenantID, id core.SessionID) (*core.Session, error) {
	m.init()
	e, err := m.byID(ctx, t, id)
	if err != nil {
		return nil, err
	}
	return m.alive(ctx, t, e, m.now())
}

// End ends the login of the browser that sent r, with its children, and takes
// its cookie. A browser that is not logged in is no error.
func (m *Sessions) End(w http.ResponseWriter, r *http.Request) error {
	info := core.Request(r.Context())
	s, err := m.Current(r)
	switch {
	case errors.Is(err, core.ErrNotFound):
	case err != nil:
		return err
	default:
		if err := m.EndSession(r.Context(), info.Tenant.ID, s.ID); err != nil {
			return err
		}
	}
	clearCookie(w, info.Scheme)
	return nil
}

// EndSession ends a session and its children. Absent is no error.
func (m *Sessions) EndSession(ctx context.Context, t core.TenantID, id core.SessionID) error {
	m.init()
	var user core.UserID
	if e, err := m.byID(ctx, t, id); err == nil && e.session.Load().Parent == "" {
		user = e.session.Load().User
	}
	if err := m.end(ctx, t, id); err != nil {
		return err
	}
	if user != "" {
		m.record(ctx, t, user, "")
	}
	return nil
}

// EndUser ends all sessions of a user but keep and its children. An empty keep
// keeps none.
func (m *Sessions) EndUser(ctx context.Context, t core.TenantID, u core.UserID, keep core.SessionID) error {
	m.init()
	ended, err := m.Store.DeleteUserSessions(ctx, t, u, keep)
	m.cache.drop(t, ended)
	if err != nil {
		// Some may have ended: what the cache holds of this user is in doubt.
		m.cache.dropUser(t, u, keep)
		return fmt.Errorf("end a user's sessions: %w", err)
	}
	if len(ended) > 0 {
		m.record(ctx, t, u, "all sessions ended")
	}
	return nil
}

// Drop forgets what is in memory of sessions that something else changed or
// ended in the store. It is told of changes of kind "session".
func (m *Sessions) Drop(t core.TenantID, ids ...core.SessionID) {
	m.init()
	m.cache.drop(t, ids)
}

// DropUser forgets what is in memory of a user's sessions: told of a user that
// was deleted, and the sessions with them.
func (m *Sessions) DropUser(t core.TenantID, u core.UserID) {
	m.init()
	m.cache.dropUser(t, u, "")
}

// DropAll forgets all that is in memory of a tenant's sessions, where nobody knows
// which of them were changed.
func (m *Sessions) DropAll(t core.TenantID) {
	m.init()
	m.cache.dropAll(t)
}

func (m *Sessions) end(ctx context.Context, t core.TenantID, id core.SessionID) error {
	ended, err := m.Store.DeleteSession(ctx, t, id)
	m.cache.drop(t, append(ended, id))
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

func (m *Sessions) save(ctx context.Context, t core.TenantID, s *core.Session) (key string, err error) {
	key = core.RandomToken(keySize)
	hash := core.Hash(key)
	generation := m.cache.generation()
	if err := m.Store.SaveSession(ctx, t, hash, s); err != nil {
		return "", err
	}
	m.cache.add(generation, t, hash, s)
	return key, nil
}

func (m *Sessions) record(ctx context.Context, t core.TenantID, u core.UserID, message string) {
	if m.Events == nil {
		return
	}
	e := core.Event{Time: m.now(), Action: core.EventLogout, User: u, Message: message}
	if m.Users != nil {
		if user, err := m.Users.User(ctx, t, u); err == nil {
			e.UserName = user.UserName
		}
	}
	if info := core.Request(ctx); info != nil && info.ClientIP.IsValid() {
		e.Address = info.ClientIP.String()
	}
	if err := m.Events.Record(ctx, t, e); err != nil {
		m.log().ErrorContext(ctx, "record event", "tenant", t, "action", e.Action, "error", err)
	}
}

// userAgent is the header without control characters, at most 256 bytes of
// whole characters.
func userAgent(r *http.Request) string {
	s := strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || c == utf8.RuneError {
			return -1
		}
		return c
	}, r.UserAgent())
	const limit = 256
	if len(s) <= limit {
		return s
	}
	n := limit
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
