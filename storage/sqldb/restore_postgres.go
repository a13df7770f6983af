package sqldb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/postern-sso/postern/core"
	"github.com/postern-sso/postern/storage/backup"
)

// A backup is loaded into schemas that are no tenant's. One transaction gives them
// the names of those that they replace, which are dropped afterwards.
const (
	stagingSchema  = "postern_restore_"
	replacedSchema = "postern_replaced_"
	// offlineName is how the connections of commands call themselves that need no server.
	offlineName = "postern offline"
	restoreLock = 0x706f737465726e01 // "postern", 1
	// departWait is how long a connection that was closed may still be seen: its backend ends by itself.
	departWait = 3 * time.Second
)

// postgresStaging loads schemas.
type postgresStaging struct {
	e       *postgresEngine
	conn    *pgx.Conn // holds the lock
	tenants []core.TenantID
	tx      pgx.Tx // of the tenant that is loaded
	has     map[string]table
	foreign []foreignKey
}

type foreignKey struct{ table, name, definition string }

func (e *postgresEngine) stage(ctx context.Context) (_ staging, err error) {
	s := &postgresStaging{e: e}
	if e.pooled() { // nor could it tell who else is connected
		return nil, errors.New("a pooler stands before the database, and a restore needs a connection of its own: use a URL that leads to PostgreSQL itself; nothing was changed")
	}
	if s.conn, err = pgx.ConnectConfig(ctx, e.config.Copy()); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.conn.Close(context.WithoutCancel(ctx)))
		}
	}()
	var locked bool
	if err := s.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(restoreLock)).Scan(&locked); err != nil {
		return nil, err
	}
	if !locked {
		return nil, fmt.Errorf("the database %q is %w, which restores into it; nothing was changed", e.config.Database, ErrLocked)
	}
	if err = e.waitAlone(ctx, s.conn); err != nil {
		return nil, err
	}
	return s, s.dropSchemas(ctx) // those that a crash left
}

// Unserved refuses, with ErrLocked, a PostgreSQL database to which anybody is connected but commands that need no
// server, and with ErrPooled one of which that cannot be told. It looks once: who starts a node afterwards is not
// seen. A data directory needs no such look: who opens it has it alone.
func Unserved(ctx context.Context, opt Options) error {
	e, err := openOffline(ctx, opt)
	if err != nil {
		return err
	}
	if e, ok := e.(*postgresEngine); ok {
		err = e.unserved(ctx)
	}
	return errors.Join(err, e.close())
}

func (e *postgresEngine) unserved(ctx context.Context) error {
	if e.pooled() {
		return fmt.Errorf("%w and hides who else is connected: use a URL that leads to PostgreSQL itself; nothing was changed", ErrPooled)
	}
	conn, err := pgx.ConnectConfig(ctx, e.config.Copy())
	if err != nil {
		return err
	}
	return errors.Join(e.waitAlone(ctx, conn), conn.Close(context.WithoutCancel(ctx)))
}

// waitAlone gives those who have just left a moment to be gone.
func (e *postgresEngine) waitAlone(ctx context.Context, conn *pgx.Conn) error {
	for until := time.Now().Add(departWait); ; pause(ctx, departWait/50) {
		if err := e.alone(ctx, conn); !errors.Is(err, ErrLocked) || ctx.Err() != nil || time.Now().After(until) {
			return err
		}
	}
}

// alone refuses while anybody else is connected: a node that serves would go on
// with what it remembers. Of other roles' connections PostgreSQL tells a role without pg_read_all_stats that
// they are there and not what they are; those of no role are PostgreSQL's own.
func (e *postgresEngine) alone(ctx context.Context, q interface {
	QueryRow(ctx context.Context, query string, args ...any) pgx.Row
}) error {
	var n int
	var who string
	err := q.QueryRow(ctx, `SELECT count(*), coalesce(string_agg(DISTINCT coalesce(nullif(application_name, ''), 'unnamed'), ', '), '')
		FROM pg_catalog.pg_stat_activity WHERE datname = current_database() AND application_name <> $1
			AND (backend_type = 'client backend' OR backend_type IS NULL AND usesysid IS NOT NULL)`, offlineName).Scan(&n, &who)
	if err != nil {
		return err
	}
	if n > 0 {
		return fmt.Errorf("the database %q is %w: %d connections (%s): stop every node, and close what else is connected; nothing was changed", e.config.Database, ErrLocked, n, who)
	}
	return nil
}

// dropSchemas drops what is neither loaded nor in use, a schema at a time: together
// they could hold more locks than PostgreSQL has.
func (s *postgresStaging) dropSchemas(ctx context.Context) error {
	rows, err := s.conn.Query(ctx, `SELECT nspname FROM pg_catalog.pg_namespace WHERE starts_with(nspname, $1) OR starts_with(nspname, $2)`, stagingSchema, replacedSchema)
	if err != nil {
		return err
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := s.conn.Exec(ctx, `DROP SCHEMA `+quote(name)+` CASCADE`); err != nil {
			return err
		}
	}
	return nil
}

// schema in which the tenant begun last is loaded.
func (s *postgresStaging) schema() string { return stagingSchema + strconv.Itoa(len(s.tenants)-1) }

func (s *postgresStaging) migrate(ctx context.Context, of backup.Schema) error {
	return migrateSchema(ctx, s.e.config, s.schema(), true, []migrationSet{
		{part: directory, upTo: of.Directory, more: s.e.more},
		{part: sessions, upTo: of.Sessions, more: s.e.more},
	})
}

func (s *postgresStaging) begin(ctx context.Context, t core.TenantID, of backup.Schema) error {
	s.tenants = append(s.tenants, t)
	if _, err := s.conn.Exec(ctx, `CREATE SCHEMA `+quote(s.schema())); err != nil {
		return err
	}
	if err := s.migrate(ctx, of); err != nil {
		return err
	}
	all, err := postgresTables(ctx, s.e.pool, s.schema())
	if err != nil {
		return err
	}
	s.has = map[string]table{}
	if s.tx, err = s.conn.Begin(ctx); err != nil {
		return err
	}
	// One statement loads a table, however many rows it has.
	if _, err := s.tx.Exec(ctx, `SELECT set_config('search_path', $1, true), set_config('statement_timeout', '0', true)`, s.schema()); err != nil {
		return err
	}
	if err := s.dropForeignKeys(ctx); err != nil {
		return err
	}
	for _, tab := range all {
		s.has[tab.name] = tab
		// Migrations put rows into some.
		if _, err := s.tx.Exec(ctx, `DELETE FROM `+quote(tab.name)); err != nil {
			return err
		}
	}
	return nil
}

// dropForeignKeys lets rows come in any order. They are back before the commit.
func (s *postgresStaging) dropForeignKeys(ctx context.Context) error {
	rows, err := s.tx.Query(ctx, `SELECT c.relname, k.conname, pg_get_constraintdef(k.oid) FROM pg_catalog.pg_constraint k
		JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
		WHERE k.contype = 'f' AND n.nspname = $1`, s.schema())
	if err != nil {
		return err
	}
	s.foreign, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (k foreignKey, err error) {
		return k, row.Scan(&k.table, &k.name, &k.definition)
	})
	if err != nil {
		return err
	}
	for _, k := range s.foreign {
		if _, err := s.tx.Exec(ctx, `ALTER TABLE `+quote(k.table)+` DROP CONSTRAINT `+quote(k.name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *postgresStaging) tables() map[string]table { return s.has }

func (s *postgresStaging) load(ctx context.Context, tab table, columns []string, next func() ([]any, error)) error {
	var cause error // the server's answer quotes it, and does not wrap it
	_, err := s.tx.CopyFrom(ctx, pgx.Identifier{tab.name}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		values, err := next()
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		cause = err
		return values, err
	}))
	if cause != nil {
		return cause
	}
	return err
}

func (s *postgresStaging) end(ctx context.Context, counters map[string]int64, migrated bool) error {
	for _, k := range s.foreign {
		if _, err := s.tx.Exec(ctx, `ALTER TABLE `+quote(k.table)+` ADD CONSTRAINT `+quote(k.name)+` `+k.definition); err != nil {
			if s.e.reference(err) {
				err = errors.Join(backup.ErrCorrupt, err)
			}
			return fmt.Errorf("table %s: %w", k.table, err)
		}
	}
	for name, value := range counters {
		if _, err := s.tx.Exec(ctx, `UPDATE counters SET value = $2 WHERE name = $1 AND value < $2`, name, value); err != nil {
			return err
		}
	}
	if err := s.tx.Commit(ctx); err != nil {
		return err
	}
	s.tx = nil
	if !migrated {
		return nil
	}
	return s.migrate(ctx, backup.Schema{})
}

func (s *postgresStaging) commit(ctx context.Context) error {
	x, err := s.conn.Begin(ctx)
	if err != nil {
		return err
	}
	if err := s.swap(ctx, x); err != nil {
		return errors.Join(fmt.Errorf("%w; nothing was changed", err), x.Rollback(context.WithoutCancel(ctx)))
	}
	if err := x.Commit(ctx); err != nil {
		return err
	}
	s.tenants = nil
	if err := s.dropSchemas(ctx); err != nil {
		return fmt.Errorf("the data is in place, but the old one is not removed (its schemas are called %s…): %w", replacedSchema, err)
	}
	return nil
}

// swap renames the tenants' schemas. That of the default tenant stays, as other things may
// hang on it, and its tables change places.
func (s *postgresStaging) swap(ctx context.Context, x pgx.Tx) error {
	if _, err := x.Exec(ctx, `SET LOCAL lock_timeout = '30s'`); err != nil {
		return err
	}
	if err := s.e.alone(ctx, x); err != nil {
		return err
	}
	rows, err := x.Query(ctx, `SELECT schemaname FROM pg_catalog.pg_tables WHERE tablename = $1 AND schemaname ~ '^t_[a-z0-9]{1,61}$'`, directory.versionTable())
	if err != nil {
		return err
	}
	old, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for i, name := range old {
		if _, err := x.Exec(ctx, `ALTER SCHEMA `+quote(name)+` RENAME TO `+quote(replacedSchema+strconv.Itoa(i))); err != nil {
			return err
		}
	}
	if err := s.clearDefault(ctx, x); err != nil {
		return err
	}
	if s.e.schema != "public" {
		if _, err := x.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+quote(s.e.schema)); err != nil {
			return err
		}
	}
	for i, t := range s.tenants {
		from := stagingSchema + strconv.Itoa(i)
		if t != core.DefaultTenant {
			if _, err := x.Exec(ctx, `ALTER SCHEMA `+quote(from)+` RENAME TO `+quote(string(t))); err != nil {
				return err
			}
			continue
		}
		names, err := tableNames(ctx, x, from)
		if err != nil {
			return err
		}
		for _, name := range names {
			if _, err := x.Exec(ctx, `ALTER TABLE `+quote(from)+`.`+quote(name)+` SET SCHEMA `+quote(s.e.schema)); err != nil {
				return err
			}
		}
		if _, err := x.Exec(ctx, `DROP SCHEMA `+quote(from)); err != nil { // an error where something stayed behind
			return err
		}
	}
	return nil
}

// clearDefault drops all tables where ours are, also those of a newer version, which
// nobody here knows by name: the database is Postern's own.
func (s *postgresStaging) clearDefault(ctx context.Context, x pgx.Tx) error {
	names, err := tableNames(ctx, x, s.e.schema)
	if err != nil {
		return err
	}
	ours := false
	for _, name := range names {
		ours = ours || isVersionTable(name)
	}
	if !ours {
		return nil
	}
	for _, name := range names {
		if _, err := x.Exec(ctx, `DROP TABLE `+quote(s.e.schema)+`.`+quote(name)+` CASCADE`); err != nil {
			return err
		}
	}
	return nil
}

// tableNames are all tables of a schema but those of extensions.
func tableNames(ctx context.Context, x pgx.Tx, schema string) ([]string, error) {
	rows, err := x.Query(ctx, `SELECT c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND NOT c.relispartition
			AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')`, schema)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (s *postgresStaging) drop(ctx context.Context) error {
	var errs []error
	if s.tx != nil {
		if err := s.tx.Rollback(ctx); !errors.Is(err, pgx.ErrTxClosed) {
			errs = append(errs, err)
		}
	}
	if len(s.tenants) > 0 {
		errs = append(errs, s.dropSchemas(ctx))
	}
	return errors.Join(append(errs, s.conn.Close(ctx))...)
}
