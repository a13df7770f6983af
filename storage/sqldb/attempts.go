package sqldb

import (
	"context"
	"encoding/hex"
	"errors"
	"time"

	"github.com/postern-sso/postern/core"
)

// attemptKey is how a counter's key is kept: as its hash, as a part of it may be
// what somebody typed, of any length.
func attemptKey(key string) string {
	h := core.Hash(key)
	return hex.EncodeToString(h[:])
}

// Failures counts the failures of a key, and tells when the newest was.
func (db *DB) Failures(ctx context.Context, t core.TenantID, key string, window time.Duration) (n int, newest time.Time, err error) {
	err = db.read(ctx, t, sessions, "count failures", func(q *conn) error {
		var at int64
		err := q.row(ctx, `SELECT failures, newest FROM attempts WHERE name = $1 AND newest >= $2`,
			attemptKey(key), micros(db.now().Add(-window))).Scan(&n, &at)
		if errors.Is(err, core.ErrNotFound) {
			return nil
		}
		newest = fromMicros(at)
		return err
	})
	return n, newest, err
}

// Fail adds one failure in one statement and returns the new count.
func (db *DB) Fail(ctx context.Context, t core.TenantID, key string, window time.Duration) (n int, err error) {
	err = db.write(ctx, t, sessions, "count failure", func(x *tx) error {
		now := db.now()
		return x.row(ctx, `INSERT INTO attempts (name, failures, newest, expires) VALUES ($1, 1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET
				failures = CASE WHEN attempts.newest < $4 THEN 1 ELSE attempts.failures + 1 END,
				newest = excluded.newest, expires = excluded.expires
			RETURNING failures`,
			attemptKey(key), micros(now), micros(now.Add(window)), micros(now.Add(-window))).Scan(&n)
	})
	return n, err
}

// Refund takes one failure back. The count does not go below 0.
func (db *DB) Refund(ctx context.Context, t core.TenantID, key string) error {
	return db.write(ctx, t, sessions, "refund failure", func(x *tx) error {
		return x.exec(ctx, `UPDATE attempts SET failures = failures - 1 WHERE name = $1 AND failures > 0`, attemptKey(key))
	})
}

// Forget sets a counter to none.
func (db *DB) Forget(ctx context.Context, t core.TenantID, key string) error {
	return db.write(ctx, t, sessions, "forget failures", func(x *tx) error {
		return x.exec(ctx, `DELETE FROM attempts WHERE name = $1`, attemptKey(key))
	})
}
