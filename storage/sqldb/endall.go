package sqldb

import (
	"context"
	"time"

	"github.com/postern-sso/postern/core"
)

// EndAll ends all that would have ended by itself one day, whenever it was made: logins, grants with
// their codes and refresh tokens, consents, links, requests under way, the
// counters of failures, and those API tokens that had expired by mark. It is for a clock that cannot be
// believed. What happened stays in the audit log.
func (db *DB) EndAll(ctx context.Context, t core.TenantID, mark time.Time) error {
	if _, err := db.end(ctx, t, `1 = 1`); err != nil {
		return err
	}
	err := db.sweep(ctx, t, directory, []sweep{
		{"grants", "id", "expires > $1", 0},
		{"consents", "user_id, client_id", "expires > $1", 0},
		{"links", "hash", "expires > $1", 0},
	})
	if err != nil {
		return err
	}
	if err := db.expireTokens(ctx, t, mark); err != nil {
		return err
	}
	return db.sweep(ctx, t, sessions, []sweep{
		{"attempts", "name", "expires > $1", 0},
		{"auth_requests", "id", "expires > $1", 0},
	})
}
