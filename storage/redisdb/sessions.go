package redisdb

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/keys"
	"github.com/postern-sso/postern/core/session"
)

// copyLife is how long a copy is believed before the database is read again, whatever was heard.
const copyLife = time.Hour

// Durable is the store that decides, and that every write goes to first: sqldb.DB.
type Durable interface {
	session.Store
	Tenant(ctx context.Context, id core.TenantID) (*core.Tenant, error)
	Changes(ctx context.Context, t core.TenantID, after int64, limit int) ([]core.Change, error)
	LastChange(ctx context.Context, t core.TenantID) (int64, error)
}

// Sessions is a session.Store: a durable one with copies in Redis before it. Without Redis,
// or while that is away, it is the durable one alone. Its fields are set before its first use.
type Sessions struct {
	Durable
	Master *keys.Master
	Now    func() time.Time
	Log    *slog.Logger
	Hint   func(t core.TenantID, seq int64) // told what Publish on another node was; nil: nobody listens

	link atomic.Pointer[link]

	// For tests: how long a call may take (zero: callWait), that copies are believed whatever
	// has ended, and that Redis is asked even while it is away.
	wait      time.Duration
	credulous bool
	asks      bool
}

var _ session.Store = (*Sessions)(nil)

// Connect uses the Redis of this URL from now on, in place of the one before; empty: none. It does not
// wait for an answer: a Redis that cannot be reached is asked again until it can. An error
// is a URL or a certificate that cannot be used; then nothing has changed.
func (s *Sessions) Connect(url string) error {
	before := s.link.Load()
	if before != nil && before.url == url || before == nil && url == "" {
		return nil
	}
	var next *link
	if url != "" {
		var err error
		wait := s.wait
		if wait == 0 {
			wait = callWait
		}
		if next, err = newLink(url, wait, s.Log, s.Hint); err != nil {
			return err
		}
		next.asks = s.asks
	}
	if before = s.link.Swap(next); before != nil {
		before.close()
	}
	return nil
}

// Close lets go of Redis.
func (s *Sessions) Close() { _ = s.Connect("") }

// Connected reports whether there is a Redis, and whether it answers.
func (s *Sessions) Connected() (configured, answers bool) {
	l := s.link.Load()
	return l != nil, l != nil && !l.away.Load()
}

// Changed hears of what changed in the database. It must be called before any cache of sessions is
// told, for what that reads again is read from here.
func (s *Sessions) Changed(t core.TenantID, changes []core.Change) {
	l := s.link.Load()
	if l == nil {
		return
	}
	l.mu.Lock()
	g := l.ledgers[t]
	l.mu.Unlock()
	if g != nil && !g.hear(changes, s.Now()) {
		l.drop(t, g)
	}
}

// view is Redis as one call sees it: one tenant's, with what is known of the sessions that ended.
type view struct {
	*link
	*ledger
	s *Sessions
}

// view is nil where Redis is not to be asked.
func (s *Sessions) view(ctx context.Context, t core.TenantID) *view {
	l := s.link.Load()
	if l == nil || l.out() {
		return nil
	}
	tenant, err := s.Tenant(ctx, t)
	if err != nil {
		return nil // the durable store says why
	}
	g := l.ledgerOf(t)
	if err := g.load(ctx, s.Durable, tenant); err != nil {
		return nil
	}
	if g.tenant.UUID != tenant.UUID { // another one of that name
		l.drop(t, g)
		g = l.ledgerOf(t)
		if err := g.load(ctx, s.Durable, tenant); err != nil {
			return nil
		}
	}
	return &view{l, g, s}
}

// FindSession finds a session by the hash of its cookie's key.
func (s *Sessions) FindSession(ctx context.Context, t core.TenantID, key [32]byte) (*core.Session, error) {
	v := s.view(ctx, t)
	if v == nil {
		return s.Durable.FindSession(ctx, t, key)
	}
	if found := v.byKey(ctx, key); found != nil {
		return found, nil
	}
	asOf := v.asOf()
	found, err := s.Durable.FindSession(ctx, t, key)
	if err == nil {
		v.keep(ctx, asOf, key[:], found, false)
	}
	return found, err
}

// SessionByID finds a session by its public ID.
func (s *Sessions) SessionByID(ctx context.Context, t core.TenantID, id core.SessionID) (*core.Session, error) {
	v := s.view(ctx, t)
	if v == nil {
		return s.Durable.SessionByID(ctx, t, id)
	}
	if c := v.read(ctx, id); c != nil {
		return &c.Session, nil
	}
	asOf := v.asOf()
	found, err := s.Durable.SessionByID(ctx, t, id)
	if err == nil {
		v.keep(ctx, asOf, nil, found, false)
	}
	return found, err
}

// SaveSession saves durably, then in Redis. Where Redis is away, a session that is saved again, under
// another key, may be found under the one before for copyLife: to take a key away, end the session.
func (s *Sessions) SaveSession(ctx context.Context, t core.TenantID, key [32]byte, row *core.Session) error {
	v := s.view(ctx, t)
	if v == nil {
		return s.Durable.SaveSession(ctx, t, key, row)
	}
	asOf := v.asOf()
	if err := s.Durable.SaveSession(ctx, t, key, row); err != nil {
		return err
	}
	if c, ok := stored(row); ok {
		v.keep(ctx, asOf, key[:], &c, true)
	} else {
		v.remove(ctx, []core.SessionID{row.ID})
	}
	return nil
}

// DeleteSession ends a session and its children durably, then in Redis. What Redis does not hear of
// is known here all the same, and on other nodes as soon as they read the outbox.
func (s *Sessions) DeleteSession(ctx context.Context, t core.TenantID, id core.SessionID) ([]core.SessionID, error) {
	ids, err := s.Durable.DeleteSession(ctx, t, id)
	// Also where it had ended before: what told Redis then may not have reached it.
	s.forget(ctx, t, append(slices.Clone(ids), id))
	return ids, err
}

// DeleteUserSessions ends a user's durably, then in Redis.
func (s *Sessions) DeleteUserSessions(ctx context.Context, t core.TenantID, u core.UserID, keep core.SessionID) ([]core.SessionID, error) {
	ids, err := s.Durable.DeleteUserSessions(ctx, t, u, keep)
	s.forget(ctx, t, ids)
	return ids, err
}

// DeleteExpiredSessions removes what ended before now. Copies from before then are read anew, so that a
// clock that is set back revives none.
func (s *Sessions) DeleteExpiredSessions(ctx context.Context, t core.TenantID, now time.Time) error {
	if v := s.view(ctx, t); v != nil {
		v.doubt(now)
	}
	return s.Durable.DeleteExpiredSessions(ctx, t, now)
}

func (s *Sessions) forget(ctx context.Context, t core.TenantID, ids []core.SessionID) {
	if len(ids) == 0 {
		return
	}
	if v := s.view(ctx, t); v != nil {
		v.remove(ctx, ids)
	}
}

// byKey asks Redis: nil where the database has to be asked.
func (v *view) byKey(ctx context.Context, key [32]byte) *core.Session {
	var id string
	err := v.do(ctx, func(ctx context.Context) (err error) {
		cmd := redis.NewStringCmd(ctx, "get", indexKey(v.tenant.ID, key))
		err = v.process(ctx, cmd)
		id = cmd.Val()
		return err
	})
	if err != nil {
		return nil
	}
	// The index may be anybody's: the copy itself says whose key it is.
	c := v.read(ctx, core.SessionID(id))
	if c == nil || string(c.Key) != string(key[:]) {
		return nil
	}
	return &c.Session
}

// read returns a copy that can be believed, or nil.
func (v *view) read(ctx context.Context, id core.SessionID) *copied {
	if !plain(id) {
		return nil
	}
	var fields []any
	err := v.do(ctx, func(ctx context.Context) (err error) {
		cmd := redis.NewSliceCmd(ctx, "hmget", sessionKey(v.tenant.ID, id), "copy", "seen")
		err = v.process(ctx, cmd)
		fields = cmd.Val()
		return err
	})
	if err != nil || len(fields) != 2 {
		return nil
	}
	sealed, ok := fields[0].(string)
	if !ok {
		return nil
	}
	c, err := unseal(v.s.Master, v.tenant, id, sealed)
	if err != nil {
		v.tellStrange(err)
		return nil
	}
	now := v.s.Now()
	age := now.Sub(time.UnixMicro(c.At))
	if age >= copyLife || age <= -copyLife || !now.Before(c.Expires) || !v.believes(c) && !v.s.credulous {
		return nil
	}
	if text, ok := fields[1].(string); ok {
		if at := readSeen(v.s.Master, v.tenant, id, text); at.After(c.LastSeen) {
			c.LastSeen = at
		}
	}
	return c
}

// keep copies what the database has. What goes wrong costs another read of the database.
func (v *view) keep(ctx context.Context, asOf int64, key []byte, row *core.Session, anew bool) {
	now := v.s.Now()
	life := min(copyLife, row.Expires.Sub(now))
	if !plain(row.ID) || life < time.Millisecond {
		return
	}
	c := &copied{AsOf: asOf, At: now.UnixMicro(), Key: key, Session: *row}
	sealed, err := c.seal(v.s.Master, v.tenant)
	if err != nil {
		return
	}
	_ = v.do(ctx, func(ctx context.Context) error {
		_, err := v.pipelined(ctx, func(p redis.Pipeliner) error {
			p.Eval(ctx, keepScript, []string{sessionKey(v.tenant.ID, row.ID)}, sealed, step(row.Idle).Microseconds(),
				seenText(v.s.Master, v.tenant, row.ID, row.LastSeen), life.Milliseconds(), anew)
			if key != nil {
				p.Set(ctx, indexKey(v.tenant.ID, [32]byte(key)), string(row.ID), life)
			}
			return nil
		})
		return err
	})
}

// remove takes copies away. None of them would be believed here; it is for the space, and for
// nodes that have not heard yet.
func (v *view) remove(ctx context.Context, ids []core.SessionID) {
	for len(ids) > 0 {
		n := min(len(ids), batch)
		err := v.do(ctx, func(ctx context.Context) error {
			_, err := v.pipelined(ctx, func(p redis.Pipeliner) error {
				for _, id := range ids[:n] {
					p.Del(ctx, sessionKey(v.tenant.ID, id))
				}
				return nil
			})
			return err
		})
		if err != nil {
			return
		}
		ids = ids[n:]
	}
}

// tellStrange logs a value that is not ours, once a minute.
func (l *link) tellStrange(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.strange) < time.Minute {
		return
	}
	l.strange = time.Now()
	l.log.Warn("redis holds a session that was not sealed here: it is passed over. Another master secret, or somebody else who writes there", "error", err)
}

// plain reports whether an ID makes a key of Redis as it is. Ours all do.
func plain(id core.SessionID) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsAny(string(id), "{}")
}
