package sqldb

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/postern-sso/postern/core"
)

// timeline is the one that PostgreSQL writes on: a standby that is promoted begins another. What the server before it
// had and this one has not may be in memory here, read by somebody before the outbox told of it. Only whoever
// follows the outbox uses it.
type timeline struct {
	now     string
	another bool // since it was told last
}

// read asks on a new connection. Of a server that does not tell, the outbox tells enough in most cases.
func (l *timeline) read(ctx context.Context, c *pgx.Conn) {
	var now string
	err := c.QueryRow(ctx, `SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN ''
		ELSE left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8) END`).Scan(&now)
	if err != nil || now == "" {
		return
	}
	l.another = l.another || l.now != "" && l.now != now
	l.now = now
}

// tell drops all that is in memory where another server has taken over.
func (l *timeline) tell(ctx context.Context, db *DB) {
	if !l.another {
		return
	}
	l.another = false
	db.log.WarnContext(ctx, "another server has taken over: all that is in memory is read again")
	tenants, places, _ := db.follower.known()
	for _, t := range tenants { // what comes after these lines is told again
		db.heard(ctx, t, []core.Change{{Seq: places[t].seq, Kind: core.ChangedAny, Op: "update"}})
	}
}
