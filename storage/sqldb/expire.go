package sqldb

import (
	"context"
	"fmt"
	"time"

	"github.com/postern-sso/postern/core"
)

// How long what is over stays.
const (
	// A used code is kept past its expiry, to know its second use (RFC 6749 §4.1.2).
	codeKept   = 24 * time.Hour
	linkKept   = 24 * time.Hour
	answerKept = 5 * time.Minute
	outboxKept = 7 * 24 * time.Hour
)

// sweepBatch bounds one transaction, so that others come in between.
const sweepBatch = 500

// sweep deletes the rows of a table that a condition on $1 finds.
type sweep struct {
	table, key, where string
	before            int64
}

// DeleteExpired removes what is over at now: tokens (see expireTokens), codes, grants, refresh tokens,
// consents, links, authorization requests, sessions, counters of failures, and
// old lines of the outbox and the audit log. It works in small transactions and
// ends early with the context.
func (db *DB) DeleteExpired(ctx context.Context, t core.TenantID, now time.Time) error {
	settings, err := db.Settings(ctx, t)
	if err != nil {
		return err
	}
	err = db.sweep(ctx, t, directory, []sweep{
		{"grants", "id", "expires <= $1", micros(now)},
		{"codes", "hash", "expires <= $1", micros(now.Add(-codeKept))},
		{"refresh_tokens", "hash", "expires <= $1", micros(now)},
		{"consents", "user_id, client_id", "expires <= $1", micros(now)},
		{"links", "hash", "expires <= $1", micros(now.Add(-linkKept))},
		{"outbox", "seq", "at <= $1", micros(now.Add(-outboxKept))},
		{"events", "id", "at <= $1", micros(now.Add(-settings.EventRetention.Or(core.EventRetention)))},
	})
	if err != nil {
		return err
	}
	if err := db.expireTokens(ctx, t, now); err != nil {
		return err
	}
	err = db.write(ctx, t, directory, "delete expired answers", func(x *tx) error {
		return x.exec(ctx, `UPDATE refresh_tokens SET answer = NULL WHERE answer IS NOT NULL AND used <> 0 AND used <= $1`, micros(now.Add(-answerKept)))
	})
	if err != nil {
		return err
	}
	return db.sweep(ctx, t, sessions, append(expiredSessions(now),
		sweep{"attempts", "name", "expires <= $1", micros(now)},
		sweep{"auth_requests", "id", "expires <= $1", micros(now)}))
}

func (db *DB) sweep(ctx context.Context, t core.TenantID, p part, list []sweep) error {
	for _, s := range list {
		query := fmt.Sprintf(`DELETE FROM %s WHERE (%s) IN (SELECT %[2]s FROM %[1]s WHERE %[3]s LIMIT $2)`, s.table, s.key, s.where)
		for {
			var n int64
			err := db.write(ctx, t, p, "delete expired "+s.table, func(x *tx) (err error) {
				n, err = x.count(ctx, query, s.before, sweepBatch)
				return err
			})
			if err != nil {
				return err
			}
			if n < sweepBatch {
				break
			}
		}
	}
	return nil
}
