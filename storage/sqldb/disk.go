package sqldb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/postern-sso/postern/core"
)

const (
	// alarmEvery is how often the log is told that the disk goes on refusing writes.
	alarmEvery = time.Minute
	// probeEvery is how often Ping tries a write meanwhile.
	probeEvery = time.Second
)

// disk notes whether the disk takes writes: a full, broken or read-only one refuses them, and reads
// go on.
type disk struct {
	mu     sync.Mutex
	err    error // the last refusal; nil: writes are taken
	since  time.Time
	told   time.Time
	alarm  bool // the log was told of these refusals
	probed time.Time
	count  int
}

// diskRefuses reports whether it was the disk that did not take a write.
func diskRefuses(err error) bool {
	var se *sqlite.Error
	if !errors.As(err, &se) {
		return false
	}
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN:
		return true
	}
	return false
}

// watched is once; a refusal of the disk is core.ErrUnavailable, and the log hears when refusals
// begin, once a minute while they go on, and when they end.
func (db *DB) watched(ctx context.Context, t core.TenantID, p part, f func(*tx) error) ([]core.Change, error) {
	changes, err := db.once(ctx, t, p, f)
	d := &db.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now() // the real clock: it paces the log
	switch {
	case err == nil && d.err != nil:
		if d.alarm {
			db.log.WarnContext(ctx, "the disk takes writes again", "refused", d.count, "for", now.Sub(d.since).Round(time.Second))
		}
		d.err, d.count, d.alarm = nil, 0, false
	case err != nil && diskRefuses(err):
		if d.err == nil {
			d.since = now
		}
		d.err = err
		d.count++
		if now.Sub(d.told) >= alarmEvery {
			d.told, d.alarm = now, true
			db.log.ErrorContext(ctx, "the disk takes no writes: nobody can log in until it does; make room, or mend it", "refused", d.count, "error", err)
		}
		err = fmt.Errorf("%w: %w", core.ErrUnavailable, err)
	}
	return changes, err
}

// writes is an error while the disk refuses writes. It tries one, at most once a second, so that
// the end of it is noticed without anybody who writes.
func (db *DB) writes(ctx context.Context) error {
	d := &db.disk
	d.mu.Lock()
	err := d.err
	try := err != nil && time.Since(d.probed) >= probeEvery
	if try {
		d.probed = time.Now()
	}
	d.mu.Unlock()
	if try {
		return db.rawWrite(ctx, core.DefaultTenant, directory, "try a write", func(x *tx) error {
			// Another value than before: what stays the same, SQLite does not write.
			return x.exec(ctx, `UPDATE counters SET value = value + 1 WHERE name = 'seed'`)
		})
	}
	return err
}
