package sqldb

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/postern-sso/postern/core"
)

const sessionColumns = `s.id, s.user_id, s.auth_time, s.factors, s.acr, s.parent_id, s.application_id, s.address, s.user_agent,
	s.created, s.last_seen, s.expires, s.idle`

// scanSession reads sessionColumns, and what comes after them into the rest.
func scanSession(r scanner, after ...any) (*core.Session, error) {
	var s core.Session
	var factors string
	var auth, created, seen, expires, idle int64
	err := r.Scan(append([]any{&s.ID, &s.User, &auth, &factors, &s.ACR, &s.Parent, &s.Application, &s.Address, &s.UserAgent, &created, &seen, &expires, &idle}, after...)...)
	if err != nil {
		return nil, err
	}
	s.AuthTime, s.Created, s.LastSeen, s.Expires = fromMicros(auth), fromMicros(created), fromMicros(seen), fromMicros(expires)
	s.Idle = time.Duration(idle) * time.Microsecond
	return &s, fromJSON(factors, &s.Factors)
}

func (db *DB) oneSession(ctx context.Context, t core.TenantID, where string, arg any) (s *core.Session, err error) {
	err = db.read(ctx, t, sessions, "read session", func(q *conn) error {
		s, err = scanSession(q.row(ctx, `SELECT `+sessionColumns+` FROM sessions s WHERE `+where+` AND s.ended = 0 AND s.expires > $2`,
			arg, micros(db.now())))
		return err
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// FindSession finds a session by the hash of its cookie's key. Absent, ended or
// past its absolute expiry: core.ErrNotFound.
func (db *DB) FindSession(ctx context.Context, t core.TenantID, key [32]byte) (*core.Session, error) {
	return db.oneSession(ctx, t, `s.key_hash = $1`, key)
}

// SessionByID finds a session by its public ID.
func (db *DB) SessionByID(ctx context.Context, t core.TenantID, id core.SessionID) (*core.Session, error) {
	return db.oneSession(ctx, t, `s.id = $1`, id)
}

// maxUserAgent bounds what is kept of the browser's name, in bytes.
const maxUserAgent = 256

// SaveSession keeps a session under a key, or replaces the one of its ID. One
// that has ended is not revived, and a child of an ended parent, or a session of a
// user that is gone, is not kept: core.ErrNotFound. A user that is not active is
// core.ErrDenied.
func (db *DB) SaveSession(ctx context.Context, t core.TenantID, key [32]byte, s *core.Session) error {
	list := s.Factors
	if list == nil {
		list = []core.Factor{}
	}
	factors, err := json.Marshal(list)
	if err != nil {
		return fmt.Errorf("save session: %w", err)
	}
	err = db.write(ctx, t, sessions, "save session", func(x *tx) error {
		if s.Parent != "" {
			var one int
			err := x.row(ctx, `SELECT 1 FROM sessions WHERE id = $1 AND ended = 0 AND expires > $2`+db.engine.forUpdate(),
				s.Parent, micros(db.now())).Scan(&one)
			if err != nil {
				return err
			}
		}
		err := x.must(ctx, `INSERT INTO sessions (id, key_hash, user_id, auth_time, factors, acr, parent_id, application_id, address, user_agent,
				created, last_seen, expires, idle, ended)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, 0)
			ON CONFLICT (id) DO UPDATE SET key_hash = excluded.key_hash, auth_time = excluded.auth_time, factors = excluded.factors,
				acr = excluded.acr, address = excluded.address, user_agent = excluded.user_agent, last_seen = excluded.last_seen,
				expires = excluded.expires, idle = excluded.idle
			WHERE sessions.ended = 0 AND sessions.user_id = excluded.user_id AND sessions.parent_id = excluded.parent_id
				AND sessions.application_id = excluded.application_id`,
			s.ID, key, s.User, micros(s.AuthTime), string(factors), s.ACR, s.Parent, s.Application, cut(s.Address, maxUserAgent),
			cut(s.UserAgent, maxUserAgent), micros(s.Created), micros(s.LastSeen), micros(s.Expires), s.Idle.Microseconds())
		return x.taken(err)
	})
	if err != nil {
		return err
	}
	// Asked after the session was written: a deactivation commits first and then
	// deletes sessions, so either it meets this one or this meets it.
	var active bool
	err = db.read(ctx, t, directory, "save session", func(q *conn) error {
		return q.row(ctx, `SELECT active FROM users WHERE id = $1`, s.User).Scan(&active)
	})
	if err == nil && active {
		return nil
	}
	if err == nil {
		err = fmt.Errorf("save session: %w", core.ErrDenied)
	}
	if _, derr := db.DeleteSession(context.WithoutCancel(ctx), t, s.ID); derr != nil {
		err = fmt.Errorf("%w, and the session was not ended: %w", err, derr)
	}
	return err
}

// TouchSessions writes when each was last seen. An earlier time never replaces
// a later one, and one that had rested too long by then is not revived.
func (db *DB) TouchSessions(ctx context.Context, t core.TenantID, seen map[core.SessionID]time.Time) error {
	if len(seen) == 0 {
		return nil
	}
	return db.write(ctx, t, sessions, "touch sessions", func(x *tx) error {
		for id, at := range seen {
			err := x.exec(ctx, `UPDATE sessions SET last_seen = $2 WHERE id = $1 AND last_seen < $2 AND ended = 0
				AND (idle = 0 OR last_seen + idle > $2)`, id, micros(at))
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteSession ends a session and its children.
func (db *DB) DeleteSession(ctx context.Context, t core.TenantID, id core.SessionID) ([]core.SessionID, error) {
	return db.end(ctx, t, `id = $1 OR parent_id = $1`, id)
}

// DeleteUserSessions ends all of a user's sessions but keep and its children.
func (db *DB) DeleteUserSessions(ctx context.Context, t core.TenantID, u core.UserID, keep core.SessionID) ([]core.SessionID, error) {
	if keep == "" {
		return db.end(ctx, t, `user_id = $1`, u)
	}
	return db.end(ctx, t, `user_id = $1 AND id <> $2 AND parent_id <> $2`, u, keep)
}

// end ends the sessions that a condition finds, for good, and tells it in the outbox:
// in one transaction, where both are in one database. Else they end first: whoever
// reads the line and looks again finds none.
func (db *DB) end(ctx context.Context, t core.TenantID, where string, args ...any) (ids []core.SessionID, err error) {
	err = db.write(ctx, t, sessions, "end sessions", func(x *tx) error {
		ids, err = x.endRows(ctx, where, args...)
		if err == nil && db.engine.joined() {
			x.endedSessions(ids)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 || db.engine.joined() {
		return ids, nil
	}
	return ids, db.write(ctx, t, directory, "tell of ended sessions", func(x *tx) error {
		x.endedSessions(ids)
		return nil
	})
}

func (x *tx) endedSessions(ids []core.SessionID) {
	for _, id := range ids {
		x.changed("session", string(id), "delete")
	}
}

// endRows marks sessions ended. The row stays for a while, without what it told
// of the person.
func (x *tx) endRows(ctx context.Context, where string, args ...any) (ids []core.SessionID, err error) {
	args = append(args, max(1, micros(x.db.now())))
	at := fmt.Sprintf("$%d", len(args))
	err = x.each(ctx, func(s scanner) error {
		var id core.SessionID
		err := s.Scan(&id)
		ids = append(ids, id)
		return err
	}, `UPDATE sessions SET ended = `+at+`, address = '', user_agent = '' WHERE ended = 0 AND (`+where+`) RETURNING id`, args...)
	return ids, err
}

// endSessions ends a user's sessions in the transaction that takes the user's
// right to them. Where they are in a file of their own they end just before it
// commits: should it not, people log in again.
func (x *tx) endSessions(ctx context.Context, u core.UserID) (err error) {
	var ids []core.SessionID
	if x.db.engine.joined() {
		ids, err = x.endRows(ctx, `user_id = $1`, u)
	} else {
		err = x.db.rawWrite(ctx, x.tenant, sessions, "end sessions", func(y *tx) (err error) {
			ids, err = y.endRows(ctx, `user_id = $1`, u)
			return err
		})
	}
	x.endedSessions(ids)
	return err
}

// UserSessions lists a user's live logins, newest first, without children.
func (db *DB) UserSessions(ctx context.Context, t core.TenantID, u core.UserID) (out []core.Session, err error) {
	now := db.now()
	err = db.read(ctx, t, sessions, "list sessions", func(q *conn) error {
		out = nil
		return q.each(ctx, func(r scanner) error {
			s, err := scanSession(r)
			if err == nil && s.Alive(now) {
				out = append(out, *s)
			}
			return err
		}, `SELECT `+sessionColumns+` FROM sessions s WHERE s.user_id = $1 AND s.parent_id = '' AND s.ended = 0 AND s.expires > $2
			ORDER BY s.created DESC, s.id DESC LIMIT 1000`, u, micros(now))
	})
	return out, err
}

// DeleteExpiredSessions removes what ended before now.
func (db *DB) DeleteExpiredSessions(ctx context.Context, t core.TenantID, now time.Time) error {
	return db.sweep(ctx, t, sessions, expiredSessions(now))
}

// endedKept is how long an ended session's row stays, so that a request that was
// under way when it ended cannot save it anew.
const endedKept = time.Hour

func expiredSessions(now time.Time) []sweep {
	orphan := strings.Join(strings.Fields(`parent_id <> '' AND ended = 0 AND
		NOT EXISTS (SELECT 1 FROM sessions p WHERE p.id = sessions.parent_id)`), " ")
	return []sweep{
		{"sessions", "id", "expires <= $1", micros(now)},
		{"sessions", "id", "idle > 0 AND last_seen + idle <= $1", micros(now)},
		{"sessions", "id", "ended <> 0 AND ended <= $1", micros(now.Add(-endedKept))},
		{"sessions", "id", orphan + " AND created <= $1", micros(now)},
	}
}
