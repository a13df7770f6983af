package sqldb

import (
	"context"

	"github.com/postern-sso/postern/core"
)

// Changes returns what changed after seq, oldest first, at most limit lines: the
// directory, and sessions and grants that ended. It is the durable truth that
// caches follow. Lines are kept for a week.
func (db *DB) Changes(ctx context.Context, t core.TenantID, after int64, limit int) ([]core.Change, error) {
	var out []core.Change
	err := db.read(ctx, t, directory, "read changes", func(q *conn) error {
		out = nil
		return q.each(ctx, func(r scanner) error {
			var c core.Change
			if err := r.Scan(&c.Seq, &c.Kind, &c.ID, &c.Op); err != nil {
				return err
			}
			out = append(out, c)
			return nil
		}, `SELECT seq, kind, object_id, op FROM outbox WHERE seq > $1 ORDER BY seq LIMIT $2`, after, limit)
	})
	return out, err
}

// LastChange is the seq of the newest line that Changes could return, now or
// earlier: where a cache that starts empty begins to follow.
func (db *DB) LastChange(ctx context.Context, t core.TenantID) (int64, error) {
	var seq int64
	err := db.read(ctx, t, directory, "read last change", func(q *conn) error {
		return q.row(ctx, `SELECT value FROM counters WHERE name = 'outbox'`).Scan(&seq)
	})
	return seq, err
}

// appendOutbox writes the transaction's lines. The counter's row stays locked
// until commit, so lines become visible in the order of their numbers.
func (x *tx) appendOutbox(ctx context.Context) error {
	x.at = micros(x.db.now())
	for i := range x.changes {
		c := &x.changes[i]
		seq, err := x.next(ctx, "outbox")
		if err != nil {
			return err
		}
		c.Seq = seq
		if err := x.exec(ctx, `INSERT INTO outbox (seq, kind, object_id, op, at) VALUES ($1, $2, $3, $4, $5)`,
			seq, c.Kind, c.ID, c.Op, x.at); err != nil {
			return err
		}
	}
	if len(x.changes) == 0 {
		return nil
	}
	return x.db.engine.announce(x.statement(ctx), x.q, x.tenant)
}
