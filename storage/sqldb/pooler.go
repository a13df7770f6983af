package sqldb

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Settings that each connection begins with. A pooler refuses them or leaves them out: what one
// client sets must not hold for the next.
const (
	statementParam = "statement_timeout"
	abandonedParam = "idle_in_transaction_session_timeout"
	// What we ask is short; PostgreSQL takes a recursive query for long, and would compile
	// it for many times as long as it runs.
	jitParam = "jit"
)

// errPooler: behind one, a search_path that was set for one tenant could be another's.
var errPooler = errors.New("a pooler such as PgBouncer stands before the database, and the URL says pgbouncer=false: leave that out, and it is seen to, or name PostgreSQL itself")

// detect looks whether a pooler stands before the database, and does as one needs it. Where the
// URL says that one is there, it only looks whether the database answers.
func (e *postgresEngine) detect(ctx context.Context) error {
	c, err := pgx.ConnectConfig(ctx, e.config.Copy())
	if err != nil {
		if e.pooler || !refusesSettings(err) {
			return err
		}
		if e.asked {
			return errPooler
		}
		e.behindPooler()
		return e.detect(ctx)
	}
	defer dropConn(c)
	e.ascii = c.PgConn().ParameterStatus("server_encoding") == "SQL_ASCII"
	if e.pooler {
		return nil
	}
	// To PostgreSQL itself, the setting came from its client.
	var source string
	if err := c.QueryRow(ctx, `SELECT source FROM pg_catalog.pg_settings WHERE name = $1`, pgx.QueryExecModeExec, abandonedParam).Scan(&source); err != nil || source == "client" {
		return err
	}
	if e.asked {
		return errPooler
	}
	e.behindPooler()
	return nil
}

// refusesSettings reports whether the server takes no settings at the beginning of a connection.
func refusesSettings(err error) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.Code == "08P01" && strings.Contains(pe.Message, "startup parameter") // protocol_violation
}

// behindPooler leaves out what is kept on a connection: settings, and prepared statements.
func (p *postgresURL) behindPooler() {
	p.pooler = true
	delete(p.config.RuntimeParams, statementParam)
	delete(p.config.RuntimeParams, abandonedParam)
	delete(p.config.RuntimeParams, jitParam)
	if p.config.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
		p.config.DefaultQueryExecMode = pgx.QueryExecModeExec
	}
}
