package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/postern-sso/postern/core"
)

// postgresConns bounds the connections of one process.
const postgresConns = 20

// postgresEngine keeps each tenant in a schema of its own, named as the tenant.
// One pool serves all: a connection's search_path is set when it changes tenant.
type postgresEngine struct {
	config *pgx.ConnConfig
	pool   *sql.DB
	more   fs.FS // see migrationSet
}

func openPostgres(ctx context.Context, opt Options) (engine, error) {
	config, err := pgx.ParseConfig(opt.URL)
	if err != nil {
		// pgx takes the password out of its message.
		return nil, fmt.Errorf("read database URL: %w", err)
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = 10 * time.Second
	}
	if opt.offline {
		config.RuntimeParams["application_name"] = offlineName
	}
	e := &postgresEngine{config: config, pool: stdlib.OpenDB(*config), more: opt.more}
	e.pool.SetMaxOpenConns(postgresConns)
	e.pool.SetMaxIdleConns(postgresConns)
	e.pool.SetConnMaxIdleTime(5 * time.Minute)
	if err := e.refuseForeign(ctx); err != nil {
		return nil, errors.Join(err, e.pool.Close())
	}
	return e, nil
}

// refuseForeign looks for authentik's own tables, in any schema, and changes
// nothing.
func (e *postgresEngine) refuseForeign(ctx context.Context) (err error) {
	rows, err := e.pool.QueryContext(ctx, `SELECT schemaname || '.' || tablename FROM pg_catalog.pg_tables
		WHERE tablename LIKE 'authentik!_%' ESCAPE '!' ORDER BY tablename <> 'authentik_core_user', 1 LIMIT 3`)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	var found []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return err
		}
		found = append(found, name)
	}
	if err := rows.Err(); err != nil || len(found) == 0 {
		return err
	}
	return fmt.Errorf("the database %q %w (%s, …): give Postern a database of its own; nothing was changed",
		e.config.Database, ErrForeign, strings.Join(found, ", "))
}

func (*postgresEngine) name() string { return "postgres" }

func (e *postgresEngine) exists(ctx context.Context, t core.TenantID) (bool, error) {
	if !validTenant(t) {
		return false, core.ErrNotFound
	}
	var n int
	err := e.pool.QueryRowContext(ctx, `SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename IN ($2, $3)`,
		string(t), directory.versionTable(), sessions.versionTable()).Scan(&n)
	return n == int(parts), err
}

// create makes the tenant's schema where it is absent, and migrates.
func (e *postgresEngine) create(ctx context.Context, t core.TenantID) (err error) {
	if !validTenant(t) {
		return core.ErrNotFound
	}
	if t != core.DefaultTenant {
		query := `CREATE SCHEMA IF NOT EXISTS ` + pgx.Identifier{string(t)}.Sanitize() //nolint:gosec // validTenant let it pass, and it is quoted
		_, err := e.pool.ExecContext(ctx, query)
		if _, twice := e.unique(err); twice {
			// Another node made it between PostgreSQL's look and its insert.
			_, err = e.pool.ExecContext(ctx, query)
		}
		if err != nil {
			return fmt.Errorf("create schema: %w", err)
		}
	}
	config := e.config.Copy()
	config.RuntimeParams["search_path"] = string(t)
	db := stdlib.OpenDB(*config)
	defer func() { err = errors.Join(err, db.Close()) }()
	for p := range parts {
		if err := migrate(ctx, db, postgresDialect, migrationSet{part: p, more: e.more}); err != nil {
			return err
		}
	}
	return nil
}

func (e *postgresEngine) conn(ctx context.Context, t core.TenantID, _ part, _ bool) (*sql.Conn, func(), error) {
	if !validTenant(t) {
		return nil, nil, core.ErrNotFound
	}
	c, err := e.pool.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	release := func() {
		c.Close() //nolint:gosec // gives the connection back; it has no error to tell
	}
	if err := turnTo(ctx, c, t); err != nil {
		release()
		return nil, nil, err
	}
	return c, release, nil
}

// turnTo makes a connection see one tenant's schema and no other. A connection of
// which that is not certain is thrown away.
func turnTo(ctx context.Context, c *sql.Conn, t core.TenantID) error {
	const key = "postern tenant"
	var failed error
	err := c.Raw(func(dc any) error {
		sc, ok := dc.(*stdlib.Conn)
		if !ok {
			failed = fmt.Errorf("connection is a %T", dc)
			return driver.ErrBadConn
		}
		pc := sc.Conn()
		if pc.PgConn().CustomData()[key] == t {
			return nil
		}
		delete(pc.PgConn().CustomData(), key)
		var schema string
		_, err := pc.Exec(ctx, `SELECT set_config('search_path', $1, false)`, string(t))
		if err == nil {
			err = pc.QueryRow(ctx, `SELECT coalesce(current_schema(), '')`).Scan(&schema)
		}
		if err == nil && schema != string(t) {
			err = fmt.Errorf("schema %q: %w", t, core.ErrNotFound)
		}
		if err != nil {
			failed = err
			return driver.ErrBadConn
		}
		pc.PgConn().CustomData()[key] = t
		return nil
	})
	if failed != nil {
		return fmt.Errorf("set search_path: %w", failed)
	}
	return err
}

func (e *postgresEngine) close() error { return e.pool.Close() }

func (*postgresEngine) shared() bool      { return true }
func (*postgresEngine) joined() bool      { return true }
func (*postgresEngine) forUpdate() string { return " FOR UPDATE" }

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
	case "57P01", "57P02", "57P03": // admin_shutdown, crash_shutdown, cannot_connect_now
		return true
	}
	return errors.Is(err, driver.ErrBadConn) || pgconn.SafeToRetry(err)
}

func (*postgresEngine) unique(err error) (string, bool) {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) || pe.Code != "23505" { // unique_violation
		return "", false
	}
	column := strings.TrimPrefix(pe.ConstraintName, pe.TableName+"_")
	return pe.TableName + "." + strings.TrimSuffix(column, "_key"), true
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
