package sqldb

import (
	"context"
	"time"

	"github.com/postern-sso/postern/core"
)

// takeLease takes what is named for a while, unless another one has it. Each of the three is one
// statement and goes by the database's clock, so nodes need not agree on the time; an end that
// is further away than any that this clock gives was given before it was set back.
func (db *DB) takeLease(ctx context.Context, name, owner string, lease time.Duration) (taken bool, err error) {
	now := db.engine.clock()
	err = db.write(ctx, core.DefaultTenant, sessions, "take a lock of Caddy's", func(x *tx) error {
		n, err := x.count(ctx, `INSERT INTO caddy_locks (name, owner, expires) VALUES ($1, $2, `+now+` + $3)
			ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, expires = excluded.expires
			WHERE caddy_locks.expires <= `+now+` OR caddy_locks.expires > `+now+` + 2 * $3`, name, owner, lease.Microseconds())
		taken = n > 0
		return err
	})
	return taken, err
}

// extendLease begins a lease anew. It reports false where another one has taken it.
func (db *DB) extendLease(ctx context.Context, name, owner string, lease time.Duration) (kept bool, err error) {
	err = db.write(ctx, core.DefaultTenant, sessions, "keep a lock of Caddy's", func(x *tx) error {
		n, err := x.count(ctx, `UPDATE caddy_locks SET expires = `+db.engine.clock()+` + $3 WHERE name = $1 AND owner = $2`, name, owner, lease.Microseconds())
		kept = n > 0
		return err
	})
	return kept, err
}

// endLease gives back what is the owner's. It reports false where it was not.
func (db *DB) endLease(ctx context.Context, name, owner string) (was bool, err error) {
	err = db.write(ctx, core.DefaultTenant, sessions, "give back a lock of Caddy's", func(x *tx) error {
		n, err := x.count(ctx, `DELETE FROM caddy_locks WHERE name = $1 AND owner = $2`, name, owner)
		was = n > 0
		return err
	})
	return was, err
}

// endLeases removes those of a process that has ended, where only one has the directory open.
func (db *DB) endLeases(ctx context.Context) error {
	if db.engine.shared() {
		return nil
	}
	return db.rawWrite(ctx, core.DefaultTenant, sessions, "tidy up locks of Caddy's", func(x *tx) error {
		return x.exec(ctx, `DELETE FROM caddy_locks`)
	})
}
