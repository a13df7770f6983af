package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/postern-sso/postern/core"
)

// postgresEngine keeps each tenant in a schema of its own, named as the tenant.
// One pool serves all: a connection's search_path is set when it changes tenant.
type postgresEngine struct {
	postgresURL
	pool *sql.DB
	// turns are those of the pool's connections: tenants share them.
	turns *core.Turns
	more  fs.FS // see migrationSet
	ascii bool  // the database has encoding SQL_ASCII: what a character is it does not know
	// down is set while whoever follows the outbox finds no database: then nobody
	// else tries either, and waits, until it is found again.
	down atomic.Bool
}

// errDown is what a call gets while the database is known to be away.
var errDown = fmt.Errorf("the database does not answer: %w", core.ErrUnavailable)

func openPostgres(ctx context.Context, opt Options) (engine, error) {
	read, err := readURL(opt.URL)
	if err != nil {
		return nil, fmt.Errorf("read database URL: %w", err)
	}
	if opt.offline {
		read.config.RuntimeParams["application_name"] = offlineName
	}
	e := &postgresEngine{postgresURL: *read, more: opt.more}
	if err := e.find(ctx); err != nil {
		return nil, e.explain(err)
	}
	e.pool, e.turns = stdlib.OpenDB(*e.config), core.NewTurns(e.conns, 0)
	e.pool.SetMaxOpenConns(e.conns)
	e.pool.SetMaxIdleConns(e.conns)
	e.pool.SetConnMaxIdleTime(e.idle)
	e.pool.SetConnMaxLifetime(e.lifetime)
	if err := e.refuseForeign(ctx); err != nil {
		return nil, errors.Join(e.explain(flat(err)), e.pool.Close())
	}
	return e, nil
}

const (
	// startWait is how long a start waits for a database that is not there yet.
	startWait = 10 * time.Second
	// migrateWait bounds what makes a tenant's tables, which waits for other nodes
	// that do the same.
	migrateWait = 5 * time.Minute
)

// find waits a little for a database that does not answer yet, as servers are often
// started together, and looks what stands before it.
func (e *postgresEngine) find(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	for {
		err := e.detect(ctx)
		var refused *net.OpError
		if err == nil || sqlState(err) != "57P03" && !errors.As(err, &refused) { // cannot_connect_now
			return flat(err)
		}
		pause(ctx, pollEvery)
		if ctx.Err() != nil {
			return flat(err)
		}
	}
}

// schemaOf names the schema of a tenant whose ID was checked.
func (e *postgresEngine) schemaOf(t core.TenantID) string {
	if t == core.DefaultTenant {
		return e.schema
	}
	return string(t)
}

func (*postgresEngine) name() string { return "postgres" }

func (e *postgresEngine) exists(ctx context.Context, t core.TenantID) (bool, error) {
	if !validTenant(t) {
		return false, core.ErrNotFound
	}
	return e.hasTables(ctx, e.schemaOf(t))
}

// hasTables reports whether a schema has both parts' tables, of whatever version.
func (e *postgresEngine) hasTables(ctx context.Context, schema string) (bool, error) {
	var n int
	err := e.pool.QueryRowContext(ctx, `SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename IN ($2, $3)`,
		schema, directory.versionTable(), sessions.versionTable()).Scan(&n)
	return n == int(parts), err
}

func (e *postgresEngine) create(ctx context.Context) error {
	return e.migrateWhereDue(ctx, e.schema, true)
}

func (e *postgresEngine) update(ctx context.Context, t core.TenantID) error {
	if !validTenant(t) {
		return core.ErrNotFound
	}
	return e.migrateWhereDue(ctx, e.schemaOf(t), false)
}

// migrateWhereDue brings a schema up to date. One that is absent is made where create is
// set, and else core.ErrNotFound.
func (e *postgresEngine) migrateWhereDue(ctx context.Context, schema string, create bool) error {
	if e.down.Load() {
		return errDown
	}
	ctx, cancel := context.WithTimeout(ctx, migrateWait)
	defer cancel()
	due, err := e.due(ctx, schema)
	if err != nil || !due {
		return e.explain(err)
	}
	sets := make([]migrationSet, parts)
	for p := range parts {
		sets[p] = migrationSet{part: p, more: e.more}
	}
	return e.explain(migrateSchema(ctx, e.config, schema, create, sets))
}

// due reports whether a schema's tables are absent or old.
func (e *postgresEngine) due(ctx context.Context, schema string) (bool, error) {
	for p := range parts {
		_, newest, err := migrationFiles(postgresDialect, migrationSet{part: p, more: e.more})
		if err != nil {
			return false, err
		}
		var version sql.NullInt64
		table := pgx.Identifier{schema, p.versionTable()}.Sanitize()
		err = e.pool.QueryRowContext(ctx, `SELECT max(version_id) FROM `+table).Scan(&version)
		if state := sqlState(err); state == "42P01" || state == "3F000" || err == nil && version.Int64 < newest { // undefined_table, invalid_schema_name
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

func (e *postgresEngine) conn(ctx context.Context, t core.TenantID, _ part, _ bool) (*sql.Conn, func(), error) {
	if !validTenant(t) {
		return nil, nil, core.ErrNotFound
	}
	if e.down.Load() {
		return nil, nil, errDown
	}
	if err := e.turns.Take(ctx, t); err != nil {
		return nil, nil, err
	}
	c, err := e.pool.Conn(ctx)
	if err != nil {
		e.turns.Leave(t)
		return nil, nil, err
	}
	release := func() {
		c.Close() //nolint:gosec // gives the connection back; it has no error to tell
		e.turns.Leave(t)
	}
	if e.pooled() {
		return c, release, nil
	}
	if err := turnTo(ctx, c, e.schemaOf(t)); err != nil {
		release()
		return nil, nil, err
	}
	return c, release, nil
}

// turnTo makes a connection see one tenant's schema and no other. A connection of
// which that is not certain is thrown away.
func turnTo(ctx context.Context, c *sql.Conn, schema string) error {
	const key = "postern schema"
	var failed error
	err := c.Raw(func(dc any) error {
		sc, ok := dc.(*stdlib.Conn)
		if !ok {
			failed = fmt.Errorf("connection is a %T", dc)
			return driver.ErrBadConn
		}
		pc := sc.Conn()
		if pc.PgConn().CustomData()[key] == schema {
			return nil
		}
		delete(pc.PgConn().CustomData(), key)
		var seen string
		// CASE looks at its condition first: what is seen is what is seen then.
		err := pc.QueryRow(ctx, `SELECT CASE WHEN set_config('search_path', $1, false) = $1 THEN coalesce(current_schema(), '') ELSE '' END`, schema).Scan(&seen)
		if err == nil && seen != schema {
			err = fmt.Errorf("schema %q: %w", schema, core.ErrNotFound)
		}
		if err != nil {
			failed = err
			return driver.ErrBadConn
		}
		pc.PgConn().CustomData()[key] = schema
		return nil
	})
	if failed != nil {
		return fmt.Errorf("set search_path: %w", failed)
	}
	return err
}

// enter does for one transaction what turnTo does for a connection.
func (e *postgresEngine) enter(ctx context.Context, q queryer, t core.TenantID) error {
	schema := e.schemaOf(t)
	var seen string
	_, err := q.ExecContext(ctx, `SELECT set_config('search_path', $1, true), set_config('statement_timeout', $2, true),
		set_config('idle_in_transaction_session_timeout', $3, true), set_config('jit', 'off', true)`, schema, milliseconds(statementTimeout), milliseconds(abandonedTimeout))
	if err == nil {
		err = q.QueryRowContext(ctx, `SELECT coalesce(current_schema(), '')`).Scan(&seen)
	}
	if err == nil && seen != schema {
		err = fmt.Errorf("schema %q: %w", schema, core.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("set search_path: %w", err)
	}
	return nil
}

// changesChannel is what nodes listen to. A notification names the tenant.
const changesChannel = "postern_changes"

func (e *postgresEngine) announce(ctx context.Context, q queryer, t core.TenantID) error {
	_, err := q.ExecContext(ctx, `SELECT pg_notify($1, $2)`, changesChannel, e.schemaOf(t))
	return err
}

// spoil gives up connections to a server that takes no writes any more: after a failover
// another one of the URL's hosts does.
func (e *postgresEngine) spoil(c *sql.Conn, err error) {
	if sqlState(err) != "25006" { // read_only_sql_transaction
		return
	}
	_ = c.Raw(func(any) error { return driver.ErrBadConn }) // gives back what was said
	e.forgetIdle()
}

func (e *postgresEngine) close() error { return e.pool.Close() }

func (e *postgresEngine) pooled() bool { return e.pooler }
func (*postgresEngine) shared() bool   { return true }
func (*postgresEngine) joined() bool   { return true }

// writable asks for what holds for any transaction: its own may be a read-only one.
func (*postgresEngine) writable() string {
	return `SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'on' ELSE current_setting('default_transaction_read_only') END`
}

// A foreign key that refers to the row does not wait for this lock, as it would for FOR
// UPDATE: two that refer to each other would meet in a deadlock.
func (*postgresEngine) commits(core.TenantID, part) *commits { return nil }

func (*postgresEngine) forUpdate() string { return " FOR NO KEY UPDATE" }

func (*postgresEngine) clock() string {
	return `(extract(epoch FROM clock_timestamp()) * 1000000)::bigint`
}

// The classes are those of PostgreSQL's manual, appendix A.
func (*postgresEngine) busy(err error) bool {
	switch sqlState(err) {
	case "40001", "40P01", "55P03": // serialization_failure, deadlock_detected, lock_not_available
		return true
	}
	return false
}

func (*postgresEngine) lost(err error) bool {
	switch sqlState(err) {
	case "57P01", "57P02", "57P03", "25P03": // admin_shutdown, crash_shutdown, cannot_connect_now, idle_in_transaction_session_timeout
		return true
	}
	return errors.Is(err, driver.ErrBadConn) || pgconn.SafeToRetry(err)
}

// away is whatever PostgreSQL does not say as an answer to the query itself.
func (e *postgresEngine) away(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	if state := sqlState(err); state != "" {
		switch state {
		case "25006", "57014": // read_only_sql_transaction, query_canceled
			return true
		}
		switch state[:2] {
		case "08", "53", "57", "58": // connection, resources, operator intervention, system
			return true
		}
		return e.busy(err)
	}
	var connect *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connect) || errors.As(err, &network) || pgconn.Timeout(err) || e.lost(err) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) || errors.Is(err, sql.ErrConnDone)
}

// explain adds to what went wrong at the start what would be right.
func (e *postgresEngine) explain(err error) error {
	state := sqlState(err)
	hint := ""
	switch {
	case err == nil || errors.Is(err, ErrForeign):
	case state == "28P01" || state == "28000": // invalid_password, invalid_authorization_specification
		hint = "PostgreSQL refused the user or the password: look at both, and at pg_hba.conf"
	case state == "3D000": // invalid_catalog_name
		hint = fmt.Sprintf("make the database with `createdb -O %s %s`", e.config.User, e.config.Database)
	case state == "42501": // insufficient_privilege
		hint = fmt.Sprintf("the user must be allowed to create tables and schemas: make it the owner, with `ALTER DATABASE %s OWNER TO %s` and `ALTER SCHEMA %s OWNER TO %s`",
			e.config.Database, e.config.User, e.schema, e.config.User)
	case state == "53300": // too_many_connections
		hint = fmt.Sprintf("this node asks for up to %d connections and two more: lower pool_max_conns in the URL, or raise max_connections", e.conns)
	case state == "25006": // read_only_sql_transaction
		hint = "the database takes no writes: where it has a standby, name all hosts in the URL and add target_session_attrs=read-write"
	case strings.Contains(err.Error(), "tls") || strings.Contains(err.Error(), "x509") || strings.Contains(err.Error(), "refused TLS"):
		hint = "look at sslmode and sslrootcert in the URL, and at the server's certificate"
	case e.away(err):
		hint = "look whether PostgreSQL runs there, and whether a firewall is in between"
	}
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w: %s", flat(err), hint)
}

func (*postgresEngine) unique(err error) (string, bool) {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.Code != "23505" { // unique_violation
		return "", false
	}
	column := strings.TrimPrefix(pe.ConstraintName, pe.TableName+"_")
	return pe.TableName + "." + strings.TrimSuffix(column, "_key"), true
}

func (*postgresEngine) missing(err error) bool {
	switch sqlState(err) {
	case "42P01", "3F000": // undefined_table, invalid_schema_name
		return true
	}
	return false
}

func (*postgresEngine) tooLong(err error) bool { return sqlState(err) == "54000" } // program_limit_exceeded

func (*postgresEngine) reference(err error) bool { return sqlState(err) == "23503" } // foreign_key_violation

func sqlState(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}
