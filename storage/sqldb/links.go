package sqldb

import (
	"context"
	"errors"
	"time"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/core/login"
)

// SaveLink keeps a single-use link by its hash. A user that does not exist is
// core.ErrNotFound.
func (db *DB) SaveLink(ctx context.Context, t core.TenantID, l *login.Link) error {
	return db.write(ctx, t, directory, "save link", func(x *tx) error {
		x.concerns(l.User)
		err := x.exec(ctx, `INSERT INTO links (hash, purpose, user_id, expires, used) VALUES ($1, $2, $3, $4, 0)`,
			l.Hash, l.Purpose, l.User, micros(l.Expires))
		if err != nil && db.engine.reference(err) {
			return core.ErrNotFound
		}
		return x.taken(err)
	})
}

const linkColumns = `hash, purpose, user_id, expires`

func scanLink(s scanner, more ...any) (*login.Link, error) {
	var l login.Link
	var hash []byte
	var expires int64
	if err := s.Scan(append([]any{&hash, &l.Purpose, &l.User, &expires}, more...)...); err != nil {
		return nil, err
	}
	copy(l.Hash[:], hash)
	l.Expires = fromMicros(expires)
	return &l, nil
}

// Link finds a link without using it up. One that was used is core.ErrConsumed,
// one that has expired core.ErrNotFound.
func (db *DB) Link(ctx context.Context, t core.TenantID, hash [32]byte) (l *login.Link, err error) {
	err = db.read(ctx, t, directory, "read link", func(q *conn) error {
		l, err = q.link(ctx, hash, db.now())
		return err
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (c *conn) link(ctx context.Context, hash [32]byte, now time.Time) (*login.Link, error) {
	var used int64
	l, err := scanLink(c.row(ctx, `SELECT `+linkColumns+`, used FROM links WHERE hash = $1`, hash), &used)
	switch {
	case err != nil:
		return nil, err
	case used != 0:
		return nil, core.ErrConsumed
	case !now.Before(l.Expires):
		return nil, core.ErrNotFound
	}
	return l, nil
}

// ConsumeLink uses a link up in one statement. A second call is core.ErrConsumed,
// an expired link core.ErrNotFound.
func (db *DB) ConsumeLink(ctx context.Context, t core.TenantID, hash [32]byte, now time.Time) (l *login.Link, err error) {
	err = db.write(ctx, t, directory, "consume link", func(x *tx) error {
		l, err = scanLink(x.row(ctx, `UPDATE links SET used = $2 WHERE hash = $1 AND used = 0 AND expires > $2 RETURNING `+linkColumns,
			hash, micros(now)))
		if !errors.Is(err, core.ErrNotFound) {
			return err
		}
		if _, err := x.link(ctx, hash, now); err != nil {
			return err
		}
		return core.ErrConsumed // by a call between the two statements
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// SetupClosed reports whether the tenant's set-up is over.
func (db *DB) SetupClosed(ctx context.Context, t core.TenantID) (closed bool, err error) {
	err = db.read(ctx, t, directory, "look whether set-up is closed", func(q *conn) error {
		closed, err = q.found(ctx, `SELECT 1 FROM meta WHERE name = 'set_up'`)
		return err
	})
	return closed, err
}

// CloseSetup ends the tenant's set-up for ever.
func (db *DB) CloseSetup(ctx context.Context, t core.TenantID) error {
	return db.write(ctx, t, directory, "close set-up", func(x *tx) error {
		return x.exec(ctx, `INSERT INTO meta (name, value) VALUES ('set_up', '1') ON CONFLICT (name) DO NOTHING`)
	})
}

// DeleteLinks removes all of a user's links of a purpose.
func (db *DB) DeleteLinks(ctx context.Context, t core.TenantID, u core.UserID, purpose string) error {
	return db.write(ctx, t, directory, "delete links", func(x *tx) error {
		x.concerns(u)
		return x.exec(ctx, `DELETE FROM links WHERE user_id = $1 AND purpose = $2`, u, purpose)
	})
}
