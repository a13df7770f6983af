package sqldb

import (
	"context"
	"database/sql"

	"github.com/postern-sso/postern/core"
)

// part is one of the two sets of tables that a tenant has.
type part int

const (
	directory part = iota
	sessions
	parts // how many there are
)

// engine is where tenants' tables live. It knows what differs between SQLite and
// PostgreSQL; everything else is the same text for both.
type engine interface {
	// name of the kind of database.
	name() string
	// exists reports whether a tenant has tables, of whatever version.
	exists(ctx context.Context, t core.TenantID) (bool, error)
	// snapshot begins to read what tables hold at one moment.
	snapshot(ctx context.Context) (snapshot, error)
	// stage begins to load a backup. Nobody else may have the directory open.
	stage(ctx context.Context) (staging, error)
	// create makes the default tenant's tables where they are absent, and brings them up
	// to date where they are old.
	create(ctx context.Context) error
	// updateTemplate brings what new tenants are copied from up to date, if it is there.
	updateTemplate(ctx context.Context) error
	// update brings the tables of a tenant up to date. Where there are none it makes
	// none: a tenant that is being deleted must not come back empty.
	update(ctx context.Context, t core.TenantID) error
	// conn gives a connection on which the tenant's tables of a part are found
	// by their bare names. release must be called once.
	conn(ctx context.Context, t core.TenantID, p part, write bool) (c *sql.Conn, release func(), err error)
	// pooled reports whether a connection is known to stay the same only inside a
	// transaction, which must begin with enter.
	pooled() bool
	// enter makes a transaction see the tenant's tables, where pooled.
	enter(ctx context.Context, q queryer, t core.TenantID) error
	// writable reads "off" where the database takes writes.
	writable() string
	// announce tells other nodes, at the transaction's commit, that the tenant's
	// outbox has grown. It is a hint: the outbox itself is the truth.
	announce(ctx context.Context, q queryer, t core.TenantID) error
	// shared reports whether other processes write here too.
	shared() bool
	// joined reports whether both parts are in one database, so that one
	// transaction may change both.
	joined() bool
	// clock is the database's own time in SQL, in microseconds since 1970.
	clock() string
	// having gives the query for the numbers of the users who have all of these trigrams,
	// and its argument, $1.
	having(trigrams []string) (query, arg string)
	// among is a comparison with all that such a query gives.
	among(query string) string
	// oneOf is a comparison with $1, and what that must be for numbers.
	oneOf(numbers []int64) (comparison, arg string)
	// bytewise reports whether the database takes a byte for a character.
	bytewise() bool
	// forUpdate ends a SELECT whose rows must not change until the end of the
	// transaction. SQLite has one writer and needs none.
	forUpdate() string
	// commits joins the writes of a part; nil where the database does so itself.
	commits(t core.TenantID, p part) *commits
	// busy reports whether the transaction failed because of another one and may
	// be tried again.
	busy(err error) bool
	// lost reports whether the connection is gone, without a word on whether a
	// transaction that was just being committed was.
	lost(err error) bool
	// away reports whether the database could not be asked, or did not take a write
	// that it will take at another time.
	away(err error) bool
	// spoil throws a connection away whose error says that it leads to the wrong place.
	spoil(c *sql.Conn, err error)
	// unique names the "table.column" of a violated unique constraint; of several
	// columns, joined by "_".
	unique(err error) (string, bool)
	// missing reports whether a table or its schema is not there: the tenant was deleted
	// by another node.
	missing(err error) bool
	// reference reports whether a foreign key is violated.
	reference(err error) bool
	// tooLong reports whether a text is too long for its index.
	tooLong(err error) bool
	close() error
}

// validTenant guards every path, schema name and query: what it refuses never
// reaches one.
func validTenant(t core.TenantID) bool { return t.Valid() }
