package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/postern-sso/postern/core"
)

// migrateLock keeps nodes apart that migrate at the same time.
const migrateLock = 0x706f737465726e02 // "postern", 2

// migrateSchema brings a schema's tables up to date: all in one transaction, so that it is
// done or not, and so that it works through a pooler, too. A schema that is absent is made
// where create is set, and else core.ErrNotFound. Of several nodes that start at once, one
// migrates and the others wait.
func migrateSchema(ctx context.Context, config *pgx.ConnConfig, schema string, create bool, sets []migrationSet) (err error) {
	begin := func(ctx context.Context, c *pgx.Conn) error {
		if _, err := c.Exec(ctx, `BEGIN`); err != nil {
			return err
		}
		if _, err := c.Exec(ctx, `SELECT pg_advisory_xact_lock($1), set_config('statement_timeout', '0', true),
			set_config('idle_in_transaction_session_timeout', '0', true), set_config('search_path', $2, true)`, int64(migrateLock), schema); err != nil {
			return err
		}
		if schema == "public" {
			return nil // it may be another's, and it is there
		}
		if create {
			_, err := c.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+quote(schema))
			return err
		}
		var there bool
		err := c.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1)`, schema).Scan(&there)
		if err == nil && !there {
			err = fmt.Errorf("schema %q: %w", schema, core.ErrNotFound)
		}
		return err
	}
	db := sql.OpenDB(&insideTransaction{Connector: stdlib.GetConnector(*config, stdlib.OptionAfterConnect(begin))})
	db.SetMaxOpenConns(1)
	defer func() { err = errors.Join(err, db.Close()) }() // what was not committed is undone
	for _, set := range sets {
		if err := migrate(ctx, db, postgresDialect, set); err != nil {
			return err
		}
	}
	if _, err := db.ExecContext(ctx, `COMMIT`); err != nil {
		return fmt.Errorf("migrate: %w", err)
	}
	return nil
}

// insideTransaction gives one connection, which stays in the transaction that it begins with:
// a transaction on it is a savepoint. There is never a second one, which would know nothing of
// what the first one did.
type insideTransaction struct {
	driver.Connector
	given bool
}

func (i *insideTransaction) Connect(ctx context.Context) (driver.Conn, error) {
	if i.given {
		return nil, errors.New("the connection was lost")
	}
	i.given = true
	c, err := i.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	sc, ok := c.(*stdlib.Conn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("connection is a %T", c), c.Close())
	}
	return &savepoints{sc}, nil
}

type savepoints struct{ *stdlib.Conn }

func (s *savepoints) BeginTx(ctx context.Context, _ driver.TxOptions) (driver.Tx, error) {
	c := s.Conn.Conn()
	if _, err := c.Exec(ctx, `SAVEPOINT migration`); err != nil {
		return nil, err
	}
	return savepoint{ctx, c}, nil
}

// ResetSession lets the transaction go on.
func (*savepoints) ResetSession(context.Context) error { return nil }

type savepoint struct {
	ctx context.Context //nolint:containedctx // the transaction's, which driver.Tx does not give
	c   *pgx.Conn
}

func (s savepoint) Commit() error {
	_, err := s.c.Exec(s.ctx, `RELEASE SAVEPOINT migration`)
	return err
}

func (s savepoint) Rollback() error {
	_, err := s.c.Exec(s.ctx, `ROLLBACK TO SAVEPOINT migration`)
	return err
}
