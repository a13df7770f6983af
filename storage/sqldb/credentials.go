package sqldb

import (
	"context"
	"time"

	"github.com/postern-sso/postern/core"
)

// PasswordHash is "" for a user without a usable password.
func (db *DB) PasswordHash(ctx context.Context, t core.TenantID, u core.UserID) (hash string, err error) {
	err = db.read(ctx, t, directory, "read password hash", func(q *conn) error {
		return q.row(ctx, `SELECT password_hash FROM users WHERE id = $1`, u).Scan(&hash)
	})
	return hash, err
}

// SetPasswordHash sets the hash and PasswordChanged. Links and recovery tokens
// that were made to set a password, and were not used, end with it, and so
// does all that was granted: whoever had the old password may hold refresh
// tokens, which outlive their login.
func (db *DB) SetPasswordHash(ctx context.Context, t core.TenantID, u core.UserID, hash string, at time.Time) error {
	return db.write(ctx, t, directory, "set password", func(x *tx) error {
		err := x.must(ctx, `UPDATE users SET password_hash = $2, password_changed = $3, updated = $4 WHERE id = $1`,
			u, hash, micros(at), micros(db.stamp()))
		if err != nil {
			return err
		}
		x.changed("user", string(u), "update")
		if err := x.exec(ctx, `DELETE FROM links WHERE user_id = $1 AND used = 0`, u); err != nil {
			return err
		}
		if err := x.deleteGrants(ctx, `user_id = $1`, u); err != nil {
			return err
		}
		return x.each(ctx, func(s scanner) error {
			var id string
			err := s.Scan(&id)
			x.changed("token", id, "delete")
			return err
		}, `DELETE FROM tokens WHERE user_id = $1 AND intent = $2 RETURNING id`, u, core.IntentRecovery)
	})
}

// RehashPassword replaces the hash of the same password. Where old is no longer
// stored nothing happens: a password was set meanwhile.
func (db *DB) RehashPassword(ctx context.Context, t core.TenantID, u core.UserID, old, hash string) error {
	return db.write(ctx, t, directory, "rehash password", func(x *tx) error {
		return x.exec(ctx, `UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2`, u, old, hash)
	})
}

// SetLastLogin makes no outbox row. An earlier time never replaces a later one.
func (db *DB) SetLastLogin(ctx context.Context, t core.TenantID, u core.UserID, at time.Time, e *core.Event) error {
	return db.write(ctx, t, directory, "set last login", func(x *tx) error {
		err := x.exec(ctx, `UPDATE users SET last_login = $2 WHERE id = $1 AND last_login < $2`, u, micros(at))
		if err == nil && e != nil {
			err = x.record(ctx, *e)
		}
		return err
	})
}
