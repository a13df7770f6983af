package sqldb

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/postern-sso/postern/core"
)

// attemptKey is how a counter's key is kept: as its hash, as a part of it may be
// what somebody typed, of any length.
func attemptKey(key string) string {
	h := core.Hash(key)
	return hex.EncodeToString(h[:])
}

// Failures tells how many failures each counter has, and when the newest was.
func (db *DB) Failures(ctx context.Context, t core.TenantID, counters ...core.Counter) (out []core.Failures, err error) {
	err = db.read(ctx, t, sessions, "count failures", func(q *conn) error {
		out = make([]core.Failures, len(counters))
		names, b := make([]string, len(counters)), new(builder)
		for i, c := range counters {
			names[i] = attemptKey(c.Key)
		}
		return q.each(ctx, func(s scanner) error {
			var name string
			var n int
			var newest int64
			if err := s.Scan(&name, &n, &newest); err != nil {
				return err
			}
			i := slices.Index(names, name)
			if newest >= micros(db.now().Add(-counters[i].Window)) {
				out[i] = core.Failures{Count: n, Newest: fromMicros(newest)}
			}
			return nil
		}, `SELECT name, failures, newest FROM attempts WHERE name IN (`+in(b, names)+`)`, b.args...)
	})
	return out, err
}

// errRefused rolls back what is not to be counted.
var errRefused = errors.New("not counted")

// Fail adds one failure to each counter, and returns the new counts where accept agrees.
func (db *DB) Fail(ctx context.Context, t core.TenantID, accept func([]int) bool, counters ...core.Counter) (counts []int, err error) {
	err = db.write(ctx, t, sessions, "count failure", func(x *tx) error {
		counts = make([]int, len(counters))
		now := db.now()
		names, rows, b := make([]string, len(counters)), make([]string, len(counters)), new(builder)
		for i, c := range counters {
			names[i] = attemptKey(c.Key)
			rows[i] = "(" + b.add(names[i]) + ", 1, " + b.add(micros(now)) + ", " + b.add(micros(now.Add(c.Window))) + ")"
		}
		// The window of each is what lies between its newest failure and its end.
		err := x.each(ctx, func(s scanner) error {
			var name string
			var n int
			err := s.Scan(&name, &n)
			counts[max(0, slices.Index(names, name))] = n
			return err
		}, `INSERT INTO attempts (name, failures, newest, expires) VALUES `+strings.Join(rows, ", ")+`
			ON CONFLICT (name) DO UPDATE SET
				failures = CASE WHEN attempts.newest < 2 * excluded.newest - excluded.expires THEN 1 ELSE attempts.failures + 1 END,
				newest = excluded.newest, expires = excluded.expires
			RETURNING name, failures`, b.args...)
		if err != nil {
			return err
		}
		if accept != nil && !accept(counts) {
			return errRefused
		}
		return nil
	})
	if errors.Is(err, errRefused) {
		return nil, nil
	}
	return counts, err
}

// Settle takes one failure back from some counters, and forgets others.
func (db *DB) Settle(ctx context.Context, t core.TenantID, refund, forget []string) error {
	return db.write(ctx, t, sessions, "settle an attempt", func(x *tx) error {
		// In the order of Fail, which has those that many share last: two logins wait for
		// each other in no circle.
		for _, key := range forget {
			if err := x.exec(ctx, `DELETE FROM attempts WHERE name = $1`, attemptKey(key)); err != nil {
				return err
			}
		}
		for _, key := range refund {
			if err := x.exec(ctx, `UPDATE attempts SET failures = failures - 1 WHERE name = $1 AND failures > 0`, attemptKey(key)); err != nil {
				return err
			}
		}
		return nil
	})
}
